"""curl and openssl as clients and servers of certificates; and who may renew which of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.client import renewtoken
from mica.keyfiles import generate
from mica.testing.ca import TestCA, csr_pem
from mica.testing.exchange import Answer, Credential, ask, keep, obtain
from mica.testing.plugins import add_jwk_provisioner, append, enable, install, set_signer
from mica.testing.service import Service, free_port, served

KEYED = Path(__file__).parents[1] / "strangers/keyed.py"
PASSWORD = "not much of a secret, but a long one"
SERVERS = f"""
[[provisioners]]
type = "keyed"
name = "servers"
password = "{PASSWORD}"
usages = ["1.3.6.1.5.5.7.3.1"]
"""
GENERIC_401 = (
    "The request lacked necessary authorization to be completed. "
    "Please see the certificate authority logs for more info."
)

Curl = Callable[..., "subprocess.CompletedProcess[str]"]
Mica = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), claims={"min_tls_cert_duration": "1s"})


@pytest.fixture(scope="module")
def late(ca: TestCA) -> TestCA:
    """The CA with the key of a second provisioner, whose certificates may be renewed when they have expired."""
    return add_jwk_provisioner(ca, "late", '{ min_tls_cert_duration = "1s", allow_renewal_after_expiry = true }')


@pytest.fixture(scope="module")
def service(ca: TestCA, late: TestCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A CA that issues certificates of a second, renews expired ones for ``late``, and server-only ones by a plugin."""
    site = tmp_path_factory.mktemp("site")
    install(site, KEYED)
    enable(ca, "keyed")
    set_signer(ca, 'backdate = "0s"')
    append(ca, SERVERS)
    with served(ca, workers=1, site=site) as running:
        yield running


@pytest.fixture(scope="module")
def curl(tool: Callable[[str], str], service: Service) -> Curl:
    """Runs curl, which trusts the CA's root; the status of the answer is the last line."""
    program = [tool("curl"), "-sS", "--cacert", str(service.root_file), "-w", "\n%{http_code}"]

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=30)

    return run


@pytest.fixture
def mica(tmp_path: Path, service: Service) -> Mica:
    """Runs ``mica`` with an empty MICAPATH."""

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
        return subprocess.run(
            [sys.executable, "-m", "mica.cli", *map(str, arguments)],
            env=clean | {"MICAPATH": str(tmp_path / "none")}, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def lasting(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Credential:
    return obtain(service, tmp_path_factory.mktemp("lasting"), "svc.example", "127.0.0.1")


@pytest.fixture(scope="module")
def server_only(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Credential:
    """A leaf without clientAuth, which the plugin's provisioner would gladly renew."""
    now = datetime.now(UTC)
    payload = {"iss": "servers", "sub": "web.example", "iat": now, "exp": now + timedelta(minutes=1), "aud": "anywhere"}
    key = generate("EC-P256")
    order = {"csr": csr_pem("web.example", key=key), "ott": jwt.encode(payload, PASSWORD, "HS256")}
    answer = ask(service, "POST", "/sign", order)
    assert answer.status == 201, answer
    return keep(tmp_path_factory.mktemp("server"), "".join(answer.json["certChain"]), key)


@pytest.fixture(scope="module")
def expired(service: Service, late: TestCA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credential]:
    """An expired certificate of each provisioner."""
    folder = tmp_path_factory.mktemp("expired")
    found = {
        name: obtain(replace(service, ca=ca), folder, "old.example", claims={"iss": name}, notAfter="1s")
        for name, ca in (("admin", service.ca), ("late", late))
    }
    end = max(credential.leaf.not_valid_after_utc for credential in found.values())
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.1)
    return found


@contextmanager
def s_server(program: str, credential: Credential) -> Iterator[int]:
    """``openssl s_server`` shows a page with the certificate; its port."""
    port = free_port()
    command = [program, "s_server", "-accept", f"127.0.0.1:{port}", "-www", "-quiet"]
    chain, key = str(credential.certificate), str(credential.key)
    server = subprocess.Popen(
        [*command, "-cert", chain, "-cert_chain", chain, "-key", key],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        server.kill()
        server.wait()


def by_token(service: Service, credential: Credential) -> Answer:
    """Renewal by a token that the certificate's key signs."""
    token = renewtoken.make(
        service.ca.url, credential.chain, credential.private_key, not_before=datetime.now(UTC) - timedelta(seconds=2)
    )
    return ask(service, "POST", "/renew", headers={"Authorization": f"Bearer {token}"})


# curl as a client of a server that uses the certificate


def test_curl_trusts_a_server_that_uses_the_certificate(
    tool: Callable[[str], str], curl: Curl, lasting: Credential
) -> None:
    with s_server(tool("openssl"), lasting) as port:
        retry = ("--retry", "20", "--retry-connrefused", "--retry-delay", "1")
        for host in ("svc.example", "127.0.0.1"):
            pinned = ("--resolve", f"{host}:{port}:127.0.0.1")
            answer = curl(*retry, *pinned, f"https://{host}:{port}/")
            assert (answer.returncode, answer.stdout[-3:]) == (0, "200"), answer.stderr
        stranger = curl("--resolve", f"other.example:{port}:127.0.0.1", f"https://other.example:{port}/")
        assert stranger.returncode == 60  # peer failed verification


def test_curl_renews_over_mutual_tls_and_gets_what_step_would(
    curl: Curl, service: Service, lasting: Credential
) -> None:
    for path, arguments in (("/renew", ()), ("/1.0/renew", ("--tls-max", "1.2")), ("/re-sign", ("--tlsv1.3",))):
        identity = ("--cert", lasting.certificate, "--key", lasting.key)
        answer = curl("-X", "POST", *identity, *arguments, service.ca.url + path)
        body, _, status = answer.stdout.rpartition("\n")
        assert (answer.returncode, status) == (0, "201"), answer
        check_certificate_answer(json.loads(body), lasting)


def check_certificate_answer(answer: dict[str, Any], old: Credential) -> None:
    """The members ``crt``, ``ca``, ``certChain`` and ``tlsOptions``."""
    assert list(answer) == ["crt", "ca", "certChain", "tlsOptions"]
    assert answer["certChain"] == [answer["crt"], answer["ca"]]
    for pem in answer["certChain"]:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        assert certificate.public_bytes(Encoding.PEM).decode() == pem
    leaf = x509.load_pem_x509_certificate(answer["crt"].encode())
    assert leaf.public_key() == old.leaf.public_key()
    assert leaf.serial_number != old.leaf.serial_number
    options = answer["tlsOptions"]
    assert (options["minVersion"], options["maxVersion"], options["renegotiation"]) == (1.2, 1.3, False)
    assert all(suite.startswith("TLS_ECDHE_") for suite in options["cipherSuites"])


def test_curl_without_a_certificate_renews_nothing(curl: Curl, service: Service) -> None:
    body, _, status = curl("-X", "POST", service.ca.url + "/renew").stdout.rpartition("\n")
    assert (status, json.loads(body)) == (
        "400",
        {"status": 400, "message": "The request could not be completed: missing client certificate."},
    )


# A leaf without clientAuth


def test_the_leaf_without_client_auth_is_what_it_claims(server_only: Credential) -> None:
    usages = server_only.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("tls", ["--tlsv1.3", "--tls-max=1.2"])
def test_a_leaf_without_client_auth_fails_in_the_handshake(
    curl: Curl, service: Service, server_only: Credential, tls: str
) -> None:
    identity = ("--cert", server_only.certificate, "--key", server_only.key)
    flags = tls.split("=")
    for path in ("/renew", "/rekey", "/health"):
        answer = curl("-X", "POST", *identity, *flags, service.ca.url + path)
        assert answer.returncode in (35, 56), answer
        assert (answer.stdout, "alert" in answer.stderr) == ("\n000", True)


def test_a_leaf_without_client_auth_is_refused_renewal_by_token(service: Service, server_only: Credential) -> None:
    answer = by_token(service, server_only)
    assert (answer.status, answer.message) == (401, GENERIC_401)


@pytest.mark.parametrize("arguments", [(), ("--mtls=false",)])
def test_mica_renew_says_so_before_it_connects(
    mica: Mica, service: Service, server_only: Credential, arguments: tuple[str, ...]
) -> None:
    nobody = ("--ca-url", f"https://localhost:{free_port()}", "--root", service.root_file)
    answer = mica("ca", "renew", *arguments, *nobody, "--force", server_only.certificate, server_only.key)
    assert (answer.returncode, answer.stdout) == (5, "")
    assert "clientAuth" in answer.stderr and "mica ca certificate" in answer.stderr


# An expired certificate


def test_an_expired_certificate_fails_in_the_handshake(
    curl: Curl, service: Service, expired: dict[str, Credential]
) -> None:
    for credential in expired.values():
        answer = curl(
            "-X", "POST", "--cert", credential.certificate, "--key", credential.key, service.ca.url + "/renew"
        )
        assert answer.returncode in (35, 56), answer
        assert "certificate expired" in answer.stderr


def test_an_expired_certificate_is_refused_renewal_by_token(service: Service, expired: dict[str, Credential]) -> None:
    answer = by_token(service, expired["admin"])
    end = expired["admin"].leaf.not_valid_after_utc
    assert (answer.status, answer.message) == (
        401,
        "The request lacked necessary authorization to be completed: "
        f"certificate expired on {end:%Y-%m-%d %H:%M:%S} +0000 UTC",
    )


def test_an_expired_certificate_is_renewed_by_token_where_the_claim_allows_it(
    service: Service, expired: dict[str, Credential]
) -> None:
    answer = by_token(service, expired["late"])
    assert answer.status == 201
    check_certificate_answer(answer.json, expired["late"])


def test_mica_renews_an_expired_certificate_by_token_or_says_why_not(
    mica: Mica, service: Service, expired: dict[str, Credential], tmp_path: Path
) -> None:
    there = ("--ca-url", service.ca.url, "--root", service.root_file, "--out", tmp_path / "new.crt")
    refused, renewed = (
        mica("ca", "renew", *there, credential.certificate, credential.key) for credential in expired.values()
    )
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "certificate expired on" in refused.stderr
    assert renewed.returncode == 0, renewed.stderr
    assert (tmp_path / "new.crt").exists()
