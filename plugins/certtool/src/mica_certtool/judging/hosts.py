"""Whether a certificate is for a host (RFC 9525). Only alternative names count; a common name is not looked at."""

from collections.abc import Sequence

from cryptography import x509

from mica_certtool.reading.names import general_name_text


def mismatch(names: Sequence[x509.GeneralName], host: x509.GeneralName) -> str | None:
    """None when one of ``names`` is ``host``, a canonical DNS name or an address; else what to say of them."""
    if any(_is(name, host) for name in names):
        return None
    wanted = general_name_text(host)
    if not names:
        return f"is not for {wanted!r}: it has no alternative names, and a common name does not count (RFC 9525)"
    return f"is not for {wanted!r}: its names are {', '.join(map(general_name_text, names))}"


def _is(name: x509.GeneralName, host: x509.GeneralName) -> bool:
    if isinstance(name, x509.IPAddress) and isinstance(host, x509.IPAddress):
        return bool(name.value == host.value)
    if not isinstance(name, x509.DNSName) or not isinstance(host, x509.DNSName):
        return False
    presented, wanted = name.value.lower().removesuffix("."), host.value
    if presented.startswith("*."):
        # §6.3: the wildcard is the whole left-most label, and stands for exactly one.
        return wanted.partition(".")[2] == presented[2:]
    return presented == wanted
