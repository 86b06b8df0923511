"""What openssl makes of the certificates: they verify, and say what the protocol wants them to say."""

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mica.keyfiles import generate
from mica.testing.ca import TestCA, public_jwk
from mica.testing.exchange import Credential, ask, keep, obtain
from mica.testing.service import Service, free_port, served

KINDS = ["EC-P256", "EC-P384", "EC-P521", "RSA-2048", "RSA-3072", "Ed25519"]
NAMES = ("svc.example", "*.svc.example", "10.0.0.1", "2001:db8::1", "root@svc.example", "spiffe://svc.example/a/B")
PROVISIONER_EXTENSION = "1.3.6.1.4.1.37476.9000.64.1"
#: How openssl makes the keys of a CA.
GENPKEY = {
    "RSA": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "P-384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "P-521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "Ed25519": ["ED25519"],
}
CA_EXTENSIONS = (
    "basicConstraints=critical,CA:TRUE,pathlen:{}", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash"
)  # fmt: skip

OpenSSL = Callable[..., str]


@pytest.fixture(scope="module")
def openssl(tool: Callable[[str], str]) -> OpenSSL:
    """Runs openssl, and gives what it prints."""
    program = tool("openssl")

    def run(*arguments: str | Path, data: bytes | None = None) -> str:
        result = subprocess.run([program, *map(str, arguments)], input=data, capture_output=True, check=False)
        assert result.returncode == 0, (arguments, result.stdout, result.stderr)
        return result.stdout.decode()

    return run


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port()), workers=1) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def credential(
    service: Service, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Credential:
    """A certificate of every kind of name, for a key of each kind."""
    return obtain(service, tmp_path_factory.mktemp("leaf"), *NAMES, key=generate(request.param))


@pytest.fixture(scope="module")
def text(openssl: OpenSSL, credential: Credential) -> str:
    """The certificate as openssl prints it."""
    return openssl("x509", "-in", credential.certificate, "-noout", "-text")


def extension(text: str, title: str) -> str:
    """What openssl prints below the extension's title; ``critical`` comes first where it is."""
    match = re.search(rf"^ {{12}}{re.escape(title)}: ?(critical)?\n((?: {{16}}.*\n)*)", text, re.MULTILINE)
    assert match, title
    return " ".join(filter(None, [match[1], *(line.strip() for line in match[2].splitlines())]))


def moment(text: str, field: str) -> datetime:
    found = re.search(rf"{field} ?: (.*) GMT", text)
    assert found
    return datetime.strptime(found[1], "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)


def test_openssl_verifies_root_intermediate_and_leaf(
    openssl: OpenSSL, service: Service, credential: Credential
) -> None:
    trust = ("verify", "-x509_strict", "-CAfile", service.root_file, "-untrusted", credential.certificate)
    for purpose in ("sslserver", "sslclient"):
        assert openssl(*trust, "-purpose", purpose, credential.certificate).endswith(": OK\n")
    for flag, name in (
        ("-verify_hostname", "svc.example"),
        ("-verify_hostname", "a.svc.example"),
        ("-verify_ip", "2001:db8::1"),
        ("-verify_email", "root@svc.example"),
    ):
        assert openssl(*trust, flag, name, credential.certificate).endswith(": OK\n")


def test_the_subject_is_the_tokens_and_the_issuer_the_intermediate(text: str, service: Service) -> None:
    assert re.search(r"Version: 3 ", text)
    assert re.search(r"Subject: CN = svc\.example\n", text)
    assert re.search(r"Issuer: O = Test, CN = Test Intermediate CA\n", text)
    assert "Signature Algorithm: ecdsa-with-SHA256" in text


def test_the_serial_number_is_positive_and_long(openssl: OpenSSL, credential: Credential) -> None:
    serial = int(openssl("x509", "-in", credential.certificate, "-noout", "-serial").partition("=")[2], 16)
    assert serial == credential.leaf.serial_number
    assert 64 <= serial.bit_length() <= 159


def test_it_lasts_a_day_and_began_a_minute_ago(text: str) -> None:
    begin, end = moment(text, "Not Before"), moment(text, "Not After")
    assert end - begin == timedelta(hours=24, minutes=1)
    assert timedelta(seconds=59) < datetime.now(UTC) - begin < timedelta(minutes=4)


def test_it_has_these_extensions_and_no_other(text: str) -> None:
    extensions = text.partition("X509v3 extensions:\n")[2]
    assert sorted(re.findall(r"^ {12}(\S.*?): ?(?:critical)?$", extensions, re.MULTILINE)) == [
        PROVISIONER_EXTENSION,
        "X509v3 Authority Key Identifier",
        "X509v3 Extended Key Usage",
        "X509v3 Key Usage",
        "X509v3 Subject Alternative Name",
        "X509v3 Subject Key Identifier",
    ]


def test_key_usage_fits_the_key(text: str, credential: Credential) -> None:
    rsa = "Public Key Algorithm: rsaEncryption" in text
    expected = "critical Digital Signature, Key Encipherment" if rsa else "critical Digital Signature"
    assert extension(text, "X509v3 Key Usage") == expected
    assert (
        extension(text, "X509v3 Extended Key Usage") == "TLS Web Server Authentication, TLS Web Client Authentication"
    )


def test_the_names_are_the_tokens(text: str) -> None:
    assert extension(text, "X509v3 Subject Alternative Name") == (
        "DNS:svc.example, DNS:*.svc.example, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1, "
        "email:root@svc.example, URI:spiffe://svc.example/a/B"
    )


def test_the_key_identifiers_are_those_that_openssl_computes(
    openssl: OpenSSL, text: str, credential: Credential, service: Service
) -> None:
    pem = openssl(
        "req", "-x509", "-new", "-key", credential.key, "-subj", "/CN=x", "-addext", "subjectKeyIdentifier=hash"
    )
    own = openssl("x509", "-noout", "-text", data=pem.encode())
    assert extension(text, "X509v3 Subject Key Identifier") == extension(own, "X509v3 Subject Key Identifier")
    issuer = openssl("x509", "-noout", "-text", "-in", service.ca.directory / "certs/intermediate_ca.crt")
    assert extension(text, "X509v3 Authority Key Identifier") == extension(issuer, "X509v3 Subject Key Identifier")


def test_the_provisioner_extension_is_steps(openssl: OpenSSL, credential: Credential, service: Service) -> None:
    lines = openssl("asn1parse", "-in", credential.certificate).splitlines()
    place = next(index for index, line in enumerate(lines) if f":{PROVISIONER_EXTENSION}" in line)
    value = lines[place + 1]  # Behind the OID comes the value at once: not critical.
    assert "OCTET STRING" in value
    inner = openssl("asn1parse", "-in", credential.certificate, "-strparse", value.partition(":")[0].strip())
    assert [re.sub(r"^.*?(?:prim|cons): *", "", line).split() for line in inner.splitlines()] == [
        ["SEQUENCE"],
        ["INTEGER", ":01"],
        ["OCTET", "STRING", ":admin"],
        ["OCTET", "STRING", f":{public_jwk(service.ca.provisioner_key.public_key())['kid']}"],
    ]


def test_a_subject_too_long_for_a_common_name_makes_the_names_critical(
    openssl: OpenSSL, service: Service, tmp_path: Path
) -> None:
    name = f"{'a' * 60}.svc.example"
    long = obtain(service, tmp_path, name)
    text = openssl("x509", "-in", long.certificate, "-noout", "-text")
    assert "Subject: \n" in text
    assert extension(text, "X509v3 Subject Alternative Name") == f"critical DNS:{name}"
    trust = ("verify", "-x509_strict", "-CAfile", service.root_file, "-untrusted", long.certificate)
    assert openssl(*trust, "-verify_hostname", name, long.certificate).endswith(": OK\n")


def test_renewal_and_rekey_change_the_serial_number_and_the_validity(
    openssl: OpenSSL, service: Service, credential: Credential, text: str, tmp_path: Path
) -> None:
    """The rekey is for the same key, so that everything else must be the same; its CSR is empty, as step's is."""
    request = openssl("req", "-new", "-key", credential.key, "-subj", "/")
    for path, body in (("/renew", None), ("/rekey", {"csr": request})):
        answer = ask(service, "POST", path, body, credential=credential)
        assert answer.status == 201, answer
        renewed = keep(tmp_path, "".join(answer.json["certChain"]), credential.private_key)
        trust = ("verify", "-x509_strict", "-CAfile", service.root_file, "-untrusted", renewed.certificate)
        assert openssl(*trust, renewed.certificate).endswith(": OK\n")
        again = openssl("x509", "-in", renewed.certificate, "-noout", "-text")
        assert again != text and _constant(again) == _constant(text)
        assert moment(again, "Not After") - moment(again, "Not Before") == timedelta(hours=24, minutes=1)


def _constant(text: str) -> str:
    """The text without serial number, validity and signature."""
    body = text.partition("    Signature Value:")[0]
    return re.sub(r"Serial Number:\n.*\n|Not (Before|After ?): .*\n", "", body)


@pytest.mark.parametrize("kind", GENPKEY)
def test_a_ca_that_openssl_founded_issues_what_openssl_verifies(openssl: OpenSSL, tmp_path: Path, kind: str) -> None:
    ca = TestCA.found(tmp_path / "ca", port=free_port())
    for name in ("root", "intermediate"):
        openssl("genpkey", "-algorithm", *GENPKEY[kind], "-out", tmp_path / f"{name}.key")
        openssl(
            "req", "-new", "-key", tmp_path / f"{name}.key", "-subj", f"/CN={name}", "-out", tmp_path / f"{name}.csr"
        )
    _certify(openssl, tmp_path, "root", "-key", tmp_path / "root.key", path_length=1)
    issuer = ("-CA", tmp_path / "root.crt", "-CAkey", tmp_path / "root.key")
    _certify(openssl, tmp_path, "intermediate", *issuer, path_length=0)
    (ca.directory / "certs/root_ca.crt").write_bytes((tmp_path / "root.crt").read_bytes())
    (ca.directory / "certs/intermediate_ca.crt").write_bytes((tmp_path / "intermediate.crt").read_bytes())
    (ca.directory / "secrets/intermediate_ca_key").write_bytes((tmp_path / "intermediate.key").read_bytes())
    with served(ca, workers=1) as service:
        leaf = obtain(service, tmp_path, "svc.example")
        trust = ("verify", "-x509_strict", "-CAfile", service.root_file, "-untrusted", leaf.certificate)
        assert openssl(*trust, leaf.certificate).endswith(": OK\n")
        renewed = ask(service, "POST", "/renew", credential=leaf)
        assert renewed.status == 201
        again = keep(tmp_path, "".join(renewed.json["certChain"]), leaf.private_key)
        assert openssl(*trust, again.certificate).endswith(": OK\n")


def _certify(openssl: OpenSSL, folder: Path, name: str, *issuer: str | Path, path_length: int) -> None:
    """``name.crt`` is a CA certificate for ``name.csr``."""
    extensions = folder / "extensions"
    extensions.write_text("\n".join(CA_EXTENSIONS).format(path_length))
    made = ("x509", "-req", "-in", folder / f"{name}.csr", "-days", "30", "-extfile", extensions)
    openssl(*made, *issuer, "-out", folder / f"{name}.crt")
