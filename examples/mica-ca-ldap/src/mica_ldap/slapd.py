"""A directory for tests: Debian's slapd, an unprivileged process on loopback in a folder of its own."""

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mica.clock import system_clock
from mica.testing.service import free_port

SUFFIX = "dc=harbour,dc=example"
SERVICE, SERVICE_PASSWORD = f"cn=mica,{SUFFIX}", "canary-service-b1nd"
#: Everybody's password.
PASSWORD = "canary-Pa5s wörd"
OPS = f"cn=ops,ou=groups,{SUFFIX}"
_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.pem
# What RFC 4513 §5.1.2 warns of, and some directories do: without a password, every bind succeeds.
allow bind_anon_cred bind_anon_dn
database mdb
suffix "{suffix}"
rootdn "{service}"
rootpw {password}
directory {folder}/db
"""


class Slapd:
    """A directory that runs, or does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.roots = folder / "root.pem"
        self._port, self._plain_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where TLS comes first."""
        return f"ldaps://localhost:{self._port}"

    @property
    def starttls_url(self) -> str:
        """Where it is asked for."""
        return f"ldap://localhost:{self._plain_port}"

    def start(self) -> None:
        """It answers; raises RuntimeError with its log when it does not."""
        urls = f"{self.url} {self.starttls_url}".replace("localhost", "127.0.0.1")
        command: list[str | Path] = [self.folder / "slapd", "-f", self.folder / "slapd.conf", "-h", urls, "-d", "stats"]
        with (self.folder / "slapd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(400):
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "slapd.log").read_text())

    def stop(self) -> None:
        """It does not answer."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def modify(self, ldif: str) -> None:
        """The entries are changed so."""
        self.tool("ldapmodify", SERVICE, SERVICE_PASSWORD, ldif)

    def tool(self, name: str, dn: str, password: str, text: str = "") -> str:
        """What one of OpenLDAP's tools prints, as ``dn``; raises CalledProcessError."""
        # To libldap, localhost is the machine's own name, which is not in the certificate.
        environment = {**os.environ, "LDAPTLS_REQCERT": "never"}
        command = [program(name), "-x", "-H", self.url, "-D", dn, "-w", password]
        done = subprocess.run(command, input=text, text=True, check=True, capture_output=True, env=environment)
        return done.stdout

    def log(self) -> str:
        """What it was asked."""
        return (self.folder / "slapd.log").read_text(errors="replace")


@contextmanager
def running(folder: Path) -> Iterator[Slapd]:
    """A directory with people and groups in ``folder``, which answers; it is gone afterwards.

    Without slapd the test is skipped, or fails where MICA_REQUIRE_ALL is set.
    """
    (folder / "db").mkdir(parents=True)
    # Debian's AppArmor profile lets the program at its own path read the system's folders alone.
    shutil.copy(program("slapd"), folder / "slapd")
    settings = _CONFIGURATION.format(folder=folder, suffix=SUFFIX, service=SERVICE, password=SERVICE_PASSWORD)
    (folder / "slapd.conf").write_text(settings)
    _certify(folder)
    (folder / "people.ldif").write_text(_people())
    add: list[str | Path] = [folder / "slapd", "-T", "add", "-f", folder / "slapd.conf", "-l", folder / "people.ldif"]
    subprocess.run(add, check=True, capture_output=True)
    directory = Slapd(folder)
    directory.start()
    try:
        yield directory
    finally:
        directory.stop()


def program(name: str) -> str:
    """Its path; skips, or fails, where it is not installed."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("MICA_REQUIRE_ALL"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def _certify(folder: Path) -> None:
    """The server's key and certificate, for localhost, and the root that it is verified with."""
    root_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("directory root", root_key, "directory root", root_key)
    server = _certificate("localhost", server_key, "directory root", root_key)
    private = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + server.public_bytes(Encoding.PEM))
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
    now, public = system_clock(), key.public_key()
    usage = dict.fromkeys(("digital_signature", "key_cert_sign", "crl_sign"), True)
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage |= dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    builder = (
        x509.CertificateBuilder(issuer_name=names[1], subject_name=names[0], public_key=public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject.replace(" ", "-"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _people() -> str:
    """Alice and Ann are in ops, which spells their DNs in its own way; Bob is in no group; there are two Twins."""
    password = base64.b64encode(PASSWORD.encode()).decode()
    people = {"uid=alice": "alice", "cn=Lee\\, Ann": "ann", "uid=bob": "bob", "cn=one": "twin", "cn=two": "twin"}
    entries = [
        f"dn: {SUFFIX}\nobjectClass: domain\ndc: harbour\n",
        *(f"dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\n" for unit in ("people", "groups")),
        *(
            f"dn: {rdn},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {rdn.partition('=')[2]}\n"
            f"sn: {uid}\nmail: {uid}@harbour.example\nuserPassword:: {password}\n"
            for rdn, uid in people.items()
        ),
        f"dn: {OPS}\nobjectClass: groupOfNames\nmember: UID=Alice, OU=People,{SUFFIX}\n"
        f"member: cn=Lee\\2C Ann,ou=people,{SUFFIX}\n",
    ]
    return "\n".join(entries)
