"""A certificate and its key as files, ready to prove who they are to the CA."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.cli.errors import FileProblem
from mica.cli.files import read_input
from mica.cli.keys import key_pem, read_key
from mica.cli.mistakes import mistaken
from mica.client import Identity
from mica.clock import system_clock
from mica.keyfiles import PrivateKey
from mica.pkix import UNREADABLE
from mica.recognition import CERTIFICATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A certificate with its issuers, as far as the file has them, and the key that belongs to it."""

    path: Path
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def expired(self) -> bool:
        """Whether its time is over, by this machine's clock."""
        return self.certificate.not_valid_after_utc <= system_clock()

    @property
    def identity(self) -> Identity:
        """What TLS presents."""
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)
        return Identity(certificates=pem, key=key_pem(self.key, None))

    def check_client_auth(self) -> None:
        """The certificate may be used by TLS clients, which the CA insists on; raises FileProblem."""
        try:
            usages = self.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return
        if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
            raise FileProblem(
                f"{self.path}: has no clientAuth usage, without which the CA takes it for nobody's proof",
                hint="get a new certificate instead: mica ca certificate",
            )


def read(certificate: Path, key: Path, password_source: str | None, *, flag: str = "--password-file") -> Holder:
    """The certificate and its key; raises FileProblem when either cannot be read, or they do not belong together."""
    chain = read_chain(certificate)
    private = read_key(key, password_source, flag=flag)
    if chain[0].public_key() != private.public_key():
        raise FileProblem(
            f"{key}: is not the key of {certificate}", hint=f"the first certificate in {certificate} counts"
        )
    return Holder(path=certificate, chain=chain, key=private)


def read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in ``path``, PEM (or one in DER), in their order; raises FileProblem when there is none."""
    data = read_input(path)
    try:
        if b"-----BEGIN" not in data:
            return (x509.load_der_x509_certificate(data),)
        return tuple(x509.load_pem_x509_certificates(data))
    except UNREADABLE as error:
        raise mistaken(data, path, CERTIFICATE) from error
