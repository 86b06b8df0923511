"""An X.509 certificate and its key, each in its file, as something that is renewed."""

from dataclasses import dataclass, field
from pathlib import Path

from mica.cli.ca import identities
from mica.cli.ca.identities import Holder
from mica.cli.errors import FileProblem
from mica.cli.renewal import pairfiles
from mica.cli.renewal.pairfiles import KeyOpener
from mica.cli.renewal.schedule import Lifetime
from mica.client.renewtoken import common_name
from mica.clock import system_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A pair as it was read. ``mended``: the certificate was put in its place just then."""

    holder: Holder
    password: bytes | None = field(repr=False)
    """What the key in its file is encrypted with, if it is."""
    mended: bool

    @property
    def lifetime(self) -> Lifetime:
        """From when until when the certificate is valid."""
        certificate = self.holder.certificate
        return Lifetime(start=certificate.not_valid_before_utc, end=certificate.not_valid_after_utc)

    @property
    def name(self) -> str:
        """The subject's CN, empty when it has none."""
        return common_name(self.holder.certificate)

    def check_fit(self) -> None:
        """It is a TLS client's certificate, by which it can ask for its renewal; raises FileProblem."""
        self.holder.check_client_auth()

    def check_begun(self) -> None:
        """The certificate is valid already; raises FileProblem."""
        start = self.lifetime.start
        if start > system_clock():
            raise FileProblem(
                f"{self.holder.path}: is not valid before {start:%Y-%m-%d %H:%M:%S} UTC", hint="compare the clocks"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two files."""

    certificate: Path
    key: Path
    keys: KeyOpener

    def read(self) -> Opened:
        """What the files hold, an interrupted replacement completed; raises FileProblem, PromptNeeded."""
        chain = identities.read_chain(self.certificate)
        key, password = self.keys.open(self.key)
        mended = chain[0].public_key() != key.public_key()
        if mended:
            pairfiles.complete(
                self.certificate,
                self.key,
                lambda path: identities.read_chain(path)[0].public_key() == key.public_key(),
                hint=f"the first certificate in {self.certificate} counts",
            )
            chain = identities.read_chain(self.certificate)
        holder = Holder(path=self.certificate, chain=chain, key=key)
        return Opened(holder=holder, password=password, mended=mended)

    def signature(self) -> tuple[object, ...]:
        """Something else as soon as one of the files is another, or has been written to."""
        return pairfiles.signature(self.certificate, self.key)
