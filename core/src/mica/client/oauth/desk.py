"""What a source that lets somebody sign in needs of the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How somebody wants to sign in."""

    console: bool = False
    """By a code that is typed into a browser elsewhere (RFC 8628)."""
    listen: str = ""
    """``host:port`` on which the browser's answer is awaited; empty: what the provider is known to take."""
    listen_url: str = ""
    """What the provider knows that address by; empty: by itself."""
    onward: str = ""
    """Where the browser goes when somebody has signed in; empty: it stays."""
    cache: Path | None = None
    """The folder in which a sign-in is remembered for its short life."""
    roots: bytes | None = field(default=None, repr=False)
    """The only roots, in PEM, by which the provider is trusted; None: the system's."""


@runtime_checkable
class SignInDesk(Protocol):
    """Someone who can be asked to sign in. Its methods raise what the command ends with."""

    @property
    def wishes(self) -> Wishes:
        """How they want to."""

    @property
    def has_display(self) -> bool:
        """Whether a browser that is opened here can be seen."""

    def invite(self, sentences: str, url: str = "") -> None:
        """They have read ``sentences``; a browser is opened at ``url``, when there is one and it may be opened."""
