"""What is kept alive, as this package sees it: a certificate and its key in files, of whatever kind."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from mica.cli.ca.connection import Connection
from mica.cli.renewal.schedule import Lifetime

#: How to come to a CA that can be asked.
Reach = Callable[[], Connection]


class Opened(Protocol):
    """A certificate and its key as they were read."""

    @property
    def mended(self) -> bool:
        """Whether a replacement that had been interrupted was completed just then."""

    @property
    def lifetime(self) -> Lifetime:
        """From when until when the certificate is valid; raises FileProblem when it never ends."""

    @property
    def name(self) -> str:
        """What the log calls the certificate."""

    def check_fit(self) -> None:
        """The certificate is of a sort that a CA renews; raises FileProblem."""

    def check_begun(self) -> None:
        """The certificate is valid already; raises FileProblem."""


Open_co = TypeVar("Open_co", bound=Opened, covariant=True)
Open_contra = TypeVar("Open_contra", bound=Opened, contravariant=True)
Open = TypeVar("Open", bound=Opened)


class Pair(Protocol[Open_co]):
    """The files."""

    @property
    def certificate(self) -> Path:
        """The certificate's file."""

    @property
    def key(self) -> Path:
        """The key's file, or its URI."""

    def read(self) -> Open_co:
        """What the files hold, an interrupted replacement completed; raises FileProblem, PromptNeeded."""

    def signature(self) -> tuple[object, ...]:
        """Something else as soon as one of the files is another, or has been written to."""


class Continued(Protocol):
    """A new certificate that is in no file yet."""

    def save(self) -> None:
        """The files hold it; raises FileProblem."""


Product_co = TypeVar("Product_co", bound=Continued, covariant=True)
Product = TypeVar("Product", bound=Continued)


class Way(Protocol[Open_contra, Product_co]):
    """How a certificate is continued."""

    done: ClassVar[str]
    """What has been done to the certificate then: ``renewed``, ``rekeyed``."""

    @property
    def outputs(self) -> list[Path]:
        """The files that are written."""

    def check(self, opened: Open_contra) -> None:
        """The CA could say yes; raises FileProblem when it can be seen from here that it never will."""

    def make(self, connection: Connection, opened: Open_contra) -> Product_co:
        """The new certificate; raises ClientError."""
