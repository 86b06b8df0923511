"""``mica`` as a process, openssl as the judge, and a certificate like the one in the documentation."""

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mica.testing.commands import Commands

Run = Callable[..., subprocess.CompletedProcess[str]]

SERIAL = 218846903417720519863355012841906677214
KEY_ID = b"Qv7mT0cXk1uR9e2LwZbYh5sJpNaD3gF6iK8oE4tUxVc"


@pytest.fixture
def mica(tmp_path: Path, commands: Commands) -> Run:
    """Runs ``mica`` in a folder of its own, without a terminal."""

    def mica(
        *arguments: str | Path, input: bytes | str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MICA")}
        result = commands.run(
            [*map(str, arguments)],
            environment={**clean, "MICAPATH": str(tmp_path / "none"), **environment},
            folder=tmp_path,
            input=input.encode() if isinstance(input, str) else input or b"",
        )
        return subprocess.CompletedProcess(
            result.args, result.returncode, result.stdout.decode(), result.stderr.decode()
        )

    return mica


@pytest.fixture
def openssl(tmp_path: Path) -> Callable[..., str]:
    """Runs openssl in the same folder; what it says, stderr included."""

    def openssl(*arguments: str | Path) -> str:
        result = subprocess.run(
            ["openssl", *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return openssl


@pytest.fixture(scope="session")
def stockroom() -> dict[tuple[str, ...], Path]:
    """The folders of ``stock``, by the commands that filled them."""
    return {}


@pytest.fixture
def stock(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, stockroom: dict[tuple[str, ...], Path]
) -> Callable[..., Path]:
    """Files that these commands of openssl make, beside those of a folder; made once in a session, copied each time."""

    def stock(*commands: str, beside: Path | None = None) -> Path:
        if commands not in stockroom:
            folder = tmp_path_factory.mktemp("stock")
            if beside is not None:
                shutil.copytree(beside, folder, dirs_exist_ok=True)
            for command in commands:
                subprocess.run(
                    ["openssl", *command.split()], cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL
                )
            stockroom[commands] = folder
        return shutil.copytree(stockroom[commands], tmp_path, dirs_exist_ok=True)

    return stock


@pytest.fixture
def ssh_keygen(tmp_path: Path) -> Callable[..., str]:
    """Runs ssh-keygen in the folder of the test; what it prints."""

    def ssh_keygen(*arguments: str) -> str:
        command = ["ssh-keygen", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    return ssh_keygen


def tlv(tag: int, contents: bytes) -> bytes:
    """A short DER element."""
    assert len(contents) < 256
    return bytes((tag, *((0x81,) if len(contents) > 127 else ()), len(contents))) + contents


def step_extension(kind: int, name: bytes, credential: bytes, *pairs: bytes) -> x509.UnrecognizedExtension:
    """The provisioner extension as step-ca writes it."""
    listed = tlv(0x30, b"".join(tlv(0x13, pair) for pair in pairs)) if pairs else b""
    value = tlv(0x30, tlv(2, bytes([kind])) + tlv(4, name) + tlv(4, credential) + listed)
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1"), value)


@pytest.fixture
def provisioner_extension() -> Callable[..., x509.UnrecognizedExtension]:
    """Makes the provisioner extension."""
    return step_extension


def name(**attributes: str) -> x509.Name:
    """A distinguished name of O and CN, in the order given."""
    oids = {"o": NameOID.ORGANIZATION_NAME, "cn": NameOID.COMMON_NAME}
    return x509.Name([x509.NameAttribute(oids[kind], value) for kind, value in attributes.items()])


@pytest.fixture
def issue(tmp_path: Path) -> Callable[..., Path]:
    """Writes a certificate like that of the documentation, with the extensions that are given, into a file."""

    def issue(
        file: str,
        *extensions: tuple[x509.ExtensionType, bool],
        subject: x509.Name | None = None,
        issuer: x509.Name | None = None,
        serial: int = SERIAL,
    ) -> Path:
        key, issuing_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .serial_number(serial)
            .issuer_name(issuer or name(o="Harbour Works", cn="Harbour Works Intermediate CA"))
            .subject_name(name(cn="svc.example") if subject is None else subject)
            .not_valid_before(datetime(2031, 3, 14, 9, 25, 53, tzinfo=UTC))
            .not_valid_after(datetime(2031, 3, 15, 9, 26, 53, tzinfo=UTC))
            .public_key(key.public_key())
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(issuing_key, hashes.SHA256())
        (tmp_path / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return tmp_path / file

    return issue


@pytest.fixture
def sample(issue: Callable[..., Path]) -> Path:
    """``svc.crt``: the certificate of the documentation, with a key of its own."""
    unused = (
        "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    names = (
        x509.DNSName("svc.example"),
        x509.DNSName("svc.internal"),
        x509.IPAddress(ipaddress.ip_address("10.20.0.7")),
    )
    purposes = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    authority = bytes.fromhex("7b75eebea84007083d57657c6325f8a944cc18ae")
    return issue(
        "svc.crt",
        (x509.KeyUsage(digital_signature=True, **dict.fromkeys(unused.split(), False)), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectKeyIdentifier(bytes.fromhex("d5295cb7e06e9bc6928b4cd0237b702f2843be23")), False),
        (x509.AuthorityKeyIdentifier(authority, None, None), False),
        (x509.SubjectAlternativeName(names), False),
        (step_extension(1, b"ops@harbour.example", KEY_ID), False),
    )


@pytest.fixture(scope="session")
def strangers_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root and an intermediate that openssl made; the intermediate's key is encrypted, its password beside it."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    (folder / "ca-password").write_text("ca secret\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    ca = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(
        "req", "-x509", *curve, "-noenc", "-keyout", "root.key", "-out", "root.crt", "-subj", "/CN=Root", "-days", "40",
        *ca, "-addext", "basicConstraints=critical,CA:TRUE,pathlen:1",
    )  # fmt: skip
    openssl(
        "req", "-x509", *curve, "-passout", "file:ca-password", "-keyout", "int.key", "-out", "int.crt", "-days", "30",
        "-subj", "/O=Harbour Works/CN=Intermediate", "-CA", "root.crt", "-CAkey", "root.key",
        *ca, "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
    )  # fmt: skip
    return folder


@pytest.fixture
def pki(strangers_pki: Path, tmp_path: Path) -> Path:
    """``root.crt``, ``root.key``, ``int.crt``, ``int.key`` and ``ca-password``, in the folder of the test."""
    for file in strangers_pki.iterdir():
        shutil.copy(file, tmp_path)  # with its mode
    return tmp_path
