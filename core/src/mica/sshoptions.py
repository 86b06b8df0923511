"""Critical options and extensions of SSH certificates: which there are, and what they say (PROTOCOL.certkeys)."""

import ipaddress
import re

from mica.sshcert import CertType, Options

#: What users may do unless their permit says otherwise; hosts have no extensions.
USER_EXTENSIONS: Options = (
    ("permit-X11-forwarding", ""),
    ("permit-agent-forwarding", ""),
    ("permit-port-forwarding", ""),
    ("permit-pty", ""),
    ("permit-user-rc", ""),
)
#: An address, and behind a slash the number of bits: sshd reads neither netmasks nor zones (sshd(8), from=).
_NETWORK = re.compile(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", re.ASCII)
_EXTENSIONS = {name for name, _ in USER_EXTENSIONS} | {"no-touch-required"}


def default_extensions(cert_type: CertType) -> Options:
    """The extensions of a certificate whose permit says nothing of them."""
    return USER_EXTENSIONS if cert_type is CertType.USER else ()


def faults(critical_options: Options, extensions: Options, cert_type: CertType) -> list[str]:
    """Every reason why a certificate of this type must not have these."""
    if cert_type is CertType.HOST and (critical_options or extensions):
        return ["ssh certificate of a host cannot have critical options or extensions: none are defined for hosts"]
    found = [
        f"ssh certificate critical option {name[:80]!r} {reason}"
        for name, value in critical_options
        if (reason := _critical_fault(name, value))
    ]
    return found + [
        f"ssh certificate extension {name[:80]!r} is not known: ssh has none of that name"
        for name, _ in extensions
        # Whatever stands behind an @ is somebody's own, and harmless where it is not known.
        if name not in _EXTENSIONS and not (name.isprintable() and "@" in name)
    ]


def _critical_fault(name: str, value: str) -> str:
    if name == "verify-required":
        return "has no value" if value else ""
    if name == "force-command":
        return "" if value and value.isprintable() else "must be one line of text"
    if name == "source-address":
        return _source_address_fault(value)
    return "is not known: sshd would refuse the certificate"


def _source_address_fault(value: str) -> str:
    for part in value.split(","):
        if not _NETWORK.fullmatch(part):
            return f"must be addresses or networks with commas in between: {part[:80]!r} is none that sshd reads"
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            return f"must be addresses or networks with commas in between: {error}"
    return ""
