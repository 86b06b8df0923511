"""An X5C provisioner on the command line: it is added, and its certificates and tokens serve at a real CA."""

import base64
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mica.clock import system_clock
from mica.testing.ca import TestCA, csr_pem
from mica.testing.exchange import ask
from mica.testing.service import Service, free_port, served

Run = Callable[..., subprocess.CompletedProcess[bytes]]
PEM = serialization.Encoding.PEM
LIFE = timedelta(hours=2)


class Company:
    """A CA of its own, made with pyca: a root, an issuer below it, and leaves."""

    def __init__(self) -> None:
        self.root_key, self.issuer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self._certify("Root", self.root_key, "Root", self.root_key, ca=True)
        self.issuer = self._certify("Issuer", self.issuer_key, "Root", self.root_key, ca=True)

    def leaf(self, key: Any, life: timedelta = LIFE) -> x509.Certificate:
        return self._certify("edge.example", key, "Issuer", self.issuer_key, life=life)

    def _certify(
        self, subject: str, key: Any, issuer: str, signer: Any, *, ca: bool = False, life: timedelta = LIFE
    ) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (issuer, subject)]
        now = system_clock()
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        builder = (
            x509.CertificateBuilder(*names, key.public_key(), 4711, now - timedelta(minutes=1), now + life)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        if not ca:
            clients = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(clients, critical=False)
        return builder.sign(signer, hashes.SHA256())


COMPANY = Company()
MORE = """
[[provisioners]]
type = "x5c"
name = "edge"
roots = ["company.crt"]
claims = { enable_ssh_ca = true }
"""


def founded(folder: Path, **more: Any) -> TestCA:
    ca = TestCA.found(folder, ssh=True, more=MORE, **more)
    (folder / "company.crt").write_bytes(COMPANY.root.public_bytes(PEM))
    configuration = folder / "ca.toml"
    configuration.write_text(configuration.read_text().replace('"jwk"', '"jwk", "x5c"', 1))
    return ca


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(founded(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        yield running


def hold(folder: Path, key: Any = None, password: bytes | None = None, life: timedelta = LIFE) -> list[str]:
    """A leaf with its issuer is in ``edge.crt``, its key in ``edge.key``; the flags for both."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    pem = COMPANY.leaf(key, life).public_bytes(PEM) + COMPANY.issuer.public_bytes(PEM)
    (folder / "edge.crt").write_bytes(pem)
    sealing = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (folder / "edge.key").write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, sealing))
    return ["--x5c-cert", "edge.crt", "--x5c-key", "edge.key"]


def reach(service: Service) -> list[str]:
    return ["--ca-url", service.ca.url, "--root", str(service.root_file)]


def openssl(folder: Path, *arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


KEYS = {
    "EC P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_certificate_is_had_by_the_certificate_that_one_holds(
    mica: Run, service: Service, tmp_path: Path, kind: str
) -> None:
    flags = hold(tmp_path, KEYS[kind])
    done = mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", *flags, *reach(service))
    assert done.returncode == 0, done.stderr
    assert "edge (X5C)" in done.stderr.decode()
    openssl(tmp_path, "verify", "-CAfile", str(service.root_file), "-untrusted", "svc.crt", "svc.crt")
    assert "DNS:svc.example" in openssl(tmp_path, "x509", "-in", "svc.crt", "-noout", "-ext", "subjectAltName")
    issued = x509.load_pem_x509_certificate((tmp_path / "svc.crt").read_bytes())
    vouching = x509.load_pem_x509_certificate((tmp_path / "edge.crt").read_bytes())
    assert issued.not_valid_after_utc == vouching.not_valid_after_utc
    assert issued.not_valid_before_utc >= vouching.not_valid_before_utc


def test_longer_than_the_certificate_that_vouches_is_refused(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = hold(tmp_path)
    done = mica("ca", "certificate", "a.example", "a.crt", "a.key", "--not-after", "3h", *flags, *reach(service))
    assert done.returncode == 4
    assert b"after the expiration of the provisioning credential" in done.stderr


def test_a_request_is_signed_and_the_certificate_renewed_and_revoked(
    mica: Run, service: Service, tmp_path: Path
) -> None:
    flags = [*hold(tmp_path), *reach(service)]
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "svc.csr").write_text(csr_pem("svc.example", key=key))
    (tmp_path / "svc.key").write_bytes(
        key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    done = mica("ca", "sign", "svc.csr", "svc.crt", *flags)
    assert done.returncode == 0, done.stderr
    done = mica("ca", "renew", "svc.crt", "svc.key", "--force", *reach(service))
    assert done.returncode == 0, done.stderr
    serial = str(x509.load_pem_x509_certificate((tmp_path / "svc.crt").read_bytes()).serial_number)
    made = mica("ca", "token", "--revoke", serial, *flags)
    assert made.returncode == 0, made.stderr
    body = {"ott": made.stdout.decode().strip(), "serial": serial, "passive": True}
    assert ask(service, "POST", "/revoke", body).json == {"status": "ok"}


def test_an_ssh_certificate_lasts_no_longer_either(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path), *reach(service)]
    plain = ["--no-password", "--insecure", "--no-agent"]
    done = mica("ssh", "certificate", "ann@harbour.example", "ann", "--principal", "ann", *plain, *flags)
    assert done.returncode == 0, done.stderr
    certificate = serialization.load_ssh_public_identity((tmp_path / "ann-cert.pub").read_bytes())
    assert isinstance(certificate, serialization.SSHCertificate)
    assert (certificate.key_id, certificate.valid_principals) == (b"ann@harbour.example", [b"ann"])
    vouching = x509.load_pem_x509_certificate((tmp_path / "edge.crt").read_bytes())
    assert certificate.valid_before == int(vouching.not_valid_after_utc.timestamp())


def test_an_encrypted_key_is_opened_by_its_password(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path, password=b"correct horse"), *reach(service)]
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    assert mica("ca", "token", "svc.example", *flags, "--key-password-file", "password").returncode == 0
    opened = ["--provisioner-password-file", "password"]
    done = mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", *flags, *opened)
    assert done.returncode == 0, done.stderr
    done = mica("ca", "token", "svc.example", *flags, "--key-password-file", "wrong")
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"edge.key" in done.stderr


def test_the_issuers_may_be_in_files_of_their_own(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path), *reach(service)]
    leaf, issuer = x509.load_pem_x509_certificates((tmp_path / "edge.crt").read_bytes())
    (tmp_path / "edge.crt").write_bytes(leaf.public_bytes(serialization.Encoding.DER))
    (tmp_path / "issuer.crt").write_bytes(issuer.public_bytes(PEM))
    done = mica("ca", "token", "svc.example", *flags)
    assert done.returncode == 5
    assert b"edge would not believe it" in done.stderr
    assert b"--x5c-chain" in done.stderr
    done = mica("ca", "token", "svc.example", *flags, "--x5c-chain", "issuer.crt")
    assert done.returncode == 0, done.stderr
    header = jwt.get_unverified_header(done.stdout.decode().strip())
    assert len(header["x5c"]) == 2


def test_what_the_ca_would_not_believe_makes_no_token(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path, life=timedelta(seconds=-1)), *reach(service)]
    expired = mica("ca", "token", "svc.example", *flags)
    hold(tmp_path)
    (tmp_path / "edge.key").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    other = mica("ca", "token", "svc.example", *flags)
    (tmp_path / "edge.crt").write_text("nonsense")
    nonsense = mica("ca", "token", "svc.example", *flags)
    for done, said in (
        (expired, b"has expired on"),
        (other, b"edge.key: is not the key of edge.crt"),
        (nonsense, b"edge.crt: does not hold a certificate"),
    ):
        assert (done.returncode, done.stdout) == (5, b""), done.stderr
        assert said in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_certificate_with_a_key_of_an_unknown_kind_is_named(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path), *reach(service)]
    certificate = x509.load_pem_x509_certificate((tmp_path / "edge.crt").read_bytes())
    p256, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030163")
    (tmp_path / "edge.crt").write_bytes(
        certificate.public_bytes(serialization.Encoding.DER).replace(p256, unknown),
    )
    done = mica("ca", "token", "svc.example", *flags)
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"edge.crt: does not hold a certificate" in done.stderr


def test_a_token_by_another_library_serves_once(service: Service) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = (one.public_bytes(serialization.Encoding.DER) for one in (COMPANY.leaf(key), COMPANY.issuer))
    header = {"x5c": [base64.b64encode(one).decode() for one in der]}
    payload = {
        "iss": "edge", "aud": f"{service.ca.url}/1.0/sign#x5c/edge", "sub": "svc.example",
        "exp": int(system_clock().timestamp()) + 60,
    }  # fmt: skip
    body = {"csr": csr_pem("svc.example"), "ott": jwt.encode(payload, key, "ES256", header)}
    assert ask(service, "POST", "/sign", body).status == 201
    assert ask(service, "POST", "/sign", body).status == 401
    for wrong in (
        {**payload, "aud": f"{service.ca.url}/1.0/sign"},
        {**payload, "aud": f"{service.ca.url}/1.0/sign#x5c/other"},
        {**payload, "iss": "admin"},
    ):
        body["ott"] = jwt.encode(wrong, key, "ES256", header)
        assert ask(service, "POST", "/sign", body).status == 401


@pytest.mark.parametrize(("language", "program"), [("sh", ("sh", "-e")), ("python", (sys.executable,))])
def test_the_recipes_of_the_page_make_tokens_that_serve(
    service: Service, tmp_path: Path, language: str, program: tuple[str, ...]
) -> None:
    hold(tmp_path)
    (tmp_path / "issuer.crt").write_bytes(COMPANY.issuer.public_bytes(PEM))
    page = (Path(__file__).parents[3] / "docs/x5c.md").read_text()
    recipe = page.partition(f"```{language}\n")[2].partition("```")[0].replace("https://ca.example", service.ca.url)
    done = subprocess.run(program, input=recipe, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    body = {"csr": csr_pem("svc.example"), "ott": done.stdout.strip()}
    assert ask(service, "POST", "/sign", body).status == 201
    header, payload, signature = body["ott"].split(".")
    swapped = signature[:10] + ("B" if signature[10] == "A" else "A") + signature[11:]
    assert ask(service, "POST", "/sign", {**body, "ott": f"{header}.{payload}.{swapped}"}).status == 401


def test_the_subject_alternative_names_are_no_common_names(service: Service) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = (one.public_bytes(serialization.Encoding.DER) for one in (COMPANY.leaf(key), COMPANY.issuer))
    header = {"x5c": [base64.b64encode(one).decode() for one in der]}
    payload = {
        "iss": "edge", "aud": f"{service.ca.url}/1.0/sign#x5c/edge", "sub": "Service",
        "sans": ["svc.example"], "exp": int(system_clock().timestamp()) + 60,
    }  # fmt: skip
    for common_name, status in (("svc.example", 403), ("Service", 201)):
        token = jwt.encode({**payload, "jti": common_name}, key, "ES256", header)
        body = {"csr": csr_pem("svc.example", common_name=common_name), "ott": token}
        assert ask(service, "POST", "/sign", body).status == status


def test_without_a_certificate_the_provisioner_is_no_choice(mica: Run, service: Service, tmp_path: Path) -> None:
    done = mica("ca", "token", "svc.example", "--provisioner", "edge", *reach(service))
    assert done.returncode == 2
    assert b"--x5c-cert" in done.stderr
    flags = hold(tmp_path)
    done = mica("ca", "certificate", "a", "a.crt", "a.key", "--token", "x.y.z", *flags, *reach(service))
    assert done.returncode == 2
    assert b"incompatible with '--token'" in done.stderr
    done = mica("ca", "certificate", "a", "edge.crt", "edge.key", "--force", *flags, *reach(service))
    assert done.returncode == 2
    assert b"PRIVATE KEY" in (tmp_path / "edge.key").read_bytes()


def test_a_token_is_made_where_nothing_is_known_of_the_ca(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path), "--provisioner", "edge", *reach(service)]
    done = mica("ca", "token", "svc.example", "--offline", *flags)
    assert done.returncode == 0, done.stderr
    body = {"csr": csr_pem("svc.example"), "ott": done.stdout.decode().strip()}
    assert ask(service, "POST", "/sign", body).status == 201


def test_only_a_renewal_may_ask_that_the_chain_is_not_checked(mica: Run, service: Service, tmp_path: Path) -> None:
    flags = [*hold(tmp_path, life=timedelta(seconds=-1)), *reach(service), "--x5c-insecure"]
    done = mica("ca", "token", "--renew", *flags)
    assert done.returncode == 0, done.stderr
    header = jwt.get_unverified_header(done.stdout.decode().strip())
    assert header["x5cInsecure"]
    assert "x5c" not in header
    for other in (["svc.example"], ["--revoke", "4711"], ["--ssh", "ann@harbour.example"]):
        done = mica("ca", "token", *other, *flags)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"'--x5c-insecure' requires the flags '--renew'" in done.stderr


@pytest.mark.parametrize("kind", KEYS)
def test_offline_the_certificate_that_vouches_does_as_well(mica: Run, tmp_path: Path, kind: str) -> None:
    ca = founded(tmp_path / "ca")
    (tmp_path / "own").mkdir()
    flags = hold(tmp_path, KEYS[kind], password=b"correct horse")
    (tmp_path / "password").write_text("correct horse\n")
    offline = ["--offline", "--ca-config", str(ca.directory / "ca.toml")]
    own = ["--provisioner-password-file", "password"]
    done = mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", *flags, *own, *offline)
    assert done.returncode == 0, done.stderr
    issued = x509.load_pem_x509_certificate((tmp_path / "svc.crt").read_bytes())
    vouching = x509.load_pem_x509_certificate((tmp_path / "edge.crt").read_bytes())
    assert issued.not_valid_after_utc == vouching.not_valid_after_utc
    done = mica("ca", "certificate", "a", "a.crt", "a.key", "--not-after", "3h", *flags, *own, *offline)
    assert done.returncode != 0
    assert b"after the expiration of the provisioning credential" in done.stderr
    (tmp_path / "svc.csr").write_text(csr_pem("svc.example"))
    done = mica("ca", "sign", "svc.csr", "signed.crt", *flags, *own, *offline)
    assert done.returncode == 0, done.stderr
    plain = ["--no-password", "--insecure", "--no-agent"]
    done = mica("ssh", "certificate", "ann@harbour.example", "ann", *plain, *flags, *own, *offline)
    assert done.returncode == 0, done.stderr
    certificate = serialization.load_ssh_public_identity((tmp_path / "ann-cert.pub").read_bytes())
    assert isinstance(certificate, serialization.SSHCertificate)
    assert certificate.valid_before == int(vouching.not_valid_after_utc.timestamp())
    done = mica("ca", "token", "svc.example", *flags, "--key-password-file", "password", *offline)
    assert done.returncode == 0, done.stderr
    assert jwt.get_unverified_header(done.stdout.decode().strip())["x5c"]


def test_offline_what_the_ca_does_not_believe_is_refused(mica: Run, tmp_path: Path) -> None:
    ca = founded(tmp_path / "ca")
    flags = hold(tmp_path, life=timedelta(seconds=-1))
    offline = ["--offline", "--ca-config", str(ca.directory / "ca.toml")]
    done = mica("ca", "certificate", "svc.example", "svc.crt", "svc.key", *flags, *offline)
    assert done.returncode != 0
    assert b"has expired on" in done.stderr
    assert not (tmp_path / "svc.crt").exists()


def test_the_provisioner_is_added_with_its_roots(mica: Run, tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    configuration = founded(folder).directory / "ca.toml"
    before = configuration.read_text()
    add = ("ca", "provisioner", "add", "company", "--type", "X5C", "--ca-config", configuration)
    done = mica(*add)
    assert done.returncode != 0
    assert b"at least one file with roots" in done.stderr
    assert configuration.read_text() == before
    done = mica(*add, "--x5c-roots", folder / "company.crt")
    assert done.returncode == 0, done.stderr
    added = tomllib.loads(configuration.read_text())["provisioners"][-1]
    assert (added["name"], added["type"], added["roots"]) == ("company", "x5c", ["company.crt"])
    checked = mica("ca", "check", configuration)
    assert checked.returncode == 0, checked.stderr
    assert b"company (X5C)" in checked.stdout + checked.stderr


def test_the_roots_are_listed_as_step_reads_them(service: Service) -> None:
    listed = ask(service, "GET", "/provisioners").json["provisioners"]
    (edge,) = [one for one in listed if one["type"].upper() == "X5C"]
    assert base64.b64decode(edge["roots"]) == COMPANY.root.public_bytes(PEM)
    assert json.dumps(edge).isascii()


def test_the_client_side_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, mica_x5c.client; "
        "server = ('pluggy', 'asyncio', 'starlette', 'cattrs', 'jwt', 'mica.hookspecs', 'mica.roles', "
        "'mica_x5c.plugin', 'mica_x5c.provisioner', 'mica_x5c.chains'); "
        "print([name for name in server if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
