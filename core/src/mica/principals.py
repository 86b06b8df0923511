"""The names in an SSH certificate: which ones may stand there, and in which form (OpenSSH PROTOCOL.certkeys).

sshd compares the principals of users as they are, ssh those of hosts as patterns, with the host's name in lower case;
and both have been written into lists with commas in between (CVE-2026-35414). What any of them could take for more than
one plain name is never certified.
"""

import re
from collections.abc import Iterable

from mica.sshcert import MAX_PRINCIPALS, CertType

MAX_LENGTH = 255
#: What every system takes for the name of an account, and every shell for one plain word (useradd(8)).
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_FORBIDDEN = re.compile(r"[,*?\s]")


def canonical(principals: Iterable[str], cert_type: CertType) -> tuple[str, ...]:
    """The principals as a certificate has them: in order, each once; those of hosts in lower case."""
    return tuple(dict.fromkeys(map(lowered, principals) if cert_type is CertType.HOST else principals))


def lowered(name: str) -> str:
    """The name of a host as ssh compares it: ASCII's capitals are small, and all else is as it was.

    ``str.lower`` makes ASCII of what is none: the Kelvin sign would become the k of another host's name.
    """
    return name.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def faults(principals: tuple[str, ...]) -> list[str]:
    """Every reason why no certificate may have these principals."""
    if not principals:
        return ["ssh certificate principals cannot be empty: it would be valid for everyone"]
    found = [f"ssh certificate principal {name[:80]!r} {reason}" for name in principals if (reason := _fault(name))]
    if len(principals) > MAX_PRINCIPALS:
        found.append(f"ssh certificate must have at most {MAX_PRINCIPALS} principals: sshd refuses more")
    return found


def is_account(name: str) -> bool:
    """Whether ``name`` can stand in the command that makes an account."""
    return _ACCOUNT.fullmatch(name) is not None


def account_of(principals: tuple[str, ...]) -> str:
    """The account, where they name one person: an account, and perhaps a mail address; empty where they do not."""
    is_one = len(principals) == 1 or (len(principals) == 2 and principals[1].find("@") > 0)
    return principals[0] if is_one else ""


def _fault(principal: str) -> str:
    if not principal:
        return "must not be empty"
    if len(principal.encode(errors="replace")) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} octets"
    if _FORBIDDEN.search(principal) or not principal.isprintable():
        return "must be one plain name, without commas, *, ?, white space or control characters"
    return ""
