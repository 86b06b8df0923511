"""An SSH host certificate and its key, each in its file, as something that is renewed."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from mica.cli.errors import FileProblem
from mica.cli.keys import is_key_uri
from mica.cli.renewal import pairfiles
from mica.cli.renewal.pairfiles import KeyOpener
from mica.cli.renewal.schedule import Lifetime
from mica.cli.ssh.inputs import entries
from mica.cli.ssh.issuing.keypairs import PUBLIC, Place, line
from mica.clock import system_clock
from mica.keyfiles import PrivateKey
from mica.sshcert import CertType, SSHCertificate
from mica.sshkeys import SSHPublicKey

_HINT = "name the key that the certificate is for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A pair as it was read."""

    path: Path
    certificate: SSHCertificate
    comment: str
    """What stands behind the certificate in its file."""
    key: PrivateKey = field(repr=False)
    password: bytes | None = field(repr=False)
    """What the key in its file is encrypted with, if it is."""
    mended: bool = False

    @property
    def lifetime(self) -> Lifetime:
        """From when until when the certificate is valid; raises FileProblem when it never ends."""
        tbs = self.certificate.tbs
        if tbs.valid_before is None:
            raise FileProblem(f"{self.path}: has no end, and needs no renewal")
        return Lifetime(start=tbs.valid_after, end=tbs.valid_before)

    @property
    def name(self) -> str:
        """The key id."""
        return self.certificate.tbs.key_id

    def check_fit(self) -> None:
        """It is a host's certificate; raises FileProblem."""
        if self.certificate.tbs.cert_type is not CertType.HOST:
            raise FileProblem(
                f"{self.path}: is a user's certificate, and the CA renews those of hosts",
                hint="get a new one with mica ssh login or mica ssh certificate",
            )

    def check_begun(self) -> None:
        """The certificate is valid already; raises FileProblem."""
        start = self.certificate.tbs.valid_after
        if start > system_clock():
            raise FileProblem(
                f"{self.path}: is not valid before {start:%Y-%m-%d %H:%M:%S} UTC", hint="compare the clocks"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two files."""

    certificate: Path
    key: Path
    keys: KeyOpener

    def read(self) -> Opened:
        """What the files hold, an interrupted replacement completed; raises FileProblem, PromptNeeded."""
        opened = self._open()
        if _is_for(opened.certificate, opened.key):
            return opened
        pairfiles.complete(
            self.certificate,
            self.key,
            lambda path: _is_for(_read(path)[0], opened.key),
            hint=_HINT,
            between=self._public(opened),
            mode=PUBLIC,
        )
        certificate, comment = _read(self.certificate)
        return replace(opened, certificate=certificate, comment=comment, mended=True)

    def hold(self) -> Opened:
        """What the files hold, which belong together as they are; raises FileProblem, PromptNeeded."""
        opened = self._open()
        if not _is_for(opened.certificate, opened.key):
            raise FileProblem(f"{self.key}: is not the key of {self.certificate}", hint=_HINT)
        return opened

    def _open(self) -> Opened:
        certificate, comment = _read(self.certificate)
        key, password = self.keys.open(self.key)
        return Opened(path=self.certificate, certificate=certificate, comment=comment, key=key, password=password)

    def _public(self, opened: Opened) -> list[tuple[Path, bytes]]:
        """The public half beside the key: what interrupted the replacement may have come before it."""
        if str(self.key) == "-" or is_key_uri(self.key):
            return []
        blob = SSHPublicKey.of(opened.key.public_key()).blob
        return [(Place(self.key).public, line(blob, opened.comment))]

    def signature(self) -> tuple[object, ...]:
        """Something else as soon as one of the files is another, or has been written to."""
        return pairfiles.signature(self.certificate, self.key)


def _read(path: Path) -> tuple[SSHCertificate, str]:
    entry, *others = entries(str(path))
    if others:
        raise FileProblem(f"{path}: holds {1 + len(others)} keys", hint="name a file with the certificate alone")
    return entry.certificate(), entry.line.comment


def _is_for(certificate: SSHCertificate, key: PrivateKey) -> bool:
    return certificate.tbs.public_key.key == key.public_key()
