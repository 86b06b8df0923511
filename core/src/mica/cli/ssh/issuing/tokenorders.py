"""What a token orders that was made elsewhere (``mica ca token --ssh``), and whether that is what was asked for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from mica.cli.ca.ordering import PATHS, is_identity
from mica.cli.errors import Usage
from mica.cli.ssh.issuing.orders import Order, When, completed
from mica.client.calls import time_or_duration
from mica.durations import parse_time_or_duration
from mica.errors import MalformedRequest
from mica.grants import Operation
from mica.sshcert import CertType, Options, sorted_options
from mica.tokens import UnverifiedToken

#: The last part of the URL for which a token that orders an SSH certificate is made.
PATH = PATHS[Operation.SSH_SIGN]
_INVALID = "invalid value for flag '--token'"


def agreed(asked: Order, token: UnverifiedToken | None) -> Order:
    """What a token is to order, with principals in any case; or what ``token`` orders. Raises Usage."""
    return completed(asked) if token is None else by_token(token, asked)


def by_token(token: UnverifiedToken, asked: Order) -> Order:
    """What the token orders, which is what was asked for; raises Usage when it is not, or no token for SSH.

    A token of an identity provider says nothing of it; then it is what was asked for.
    """
    _check_destination(token)
    said = _said(token)
    if said is None:
        return asked
    ordered = Order(
        cert_type=_cert_type(said.get("certType")),
        key_id=_text(said, "keyID") or token.subject,
        principals=_names(said.get("principals")),
        valid_after=_when(said, "validAfter"),
        valid_before=_when(said, "validBefore"),
        critical_options=_critical_options(said),
    )
    _check_same(ordered, asked)
    return replace(
        ordered,
        principals=ordered.principals or asked.principals,
        valid_after=ordered.valid_after or asked.valid_after,
        valid_before=ordered.valid_before or asked.valid_before,
    )


def key_id_of(token: UnverifiedToken) -> str:
    """The key id that the token orders; without one its subject."""
    return _text(_said(token) or {}, "keyID") or token.subject


def _check_destination(token: UnverifiedToken) -> None:
    """The token was made for this operation, as far as it says so."""
    paths = [urlsplit(audience).path for audience in token.audiences if audience.startswith("https://")]
    if not is_identity(token) and paths and not any(path.endswith(PATH) for path in paths):
        raise Usage(
            f"{_INVALID}: the token is for {paths[0] or 'nothing'}, not for {PATH}",
            hint="make one with: mica ca token --ssh",
        )


def _check_same(ordered: Order, asked: Order) -> None:
    """What was asked for is what the token orders."""
    if ordered.cert_type is not asked.cert_type:
        remedy = "add '--host'" if ordered.cert_type is CertType.HOST else "leave '--host' out"
        raise Usage(f"the token is for a {ordered.type_name}'s certificate", hint=f"{remedy}, or make another token")
    if ordered.key_id != asked.key_id:
        raise Usage(
            f"the token is for the key id {ordered.key_id!r}, not for {asked.key_id!r}",
            hint="a token serves one key id",
        )
    theirs, ours = ({name.lower() for name in one.principals} for one in (ordered, asked))
    if theirs and ours and theirs != ours:
        raise Usage(f"the token is for the principals {', '.join(ordered.principals)}", hint="leave '--principal' out")
    if asked.critical_options not in ((), ordered.critical_options):
        raise Usage(
            "flags '--force-command' and '--source-address' are incompatible with this token, which says it otherwise",
            hint="leave them out, or make another token with them",
        )
    for flag, of_token, wanted in (
        ("--not-before", ordered.valid_after, asked.valid_after),
        ("--not-after", ordered.valid_before, asked.valid_before),
    ):
        if of_token is not None and wanted is not None and of_token != wanted:
            raise Usage(f"the token says '{flag} {time_or_duration(of_token)}'", hint=f"leave '{flag}' out")


def _said(token: UnverifiedToken) -> Mapping[str, Any] | None:
    """What the token says of an SSH certificate; None for one that says nothing."""
    step = token.payload.get("step")
    said = step.get("ssh") if isinstance(step, dict) else None
    if said is not None and not isinstance(said, dict):
        raise Usage(f"{_INVALID}: its step.ssh is no object")
    return said


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name) or ""
    if not isinstance(value, str):
        raise Usage(f"{_INVALID}: its {name} is no text")
    return value


def _cert_type(value: object) -> CertType:
    if value in (None, "", "user"):
        return CertType.USER
    if value == "host":
        return CertType.HOST
    raise Usage(f"{_INVALID}: its certType is neither user nor host")


def _names(value: object) -> tuple[str, ...]:
    names = [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Usage(f"{_INVALID}: its principals are no list of names")
    return tuple(names)


def _critical_options(said: Mapping[str, Any]) -> Options:
    options = said.get("criticalOptions") or {}
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise Usage(f"{_INVALID}: its criticalOptions are no object of texts")
    return sorted_options(options.items())


def _when(said: Mapping[str, Any], name: str) -> When:
    text = _text(said, name)
    try:
        return parse_time_or_duration(text) if text else None
    except MalformedRequest as error:
        raise Usage(f"{_INVALID}: its {name}: {error}") from error
