"""A token made on the spot: which provisioner vouches, and the source that makes its tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mica.cli import console
from mica.cli.ca import csrs
from mica.cli.ca.desk import CommandLineDesk
from mica.cli.ca.x5cflags import X5C
from mica.cli.errors import CLIError, Usage
from mica.cli.oauth import desk as signin
from mica.client import TokenOrder, Vouching
from mica.client.sources import installed, token_source
from mica.clock import system_clock
from mica.errors import MalformedRequest
from mica.grants import Operation
from mica.tokens import UnverifiedToken, decode_base64url

#: The last part of the URL for which a token of each operation is made.
PATHS = {
    Operation.X509_SIGN: "/sign",
    Operation.X509_RENEW: "/renew",
    Operation.X509_REVOKE: "/revoke",
    Operation.SSH_SIGN: "/ssh/sign",
    Operation.SSH_RENEW: "/ssh/renew",
    Operation.SSH_REKEY: "/ssh/rekey",
    Operation.SSH_REVOKE: "/ssh/revoke",
}
LIFETIME = timedelta(minutes=5)
_SHORTEST, _LONGEST, _AHEAD = timedelta(seconds=10), timedelta(hours=1), timedelta(minutes=30)
#: Types whose tokens are signed by a certificate's key, and by nothing else.
_BY_CERTIFICATE = frozenset({"SSHPOP", "X5C"})
#: Types whose tokens are made elsewhere, and say who somebody is.
_BY_IDENTITY = frozenset({"OIDC"})
When = datetime | timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the flags say about who vouches, and with which key and password."""

    provisioner: str | None = None
    kid: str | None = None
    key_file: Path | None = None
    certificate_file: Path | None = None
    """The certificate whose key, ``key_file``, signs the token."""
    chain_files: tuple[Path, ...] = ()
    """Its issuers, as far as they are elsewhere."""
    certificate_type: str = "SSHPOP"
    """The type of provisioner that takes tokens by this certificate: SSHPOP or X5C."""
    password: bytes | None = field(default=None, repr=False)
    flag: str = "--provisioner-password-file"
    binding: tuple[str, ...] = ()
    """Flags that were given, of which the token itself must say something."""


def vouching(provisioner: str | None, password: bytes | None, x5c: X5C | None) -> Credentials:
    """A provisioner's own key vouches, or the certificate that the flags name."""
    if x5c is None:
        return Credentials(provisioner=provisioner, password=password)
    return Credentials(
        provisioner=provisioner,
        key_file=x5c.key,
        certificate_file=x5c.certificate,
        chain_files=x5c.chain,
        certificate_type="X5C",
        password=password,
    )


def order(
    operation: Operation,
    subject: str,
    url: str,
    *,
    sans: Sequence[str] = (),
    root_fingerprint: str = "",
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    confirmation: bytes | None = None,
    extra: Mapping[str, Any] | None = None,
) -> TokenOrder:
    """The order for a token for the CA at ``url``, valid for five minutes from now unless said otherwise.

    ``extra`` are further claims.
    """
    now = system_clock()
    return TokenOrder(
        operation=operation,
        subject=subject,
        sans=tuple(sans),
        audience=f"{url}/1.0{PATHS[operation]}",
        root_fingerprint=root_fingerprint,
        issued_at=now,
        not_before=not_before or now,
        not_after=not_after or now + LIFETIME,
        confirmation=confirmation,
        extra=extra or {},
    )


def lifetime(not_before: When, not_after: When) -> tuple[datetime | None, datetime | None]:
    """When the token is valid, durations counted from now; raises Usage when that is too long, short or late.

    None, where nothing is said: from when it is made, for five minutes.
    """
    now = system_clock()
    start, end = (now + when if isinstance(when, timedelta) else when for when in (not_before, not_after))
    if start is not None and start > now + _AHEAD:
        raise Usage("invalid value for flag '--not-before': a token starts at most 30 minutes from now")
    if end is None:
        return start, start + LIFETIME if start is not None else None
    if not _SHORTEST <= end - (start or now) <= _LONGEST:
        raise Usage("invalid value for flag '--not-after': a token is valid for 10 seconds to one hour")
    return start or now, end


def confirmation(cnf: str | None, cnf_file: Path | None) -> bytes | None:
    """The SHA-256 of the CSR that the token is bound to; raises Usage, FileProblem."""
    if cnf_file is not None:
        return csrs.read(cnf_file).digest
    if cnf is None:
        return None
    try:
        digest = bytes.fromhex(cnf) if len(cnf) == 64 else decode_base64url(cnf.rstrip("="))
    except (ValueError, MalformedRequest):
        digest = b""
    if len(digest) != 32:
        raise Usage(
            "invalid value for flag '--cnf'", hint="it is the SHA-256 of the CSR, 64 hexadecimal digits, or base64url"
        )
    return digest


def make_token(wanted: TokenOrder, ca: Vouching, credentials: Credentials) -> str:
    """A token for ``wanted`` by the provisioner that the flags name, or that is picked from the CA's list."""
    provisioner = _choose(ca.provisioners(), credentials)
    _require_own_token(provisioner, credentials)
    return _token(wanted, provisioner, credentials, ca)


def make_token_alone(wanted: TokenOrder, credentials: Credentials) -> str:
    """A token for ``wanted`` by a JWK, SSHPOP or X5C provisioner, with the key in a file and nobody asked."""
    key = {"kid": credentials.kid} if credentials.kid else {}
    type_ = "JWK" if credentials.certificate_file is None else credentials.certificate_type
    provisioner = {"type": type_, "name": credentials.provisioner, "key": key}
    return _token(wanted, provisioner, credentials, None)


def _token(
    wanted: TokenOrder,
    provisioner: Mapping[str, Any],
    credentials: Credentials,
    ca: Vouching | None,
) -> str:
    desk = CommandLineDesk(
        ca,
        key_file=credentials.key_file,
        password=credentials.password,
        flag=credentials.flag,
        certificate_file=credentials.certificate_file,
        chain_files=credentials.chain_files,
    )
    source = token_source(str(provisioner["type"]))
    made = source.token(wanted, provisioner, desk)
    signin.remember(made)
    return made


def is_identity(token: UnverifiedToken) -> bool:
    """Whether it says who somebody is, by an identity provider, and orders nothing: it is for no operation of a CA."""
    paths = {urlsplit(audience).path.removeprefix("/1.0") for audience in token.audiences if "://" in audience}
    return not paths.intersection(PATHS.values()) and "step-certificate-authority" not in token.audiences


def _choose(listed: Sequence[Mapping[str, Any]], credentials: Credentials) -> Mapping[str, Any]:
    """The provisioner that the flags leave; asks when they leave several. Raises Usage when they leave none."""
    _require_certificate(listed, credentials)
    usable = _usable(listed, credentials)
    left = [one for one in usable if _fits(one, credentials)]
    if not left:
        flag, value = ("--kid", credentials.kid) if credentials.kid else ("--provisioner", credentials.provisioner)
        raise Usage(f"invalid value {value!r} for flag '{flag}'", hint=f"one of: {'; '.join(map(label, usable))}")
    return console.ask_choice(
        "What provisioner key do you want to use?", left, flag="--provisioner", name="Provisioner", text=label
    )


def _usable(listed: Sequence[Mapping[str, Any]], credentials: Credentials) -> list[Mapping[str, Any]]:
    """Those for which tokens can be made here, by a certificate or without; raises CLIError when there is none."""
    sources, by_certificate = installed(), credentials.certificate_file is not None
    named = [one for one in listed if str(one.get("type")).lower() in sources and isinstance(one.get("name"), str)]
    wanted = {credentials.certificate_type} if by_certificate else {str(one["type"]).upper() for one in named}
    wanted -= set() if by_certificate else _BY_CERTIFICATE
    usable = [one for one in named if str(one["type"]).upper() in wanted]
    if usable:
        return usable
    if by_certificate:
        type_ = credentials.certificate_type
        raise CLIError(
            f"the CA has no provisioner of the type {type_}, which takes tokens by "
            f"{'SSH' if type_ == 'SSHPOP' else 'X.509'} certificates",
            hint=f"its operator adds one: mica ca provisioner add {type_.lower()} --type {type_}",
        )
    types = sorted({str(one.get("type")) for one in listed})
    raise CLIError(
        "the CA has no provisioner for which tokens can be made here",
        hint=f"it has {', '.join(types)}; install the plugin for one of them" if types else "add one to the CA",
    )


def _require_certificate(listed: Sequence[Mapping[str, Any]], credentials: Credentials) -> None:
    """The provisioner that was named is not one that needs a certificate which was not; raises Usage."""
    for one in listed if credentials.certificate_file is None else ():
        if str(one.get("type")).upper() == "X5C" and one.get("name") == credentials.provisioner:
            raise Usage(
                f"the provisioner {one['name']} ({one['type']}) takes tokens by certificates alone",
                hint="name one with --x5c-cert and its key with --x5c-key, or choose another provisioner",
            )


def _require_own_token(provisioner: Mapping[str, Any], credentials: Credentials) -> None:
    """The provisioner's tokens can say what the flags say; raises Usage."""
    if credentials.binding and str(provisioner.get("type")).upper() in _BY_IDENTITY:
        flag, *_ = credentials.binding
        raise Usage(
            f"flag '{flag}' is not for the provisioner {provisioner['name']} ({provisioner['type']}): its tokens are "
            "an identity provider's, which say who somebody is, and nothing of what is ordered",
            hint="leave it out, and say it when the token is used; or choose a provisioner of another type",
        )


def _fits(provisioner: Mapping[str, Any], credentials: Credentials) -> bool:
    key = provisioner.get("key")
    kid = key.get("kid") if isinstance(key, dict) else None
    return credentials.provisioner in (None, provisioner["name"]) and credentials.kid in (None, kid)


def label(provisioner: Mapping[str, Any]) -> str:
    """A provisioner as menus show it: ``admin (JWK) [kid: …]``."""
    text = f"{provisioner['name']} ({provisioner.get('type')})"
    key = provisioner.get("key")
    if isinstance(key, dict) and key.get("kid"):
        return f"{text} [kid: {key['kid']}]"
    return f"{text} [client: {provisioner['clientID']}]" if provisioner.get("clientID") else text
