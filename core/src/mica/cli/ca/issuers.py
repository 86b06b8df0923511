"""Who makes a token: the CA that answers, the one of this host, or nobody but a key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mica.cli import options
from mica.cli.ca import identities, ordering
from mica.cli.ca.connection import connect, read_roots, root_fingerprint
from mica.cli.ca.offline import Offline
from mica.cli.ca.tokenflags import Purpose
from mica.cli.console import warn
from mica.cli.errors import FileProblem, Usage
from mica.client import TokenOrder, normalize, renewtoken
from mica.clock import system_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What a token says of the CA that it is for, and how it is made."""

    url: str
    root_fingerprint: str
    make: Callable[[TokenOrder], str]

    def order(
        self, purpose: Purpose, start: datetime | None, end: datetime | None, confirmation: bytes | None = None
    ) -> str:
        """A token for ``purpose``, valid from ``start`` to ``end``."""
        wanted = ordering.order(
            purpose.operation,
            purpose.subject,
            self.url,
            sans=purpose.sans,
            root_fingerprint=self.root_fingerprint,
            not_before=start,
            not_after=end,
            confirmation=confirmation,
            extra=purpose.extra,
        )
        return self.make(wanted)


def meant(credentials: ordering.Credentials, ca_url: str | None, root: Path | None, offline: Offline | None) -> Issuer:
    """The CA that answers, the one of this host, or one of which nothing is known but its URL."""
    if offline is None:
        connection = connect(ca_of(ca_url, None), root)
        ca, fingerprint = connection.client, connection.root_fingerprint
        return Issuer(
            url=ca.url, root_fingerprint=fingerprint, make=lambda order: ordering.make_token(order, ca, credentials)
        )
    if ca_url and credentials.key_file and credentials.provisioner and offline.config is None:
        return Issuer(
            url=ca_url,
            root_fingerprint=_known_root(root),
            make=lambda order: ordering.make_token_alone(order, credentials),
        )
    try:
        local = offline.read()
    except FileProblem as error:
        if offline.config is not None:
            raise
        remedy = f"{error.hint}; or give --key, --provisioner and --ca-url, and no configuration is needed"
        raise FileProblem(error.message, hint=remedy) from error
    return Issuer(
        url=local.url,
        root_fingerprint=local.root_fingerprint,
        make=lambda order: ordering.make_token(order, local, credentials),
    )


def ca_of(ca_url: str | None, offline: Offline | None) -> str:
    """The URL of the CA that a token is for; raises Usage, FileProblem."""
    if ca_url is not None:
        return normalize(ca_url)
    if offline is not None:
        return offline.read().url
    return options.require_ca_url(ca_url)


def _known_root(root: Path | None) -> str:
    try:
        return root_fingerprint(root or "the root certificate", read_roots(root))
    except FileProblem:
        if root is not None:
            raise
        warn("no root certificate is known here: whoever uses the token must trust the CA already")
        return ""


def renew_token(
    subject: str | None, ca_url: str, holder: identities.Holder, start: datetime | None, end: datetime | None
) -> str:
    """A renew token signed by the certificate's own key."""
    holder.check_client_auth()
    name = renewtoken.common_name(holder.certificate)
    if subject not in (None, name):
        raise Usage(f"{holder.path} is for {name!r}, not for {subject!r}")
    return renewtoken.make(ca_url, holder.chain, holder.key, not_before=start or system_clock(), not_after=end)
