"""Hostile tokens by their claims: time, identity, audience, names (RFC 7519 §4.1, RFC 8725 §2.7–2.8)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from mica.testing.makers import ABSENT, Maker, encode

_HOUR = timedelta(hours=1)


def times(maker: Maker) -> Iterator[tuple[str, str]]:
    """``exp``, ``nbf`` and ``iat`` that are no times, or the wrong ones."""
    now = int(maker.now.timestamp())
    for value in (
        ABSENT,
        None,
        str(now + 60),
        True,
        [now + 60],
        {"at": now + 60},
        0,
        -1,
        -1e300,
        1e300,
        10**30,
        2**63,
        2**35,
    ):
        yield f"exp {'absent' if value is ABSENT else repr(value)}", maker.token(exp=value)
    yield "exp an hour ago", maker.token(exp=now - 3600)
    yield "exp a minute ago, at the end of the leeway", maker.token(exp=now - 60)
    yield "exp in 25 hours", maker.token(exp=now + 25 * 3600)
    yield "exp in ten years", maker.token(exp=now + 10 * 365 * 86400)
    yield "exp in milliseconds", maker.token(exp=(now + 60) * 1000)
    for claim in ("nbf", "iat"):
        yield f"{claim} in an hour", maker.token(**{claim: now + 3600})
        yield f"{claim} in 61 seconds", maker.token(**{claim: now + 61})
        for value in (str(now), True, [now], 1e300, 10**30, -1):
            yield f"{claim} {value!r}", maker.token(**{claim: value})
    for constant in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "0x7fffffff", "1_000", "00"):
        yield f"exp {constant} without quotes", maker.raw(_header(maker), _with_raw_exp(maker, constant))


def identities(maker: Maker) -> Iterator[tuple[str, str]]:
    """``iss`` and ``sub`` that are nobody, nearly somebody, or several."""
    iss = str(maker.payload["iss"])
    others: tuple[Any, ...] = (
        ABSENT, None, "", 1, True, [iss], {"iss": iss}, iss[:-1], f"{iss}x", f"x{iss}", iss.upper(),
        f" {iss}", f"{iss} ", f"{iss}/", f"{iss}\n", f"{iss}\x00", f"{iss}\u200b", f"{iss},mica", "mica",
    )  # fmt: skip
    for value in others:
        if value != iss:
            yield f"iss {'absent' if value is ABSENT else repr(value)}", maker.token(iss=value)
    for value in (
        ABSENT,
        None,
        "",
        1,
        True,
        ["svc.example"],
        {"sub": "svc.example"},
        "a\x00b",
        "a\nb",
        "\u202esvc",
        "\x7f",
    ):
        yield f"sub {'absent' if value is ABSENT else repr(value)}", maker.token(sub=value)


def audiences(maker: Maker) -> Iterator[tuple[str, str]]:
    """``aud`` that is no audience, another authority's, or several operations'."""
    aud = maker.payload["aud"]
    for value in (
        ABSENT,
        None,
        "",
        1,
        True,
        {"aud": aud},
        [],
        [aud, 1],
        [None],
        [[aud]],
        "*",
        f"{aud}x",
        f" {aud}",
        f"{aud}\n",
    ):
        yield f"aud {'absent' if value is ABSENT else repr(value)}", maker.token(aud=value)
    if not isinstance(aud, str) or not aud.startswith("https://"):
        return
    for name, other in _other_urls(aud).items():
        yield f"aud with {name}", maker.token(aud=other)
        yield f"aud, an array of one, with {name}", maker.token(aud=[other])
    base = aud.partition("#")[0].rpartition("/")[0]
    fragment = urlsplit(aud).fragment
    mark = f"#{fragment}" if fragment else ""
    several = [f"{base}/{path}{mark}" for path in ("sign", "renew", "revoke")]
    yield "aud for every operation", maker.token(aud=several)
    yield "aud for two operations", maker.token(aud=[aud, *[other for other in several if other != aud][:1]])
    for name, other in _other_provisioners(fragment).items():
        yield f"aud with {name}", maker.token(aud=f"{aud.partition('#')[0]}{other}")


def _other_provisioners(fragment: str) -> dict[str, str]:
    """Ends of an audience that name somebody else than ``fragment``, a type and a name, or nobody."""
    if not fragment:
        return {}
    type_, _, name = fragment.partition("/")
    return {
        "no provisioner": "",
        "a provisioner without a name": f"#{type_}/",
        "a provisioner without a type": f"#{name}",
        "a longer name": f"#{fragment}x",
        "a shorter name": f"#{fragment[:-1]}",
        "the name in another case": f"#{type_}/{name.swapcase()}",
        "the type in another case": f"#{type_.swapcase()}/{name}",
        "another type": f"#{'sshpop' if type_ == 'x5c' else 'x5c'}/{name}",
        "two fragments": f"#{fragment}#{fragment}",
        "an escaped fragment": f"#{type_}%2F{name}",
    }


def _other_urls(aud: str) -> dict[str, str]:
    """URLs that resemble ``aud`` and are not it."""
    url = urlsplit(aud)
    host, port = str(url.hostname), url.port or 443
    end = aud[len(f"https://{url.netloc}") :]
    mark = f"#{url.fragment}" if url.fragment else ""
    escaped = url.path.replace("r", "%72").replace("i", "%69")
    return {
        "another scheme": f"http://{url.netloc}{end}",
        "no scheme": f"//{url.netloc}{end}",
        "another host": f"https://evil.example:{port}{end}",
        "a longer host": f"https://{host}.evil.example:{port}{end}",
        "a host before the host": f"https://evil.{host}:{port}{end}",
        "a prefix of the host": f"https://{host[:-1]}:{port}{end}",
        "a trailing dot": f"https://{host}.:{port}{end}",
        "the host as user": f"https://{url.netloc}@evil.example{end}",
        "a user": f"https://user@{url.netloc}{end}",
        "a user and a password": f"https://user:password@{url.netloc}{end}",
        "another port": f"https://{host}:{port + 1}{end}",
        "port zero": f"https://{host}:0{end}",
        "a port out of range": f"https://{host}:99999{end}",
        "a port that is none": f"https://{host}:https{end}",
        "another path": f"https://{url.netloc}/1.0/health{mark}",
        "no path": f"https://{url.netloc}{mark}",
        "a doubled slash": f"https://{url.netloc}/{url.path}{mark}",
        "a trailing slash": f"https://{url.netloc}{url.path}/{mark}",
        "dot segments": f"https://{url.netloc}/x/..{url.path}{mark}",
        "another case": f"https://{url.netloc}{url.path.upper()}{mark}",
        "an escape": f"https://{url.netloc}{escaped}{mark}",
        "another version": f"https://{url.netloc}/2.0{url.path.removeprefix('/1.0')}{mark}",
        "a query": f"https://{url.netloc}{url.path}?x=1{mark}",
        "a parameter": f"https://{url.netloc}{url.path};x=1{mark}",
        "another fragment": f"https://{url.netloc}{url.path}#x5c/somebody",
        "a backslash": f"https://{url.netloc}\\@evil.example{end}",
        "a tab in the path": f"https://{url.netloc}{url.path[:-1]}\t{url.path[-1]}{mark}",
        "a newline in the host": f"https://{host[0]}\n{host[1:]}:{port}{end}",
    }


def san_claims(maker: Maker) -> Iterator[tuple[str, str]]:
    """``sans`` that are no names, or names that say more than one thing."""
    if "sans" not in maker.payload:
        return
    label, long = "a" * 64, ".".join(["abcdefgh"] * 40)
    shapes: tuple[Any, ...] = (
        "svc.example",
        {"dns": "svc.example"},
        1,
        True,
        [1],
        [None],
        [["svc.example"]],
        [{"dns": "a"}],
    )
    for value in shapes:
        yield f"sans {value!r}", maker.token(sans=value)
    hostile = (
        "", " ", "a b", " svc.example", "svc.example ", "svc.example\n", "svc.example\x00.evil", "a,b", "a;b",
        "*", "*.*.example", "a.*.example", "f*.example", "a..example", ".example", "-a.example",
        "a-.example", "a/b", "10.0.0.0/8", "fe80::1%eth0", "a@", "@example", "a@b@example", "a\n@example",
        "ä@example", "http:", "http://a b/", "https://[::1/", "https://a:99999/", "\u202eexample", "$(id)",
        "{{.Token}}", label, long,
    )  # fmt: skip
    for text in hostile:
        yield f"sans with {text[:40]!r}", maker.token(sans=["svc.example", text])


def confirmations(maker: Maker) -> Iterator[tuple[str, str]]:
    """``cnf`` that binds the token to nothing that can be compared (RFC 7800)."""
    if "sans" not in maker.payload:
        return
    digest = encode(bytes(32))
    others: tuple[Any, ...] = (
        digest, [digest], True, {}, {"x5rt#S256": ""}, {"x5rt#S256": 1}, {"x5rt#S256": None}, {"x5rt#S256": [digest]},
        {"x5rt#S256": digest[:-1]}, {"x5rt#S256": digest + "A"}, {"x5rt#S256": digest + "="}, {"x5rt#s256": digest},
        {"x5t#S256": digest}, {"jwk": {"kty": "oct", "k": "AA"}},
    )  # fmt: skip
    for value in others:
        yield f"cnf {value!r}", maker.token(cnf=value)


def _header(maker: Maker) -> bytes:
    return json.dumps(dict(maker.header)).encode()


def _with_raw_exp(maker: Maker, constant: str) -> bytes:
    rest = {name: value for name, value in maker.payload.items() if name != "exp"}
    return f'{json.dumps(rest)[:-1]}, "exp": {constant}}}'.encode()
