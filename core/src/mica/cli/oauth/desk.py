"""Whoever sits at the command line, asked to sign in: by a browser here, or by one elsewhere."""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from mica.cli import console
from mica.cli.errors import PromptNeeded
from mica.cli.options import SIGN_IN
from mica.cli.paths import mica_path

if TYPE_CHECKING:
    from pathlib import Path

    from mica.client.oauth import Wishes
    from mica.tokens import UnverifiedToken

_MADE = "mica.cli.oauth.desk.made"  # in click's meta: the identity token that this run was given


class BrowserDesk:
    """Reads the flags of ``options.sign_in``, and the environment's word on displays."""

    @property
    def wishes(self) -> "Wishes":
        """How they want to; raises FileProblem when the root is none."""
        from mica.client.oauth import Wishes  # only a sign-in needs it

        said = _said()
        return Wishes(
            console=bool(said.get("console")),
            listen=said.get("listen") or "",
            cache=_cache(),
            roots=_roots(said.get("oidc_root")),
        )

    @property
    def has_display(self) -> bool:
        """Whether a window that is opened here can be seen by whoever typed the command."""
        if os.environ.get("SSH_CONNECTION"):
            return False
        native = sys.platform in ("darwin", "win32")
        return native or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

    @property
    def remedy(self) -> str:
        """What to do where nobody may be asked."""
        return "give a token that was made elsewhere with --token, or choose another --provisioner"

    def invite(self, sentences: str, url: str = "") -> None:
        """``sentences`` are on stderr, and a browser opens ``url`` unless MICA_OPEN_BROWSER is 0.

        Raises PromptNeeded when nobody may be asked.
        """
        if console.settings().non_interactive:
            raise PromptNeeded(
                "somebody must sign in with the identity provider: --non-interactive forbids asking",
                hint=self.remedy,
            )
        console.say(sentences)
        if url and self.has_display and os.environ.get("MICA_OPEN_BROWSER") != "0":
            _open(url)


def remember(raw: str) -> None:
    """The identity token ``raw`` was made in this run, for a CA that may yet refuse it."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_MADE] = raw


def give_back(token: "UnverifiedToken") -> None:
    """The next command need not sign in, if ``token`` is this run's: the CA has refused what was asked, not it."""
    context, folder = click.get_current_context(silent=True), _cache()
    if context is None or folder is None or context.meta.get(_MADE) != token.raw:
        return
    from mica.client.oauth import sessions  # most runs have no identity token

    sessions.give_back(token, folder)
    # The CA may have refused because it is the wrong person.
    who = console.printable(token.text("email") or token.subject)
    console.say(f"{who} signed in, which the next command uses; --no-cache is to sign in as somebody else.")


def _said() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return context.meta.get(SIGN_IN, {}) if context is not None else {}


def _cache() -> "Path | None":
    return None if _said().get("no_cache") else mica_path() / "oidc"


def _roots(path: Any) -> bytes | None:
    from mica.cli.ca.connection import read_roots  # only those who name a root need it

    return None if path is None else read_roots(path)


def _open(url: str) -> None:
    """A browser opens ``url``, if there is one.

    In a process of its own: what a browser prints is no product of this command, and a slow one is not waited for. The
    URL holds no secret (see ``Attempt.url``), so that the list of processes may show it. Isolated, for ``-m`` would
    take a webbrowser.py from the folder that the command was typed in.
    """
    import subprocess  # slow to import

    with suppress(OSError):
        subprocess.Popen(  # noqa: S603  # nothing of it is a shell's
            [sys.executable, "-I", "-m", "webbrowser", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
