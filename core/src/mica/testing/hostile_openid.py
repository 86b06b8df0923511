"""Hostile ID tokens: for another party, by an issuer's neighbour, about nobody (OpenID Connect Core §2, §3.1.3.7).

All are signed with the provider's key: it serves other clients as well, and what it gives to them must not serve here.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mica.testing.makers import ABSENT, Maker


def parties(maker: Maker) -> Iterator[tuple[str, str]]:
    """``aud`` and ``azp`` of a token that another client was given."""
    if not _is_id_token(maker):
        return
    client = str(maker.payload["aud"])
    for other in (f"{client}-2", client[:-1], client.upper(), f"{client} ", f"{client}\x00", "https://api.example/"):
        yield f"aud {other!r}", maker.token(aud=other)
        yield f"aud {other!r} beside the client's, without azp", maker.token(aud=[client, other])
        yield f"aud and azp {other!r}", maker.token(aud=[client, other], azp=other)
        yield f"azp {other!r}", maker.token(azp=other)
    nobody: tuple[Any, ...] = ("", 1, True, [client], {"azp": client}, [], False)
    for value in nobody:
        yield f"azp {value!r}", maker.token(azp=value)
    yield "aud another's, azp the client's", maker.token(aud=f"{client}-2", azp=client)
    yield "aud split by a blank", maker.token(aud=f"{client} {client}-2")


def issuers(maker: Maker) -> Iterator[tuple[str, str]]:
    """``iss`` that a careless comparison of URLs takes for the provider's."""
    iss = str(maker.payload["iss"])
    url = urlsplit(iss)
    if not _is_id_token(maker) or not url.hostname:
        return
    host, end = url.netloc, iss.partition(url.netloc)[2]
    others = {
        "http": f"http://{host}{end}",
        "an upper-case scheme": f"HTTPS://{host}{end}",
        "an upper-case host": f"https://{host.upper()}{end}",
        "a trailing dot": f"https://{url.hostname}.:{url.port or 443}{end}",
        "a user": f"https://{host}@evil.example{end}",
        "a longer host": f"https://{host}.evil.example{end}",
        "the host as a path": f"https://evil.example/{host}{end}",
        "a path below": f"{iss}/tenants/evil",
        "dot segments": f"{iss}/x/..",
        "a query": f"{iss}?",
        "a fragment": f"{iss}#",
        "its discovery document": f"{iss}/.well-known/openid-configuration",
        "another port": f"https://{url.hostname}:1{end}",
        "two issuers": f"{iss} https://evil.example",
    }
    for name, other in others.items():
        yield f"iss with {name}", maker.token(iss=other)


def people(maker: Maker) -> Iterator[tuple[str, str]]:
    """An address that the provider does not stand by, or that is none or several; a subject that is too long."""
    if not _is_id_token(maker):
        return
    unverified: tuple[Any, ...] = (
        False, "false", "False", "True", "TRUE", " true", "1", "yes", "", 0, 1, 1.0, [True], {}, [],
    )  # fmt: skip
    for verified in unverified:
        yield f"email_verified {verified!r}", maker.token(email_verified=verified)
    addresses: tuple[Any, ...] = (
        1, True, ["ann@harbour.example"], {"value": "ann@harbour.example"}, "ann", "@", "ann@", "@harbour.example",
        "ann@harbour.example@evil.example", "ann@harbour.example, root@harbour.example", "a@b.example\nroot@b.example",
        "a@b.example\x00", " ann@harbour.example", "ann@harbour.example ", "Ann <ann@harbour.example>",
        "ann@*.example", "ann@*", "ann@[127.0.0.1]", "ann@-a.example", "ann@a..example", f"{'a' * 65}@b.example",
        "a\u202eb@harbour.example", "ä@harbour.example", '"a b"@harbour.example', "a\\@b.example",
    )  # fmt: skip
    for address in addresses:
        yield f"email {address!r}", maker.token(email=address)
    yield "sub of 256 characters", maker.token(sub="a" * 256)
    yield "sub of a megabyte", maker.token(sub="a" * 1_000_000)


def nonces(maker: Maker) -> Iterator[tuple[str, str]]:
    """``nonce``, under which the login is remembered, that cannot be, or that is written in two ways."""
    if not _is_id_token(maker):
        return
    others: tuple[Any, ...] = (
        1, 0, 1.5, True, False, [maker.payload["nonce"]], {}, [], "a\nb", "a\x00", "\u202e", "a" * 10_000,
    )  # fmt: skip
    for value in others:
        yield f"nonce {repr(value)[:40]}", maker.token(nonce=value)


def groups(maker: Maker) -> Iterator[tuple[str, str]]:
    """``groups`` that are no list of names, one of which a careless comparison would find."""
    if not _is_id_token(maker):
        return
    others: tuple[Any, ...] = (
        "staff", "staff,ops", 1, True, {"staff": True}, [["staff"]], [1], [None], ["staff", 1],
    )  # fmt: skip
    for value in others:
        yield f"groups {value!r}", maker.token(groups=value)


def other_tokens(maker: Maker) -> Iterator[tuple[str, str]]:
    """What a provider signs with the same key and is no ID token: RFC 7519 §5.1's ``typ`` does not save it."""
    if not _is_id_token(maker):
        return
    client = maker.payload["aud"]
    yield (
        "an access token",
        maker.token({"typ": "at+jwt"}, aud="https://api.example/", client_id=client, scope="openid"),
    )
    yield "an access token for userinfo", maker.token({"typ": "JWT"}, aud=f"{maker.payload['iss']}/me", azp=client)
    yield "a request object", maker.token({"typ": "oauth-authz-req+jwt"}, iss=client, aud=maker.payload["iss"])
    # Those below are meant for this very client (OpenID Connect Back-Channel Logout §2.4, RFC 8417, RFC 9068).
    for typ in ("at+jwt", "application/at+jwt", "AT+JWT", "logout+jwt", "secevent+jwt", "dpop+jwt", "", 1, ["JWT"]):
        yield f"typ {typ!r}", maker.token({"typ": typ})
    logout: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    yield "a logout token", maker.token({"typ": "logout+jwt"}, events=logout, sid="1", nonce=ABSENT)
    yield "a logout token without its typ", maker.token(events=logout, sid="1", nonce=ABSENT)
    yield "a logout token with a nonce", maker.token(events=logout, sid="1")
    yield "a security event", maker.token({"typ": "secevent+jwt"}, events={"https://schemas.example/event": {}})
    yield "events of no kind", maker.token(events=None)
    yield "a client's assertion", maker.token(iss=client, sub=client, aud=maker.payload["iss"], azp=ABSENT)


def _is_id_token(maker: Maker) -> bool:
    """Whether the good token is somebody's login at an OpenID provider."""
    return {"nonce", "email", "email_verified"} <= maker.payload.keys()
