"""``--x5c-cert``, ``--x5c-key``, ``--x5c-chain``: a certificate that vouches, in place of a provisioner's own key."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from mica.cli.errors import Usage
from mica.cli.options import FILE

if TYPE_CHECKING:
    from pathlib import Path

Command = TypeVar("Command", bound=Callable[..., Any])


class X5C(NamedTuple):  # dataclasses are slow to import
    """A certificate and its key, which sign the token; the provisioner is one of the type X5C."""

    certificate: "Path"
    key: "Path"
    chain: "tuple[Path, ...]" = ()

    @property
    def files(self) -> "tuple[Path, ...]":
        """What must not be written over."""
        return (self.certificate, self.key, *self.chain)


def flags(command: Command) -> Command:
    """``x5c: X5C | None``. A command with a ``token`` takes one or the other."""

    @wraps(command)
    def gathering(
        *arguments: Any,
        x5c_cert: "Path | None",
        x5c_key: "Path | None",
        x5c_chain: "tuple[Path, ...]",
        **rest: Any,
    ) -> Any:
        for fault in pair_faults(x5c_cert, x5c_key, x5c_chain):
            raise Usage(fault)
        if x5c_cert is None or x5c_key is None:
            return command(*arguments, x5c=None, **rest)
        if rest.get("token") is not None:
            raise Usage("flag '--x5c-cert' is incompatible with '--token'", hint="one of them proves who asks")
        return command(*arguments, x5c=X5C(x5c_cert, x5c_key, x5c_chain), **rest)

    cert = click.option("--x5c-cert", type=FILE, help="Certificate that vouches, at a provisioner of the type X5C.")
    key = click.option("--x5c-key", type=FILE, help="Its key; --provisioner-password-file has its password.")
    return cert(key(chain(gathering)))  # type: ignore[return-value]


def chain(command: Command) -> Command:
    """``x5c_chain: tuple[Path, ...]``."""
    help = "Issuers of --x5c-cert, where it does not hold them itself; may be repeated."
    return click.option("--x5c-chain", type=FILE, multiple=True, help=help)(command)


def insecure(command: Command) -> Command:
    """``--x5c-insecure`` says what a renew token is anyway, and is refused for every other; the command has no part."""

    @wraps(command)
    def checked(*arguments: Any, x5c_insecure: bool, **rest: Any) -> Any:
        if x5c_insecure and not (rest["renew"] and rest["x5c_cert"]):
            raise Usage(
                "flag '--x5c-insecure' requires the flags '--renew' and '--x5c-cert'",
                hint="its token asks the CA not to check the chain, and a provisioner of the type X5C refuses it",
            )
        return command(*arguments, **rest)

    help = "The CA is not to check the chain: said of every token for --renew, and for no other."
    return click.option("--x5c-insecure", is_flag=True, help=help)(checked)  # type: ignore[return-value]


def pair_faults(cert: "Path | None", key: "Path | None", chain: "tuple[Path, ...]") -> list[str]:
    """Why the flags make no sense together."""
    if (cert is None) != (key is None):
        return ["flags '--x5c-cert' and '--x5c-key' require each other"]
    if chain and cert is None:
        return ["flag '--x5c-chain' requires the flags '--x5c-cert' and '--x5c-key'"]
    return []
