"""The files that issuance writes: which, and what is in them.

All of it is settled before the CA is asked, and what needs the CA's answer is worked out before the first file is
written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from mica.cli import passwords
from mica.cli.ca.outputflags import MODE, Wanted
from mica.cli.errors import FileProblem
from mica.cli.files import Access
from mica.cli.keys import key_pem
from mica.client import Issued, NotTheCA
from mica.keyfiles import PrivateKey

File = tuple[Path, bytes, int | Access]

#: A private key: for its owner, and for a group when the user named one.
_WIDEST_FOR_KEYS = 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The files that are going to be written, once there is a certificate."""

    wanted: Wanted
    certificate: Path
    key: Path | None = None
    key_password: bytes | None = field(default=None, repr=False)
    p12_password: bytes | None = field(default=None, repr=False)

    @property
    def needs_roots(self) -> bool:
        """Whether the CA has to be asked for its roots."""
        return self.wanted.with_root or self.wanted.root_out is not None

    @property
    def told(self) -> dict[str, Path]:
        """The files, by what they hold."""
        first = "PKCS12" if self.wanted.format == "p12" else "Certificate"
        files = {first: self.certificate, "Private Key": self.key}
        files |= {"Chain": self.wanted.chain_out, "Root": self.wanted.root_out}
        return {label: path for label, path in files.items() if path is not None}

    @property
    def paths(self) -> list[Path]:
        """The files, those first whose loss would be worst."""
        return [path for path in (self.key, self.certificate, self.wanted.chain_out, self.wanted.root_out) if path]

    def files(self, issued: Issued, roots: Sequence[str], key: PrivateKey | None = None) -> list[File]:
        """What ``write_all`` is given, the key first; ``roots`` are the CA's, where they are needed.

        Raises NotTheCA when none of them issued the chain.
        """
        root = _root_of(issued, roots) if self.needs_roots else ""
        chain = (*issued.chain, root) if self.wanted.with_root else issued.chain
        files: list[File] = []
        if self.key is not None and key is not None:
            files.append((self.key, key_pem(key, self.key_password), self._secret))
        if self.wanted.chain_out is not None:
            files.append((self.wanted.chain_out, "".join(issued.chain[1:]).encode(), self.wanted.access))
        if self.wanted.root_out is not None:
            files.append((self.wanted.root_out, root.encode(), self.wanted.access))
        return [*files, self._certificate(chain, key)]

    def _certificate(self, chain: Sequence[str], key: PrivateKey | None) -> File:
        if self.wanted.format == "p12":
            from mica.cli.ca import pkcs12  # rarely wanted

            assert key is not None and self.p12_password is not None, "only a command that makes a key offers it"
            return self.certificate, pkcs12.dump(chain, key, self.p12_password), self._secret
        data = "".join(chain).encode()
        if self.wanted.format == "der":
            data = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        return self.certificate, data, self.wanted.access

    @property
    def _secret(self) -> Access:
        """As for the certificate, but never for others, and for a group only when the user named it."""
        access = self.wanted.access
        return access._replace(mode=access.mode & (MODE if access.gid < 0 else _WIDEST_FOR_KEYS))


def new_p12_password(source: str | None) -> bytes:
    """The password of a PKCS #12 file that is to be made; raises FileProblem, PromptNeeded."""
    label = "Please enter a password for the PKCS #12 file"
    password = passwords.password(source, label, flag="--p12-password-file", new=True)
    try:
        password.decode()
    except UnicodeDecodeError as error:  # RFC 7292 appendix B.1: it is text there
        raise FileProblem(f"{source or 'the password'}: must be text in UTF-8") from error
    return password


def _root_of(issued: Issued, roots: Sequence[str]) -> str:
    """The root to which the chain leads, PEM; raises NotTheCA."""
    last = x509.load_pem_x509_certificate(issued.chain[-1].encode())
    for pem in roots:
        try:
            last.verify_directly_issued_by(x509.load_pem_x509_certificate(pem.encode()))
        except (ValueError, TypeError, InvalidSignature):
            continue
        return pem
    raise NotTheCA("the CA sent a certificate whose chain leads to none of its roots")
