"""The address of a CA: what people write, and the one form that is used."""

from urllib.parse import SplitResult, urlsplit


def normalize(text: str) -> str:
    """``https://host[:port]``: the scheme is added, the path dropped, a bare IPv6 address put in brackets.

    Raises ValueError that says what is wrong: another scheme, no host, a port that is none, a user.
    """
    stripped = text.strip()
    if "://" not in stripped:
        bare = stripped.partition("/")[0]
        stripped = f"https://[{bare}]" if bare.count(":") > 1 and not bare.startswith("[") else f"https://{stripped}"
    parts = _parts(stripped, text)
    if parts.scheme != "https":
        raise ValueError(f"{text!r}: a CA is reached by https only")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"https://{host}" if parts.port is None else f"https://{host}:{parts.port}"


def host_and_port(url: str) -> tuple[str, int]:
    """Where a normalised URL leads; an IPv6 address without brackets."""
    parts = _parts(url, url)
    return parts.hostname or "", parts.port or 443


def _parts(url: str, written: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise ValueError(f"{written!r} is not a URL such as https://ca.example:8443")
    return parts
