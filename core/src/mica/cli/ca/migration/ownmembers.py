"""The members that one type of provisioner alone has, as its plugin's table has them."""

import base64
import dataclasses
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mica.cli.ca.migration.members import Members
from mica.config import ProvisionerConfig
from mica.pkix import UNREADABLE
from mica.roles import Kind

_X5C = "x5c"


def own_members(kind: Kind[Any], members: Members) -> dict[str, Any]:
    """What the kind's dataclass has fields for, by the names that clients see (``json``), or the fields' own.

    Raises ValueError, with the member's name, when what ca.json says cannot be said in ca.toml.
    """
    own = {"roots_pem": _bundle(members, "roots")} if kind.name == _X5C else {}
    for field in dataclasses.fields(kind.config):
        if field.name not in ProvisionerConfig.__dataclass_fields__ and not (own and field.name.startswith("roots")):
            name = field.metadata.get("json", field.name.replace("_", ""))
            value = members.take(name)
            if value is not None:
                own[field.name] = _without_null(value, name)
    return own


def _bundle(members: Members, name: str) -> str:
    """Certificates that stand in ca.json itself, as Go writes octets: base64 of PEM. Here they are PEM."""
    try:
        octets = base64.b64decode("".join(members.text(name).split()), validate=True)
        found = x509.load_pem_x509_certificates(octets)
    except UNREADABLE as error:
        raise ValueError(f"{name}: must be base64 of certificates in PEM") from error
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in found)


def _without_null(value: Any, where: str) -> Any:
    """``value`` as far as TOML can say it; raises ValueError for null in an array.

    Go reads that as an empty text. A list of domains with nothing else lets nobody in, and one without it everybody.
    """
    if isinstance(value, dict):
        return {name: _without_null(member, where) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        if None in value:
            raise ValueError(f"{where}: must be an array without null")
        return [_without_null(member, where) for member in value]
    return value
