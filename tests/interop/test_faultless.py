"""``mica certificate lint`` and openssl find no fault in anything that mica made."""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from mica.testing.commands import Commands
from mica.testing.service import free_port

KEYS = {
    "p256": [],
    "p384": ["--kty", "EC", "--curve", "P-384"],
    "p521": ["--kty", "EC", "--curve", "P-521"],
    "rsa2048": ["--kty", "RSA"],
    "rsa3072": ["--kty", "RSA", "--size", "3072"],
    "ed25519": ["--kty", "OKP"],
}
SANS = {
    "dns": "svc.example",
    "wildcard": "*.svc.example",
    "idn": "bücher.example",
    "ipv4": "10.0.0.1",
    "ipv6": "2001:db8::1",
    "email": "root@svc.example",
    "uri": "spiffe://svc.example/a/B",
}
PLAIN = ["--no-password", "--insecure"]
ROOTS = {
    "RSA": ["-newkey", "rsa:2048"],
    "Ed25519": ["-newkey", "ed25519"],
}

Judge = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder in which ``mica`` and openssl work; ``$MICAPATH`` is a folder below it."""

    folder: Path
    commands: Commands
    openssl_path: str
    home: str = "home"

    def mica(self, *arguments: str) -> str:
        """One command, which went well; what it printed."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
        done = self.commands.run(
            arguments, folder=self.folder, environment={**clean, "MICAPATH": str(self.folder / self.home)}
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.decode()

    def openssl(self, *arguments: str) -> str:
        """What openssl prints, which had nothing to complain of."""
        done = subprocess.run([self.openssl_path, *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def write(self, name: str, content: str) -> str:
        """The name of the file that holds ``content``."""
        (self.folder / name).write_text(content)
        return name

    def judge(self, certificate: str, *, roots: str, issuers: str | None = None) -> None:
        """Nobody finds a fault in any certificate of the file ``certificate``, and it leads to ``roots``."""
        assert self.mica("certificate", "lint", "--bundle", certificate) == ""
        assert "X509v3" in self.openssl("x509", "-in", certificate, "-noout", "-text")
        chain = ["-untrusted", issuers or certificate]
        self.openssl("verify", "-x509_strict", "-check_ss_sig", "-CAfile", roots, *chain, certificate)

    def judge_request(self, request: str) -> None:
        """Nobody finds a fault in the file ``request``."""
        assert "verify OK" in self.openssl("req", "-in", request, "-noout", "-verify")
        assert self.mica("certificate", "inspect", request)


@pytest.fixture
def place(tmp_path: Path, commands: Commands, tool: Callable[[str], str]) -> Place:
    made = Place(folder=tmp_path, commands=commands, openssl_path=tool("openssl"))
    made.write("password", "the password\n")
    return made


def found(place: Place, *arguments: str) -> tuple[str, str]:
    """``ca init`` has made a CA, which asks for one password everywhere; its root and its intermediate."""
    place.mica(
        "ca", "init", "--name", "Harbour Wörks", "--dns", "localhost", "--dns", "127.0.0.1",
        "--address", f"127.0.0.1:{free_port()}", "--provisioner", "ops@harbour.example",
        "--password-file", "password", "--provisioner-password-file", "password", *arguments,
    )  # fmt: skip
    return f"{place.home}/certs/root_ca.crt", f"{place.home}/certs/intermediate_ca.crt"


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, commands: Commands, tool: Callable[[str], str]
) -> Iterator[tuple[Place, str]]:
    """A CA of ``ca init`` that runs, and its root."""
    place = Place(folder=tmp_path_factory.mktemp("ca"), commands=commands, openssl_path=tool("openssl"))
    place.write("password", "the password\n")
    root, _ = found(place)
    with (place.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mica.cli", "ca", "serve", "--workers", "1", "--password-file", "password"],
            cwd=place.folder,
            env={**os.environ, "MICAPATH": str(place.folder / place.home)},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(place, process)
        yield place, root
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(place: Place, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            place.mica("ca", "health")
            return
        except AssertionError:
            time.sleep(0.1)
    pytest.fail((place.folder / "log").read_text())


def each(judge: Judge, names: "list[str]") -> None:
    """All have been judged, a few at a time."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(judge, names))


def test_the_root_and_the_intermediate_of_ca_init(place: Place) -> None:
    root, intermediate = found(place)
    place.judge(root, roots=root)
    place.judge(intermediate, roots=root)


@pytest.mark.parametrize("kind", ROOTS)
def test_the_intermediate_below_a_root_that_openssl_made(place: Place, kind: str) -> None:
    place.openssl(
        "req", "-x509", *ROOTS[kind], "-noenc", "-keyout", "root.key", "-out", "root.crt", "-days", "365",
        "-subj", "/O=Harbour/CN=Old Root", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    root, intermediate = found(place, "--root", "root.crt", "--key", "root.key")
    place.judge(intermediate, roots=root)
    place.mica(
        "ca", "certificate", "svc.example", "svc.crt", "svc.key", "--offline",
        "--ca-password-file", "password", "--provisioner-password-file", "password",
    )  # fmt: skip
    place.judge("svc.crt", roots=root)


def test_the_certificate_with_which_the_ca_serves(served: tuple[Place, str]) -> None:
    place, root = served
    address = json.loads((place.folder / place.home / "defaults.json").read_text())["ca-url"].removeprefix("https://")
    host, _, port = address.partition(":")
    place.write("server.crt", ssl.get_server_certificate((host, int(port))))
    place.judge("server.crt", roots=root, issuers=f"{place.home}/certs/intermediate_ca.crt")


def test_what_the_ca_issues_for_each_kind_of_key_and_name(served: tuple[Place, str]) -> None:
    place, root = served
    flags = ["--provisioner-password-file", "password"]

    def judge(name: str) -> None:
        sans = [] if name in KEYS else ["--san", SANS[name]]
        place.mica("ca", "certificate", "svc.example", f"{name}.crt", f"{name}.key", *KEYS.get(name, []), *sans, *flags)
        place.judge(f"{name}.crt", roots=root)

    each(judge, [*KEYS, *SANS])
    every = [argument for name in SANS.values() for argument in ("--san", name)]
    place.mica("ca", "certificate", "svc.example", "every.crt", "every.key", *every, *flags)
    place.judge("every.crt", roots=root)


def test_what_follows_a_certificate(served: tuple[Place, str]) -> None:
    place, root = served
    flags = ["--provisioner-password-file", "password"]
    offline = ["--offline", "--ca-password-file", "password"]
    place.mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", *flags)
    steps = {
        "renewed.crt": ["renew", "svc.crt", "svc.key", "--out", "renewed.crt"],
        "by_token.crt": ["renew", "svc.crt", "svc.key", "--out", "by_token.crt", "--no-mtls"],
        "renewed_offline.crt": ["renew", "svc.crt", "svc.key", "--out", "renewed_offline.crt", *offline],
        "rekeyed.crt": ["rekey", "svc.crt", "svc.key", "--out-cert", "rekeyed.crt", "--out-key", "rekeyed.key"],
        "rekeyed_rsa.crt": ["rekey", "svc.crt", "svc.key", "--out-cert", "rekeyed_rsa.crt", "--out-key",
                            "rekeyed_rsa.key", "--kty", "RSA"],
        "rekeyed_offline.crt": ["rekey", "svc.crt", "svc.key", "--out-cert", "rekeyed_offline.crt",
                                "--out-key", "rekeyed_offline.key", *offline],
        "offline.crt": ["certificate", "10.0.0.1", "offline.crt", "offline.key", *offline, *flags],
        "short.crt": ["certificate", "svc.example", "short.crt", "short.key", "--not-after", "5m", *flags],
    }  # fmt: skip

    def judge(name: str) -> None:
        place.mica("ca", *steps[name])
        place.judge(name, roots=root)

    each(judge, [*steps])


def test_requests_and_what_the_ca_makes_of_them(served: tuple[Place, str]) -> None:
    place, root = served

    def judge(name: str) -> None:
        request, key = f"{name}.csr", f"{name}.csr.key"
        sans = ["--san", "svc.example", "--san", SANS[name]] if name in SANS else []
        place.mica("certificate", "create", "--csr", "svc.example", request, key, *KEYS.get(name, []), *sans, *PLAIN)
        place.judge_request(request)
        place.mica("ca", "sign", request, f"{name}.signed.crt", "--provisioner-password-file", "password")
        place.judge(f"{name}.signed.crt", roots=root)

    each(judge, [*KEYS, *SANS])


@pytest.mark.parametrize("name", KEYS)
def test_a_pki_without_a_server(place: Place, name: str) -> None:
    key = KEYS[name]
    above = ["--ca", "root.crt", "--ca-key", "root.key"]
    issuer = ["--ca", "int.crt", "--ca-key", "int.key"]

    def create(file: str, *arguments: str) -> None:
        place.mica("certificate", "create", "Svc", f"{file}.crt", f"{file}.key", *arguments, *key, *PLAIN)

    create("root", "--profile", "root-ca")
    create("int", "--profile", "intermediate-ca", *above)
    create("leaf", "--profile", "leaf", *issuer, "--san", "svc.example", "--san", "10.0.0.1", "--bundle")
    create("self", "--profile", "self-signed", "--subtle", "--san", "svc.example")
    for file in ("root", "int", "leaf"):
        place.judge(f"{file}.crt", roots="root.crt", issuers="int.crt")
    place.judge("self.crt", roots="self.crt")


def test_what_certificate_sign_makes_of_requests(place: Place) -> None:
    place.mica(
        "certificate", "create", "Root", "root.crt", "root.key", "--profile", "root-ca", "--path-len", "2", *PLAIN
    )
    place.mica("certificate", "create", "--csr", "Below", "below.csr", "below.key", *PLAIN)
    signed = place.mica("certificate", "sign", "below.csr", "root.crt", "root.key", "--profile", "intermediate-ca")
    place.write("below.crt", signed)
    place.openssl(
        "req", "-new", "-newkey", "ed25519", "-noenc", "-keyout", "theirs.key", "-out", "theirs.csr",
        "-subj", "/O=Harbour/CN=svc.example", "-addext", "subjectAltName=DNS:svc.example",
        "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth",
    )  # fmt: skip
    for profile in ("leaf", "csr"):
        signed = place.mica(
            "certificate", "sign", "theirs.csr", "below.crt", "below.key", "--profile", profile, "--bundle"
        )
        place.judge(place.write(f"{profile}.crt", signed), roots="root.crt")
    place.judge("below.crt", roots="root.crt")
