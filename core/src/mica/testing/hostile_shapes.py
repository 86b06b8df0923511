"""Hostile tokens by their shape: signatures, segments, encodings, JSON (RFC 7515 §5.2, RFC 8725 §2.4–2.6)."""

import base64
import json
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mica.testing.makers import Maker, encode


def signatures(maker: Maker) -> Iterator[tuple[str, str]]:
    """Signatures that are not one over these octets."""
    header, payload, signature = maker.parts()
    stem = f"{header}.{payload}"
    half = len(signature) // 2
    forged = {
        "one octet short": signature[:-1],
        "one octet long": signature + b"\x00",
        "a zero before": b"\x00" + signature,
        "half of it": signature[:half],
        "twice": signature * 2,
        "all zeros": bytes(len(signature)),
        "all ones": b"\xff" * len(signature),
        "one bit changed": bytes([signature[0] ^ 1]) + signature[1:],
        "one octet": b"\x00",
        "halves swapped": signature[half:] + signature[:half],
        "of another text": maker.signature(b"something else"),
        "of the payload alone": maker.signature(payload.encode()),
    }
    if isinstance(maker.key, ec.EllipticCurvePrivateKey):
        forged |= _ecdsa(maker.key, signature)
    for name, octets in forged.items():
        yield f"signature: {name}", f"{stem}.{encode(octets)}"
    other = encode(json.dumps({**maker.payload, "sub": "evil.example", "sans": ["evil.example"]}).encode())
    yield "payload changed after signing", f"{header}.{other}.{encode(signature)}"
    header_too = encode(json.dumps({**maker.header, "typ": "at+jwt"}).encode())
    yield "header changed after signing", f"{header_too}.{payload}.{encode(signature)}"
    yield "header and payload exchanged", f"{payload}.{header}.{encode(signature)}"


def _ecdsa(key: ec.EllipticCurvePrivateKey, signature: bytes) -> dict[str, bytes]:
    """Values of r and s that a careless verifier takes (CVE-2022-21449), and the encoding of another world."""
    size, order = len(signature) // 2, key.curve.group_order
    one, zero, n = (value.to_bytes(size, "big") for value in (1, 0, order))
    r, s = signature[:size], signature[size:]
    return {
        "DER as OpenSSL writes it": encode_dss_signature(*(int.from_bytes(half, "big") for half in (r, s))),
        "r zero": zero + s,
        "s zero": r + zero,
        "r and s one": one + one,
        "r the order": n + s,
        "s the order": r + n,
        "r and s the order": n + n,
    }


def structures(maker: Maker) -> Iterator[tuple[str, str]]:
    """Not a compact JWS of three segments (RFC 7515 §7.1)."""
    good = maker.good()
    header, payload, signature = good.split(".")
    yield "nothing", ""
    yield "a dot", "."
    yield "two dots", ".."
    yield "three dots", "..."
    yield "no dots", "token"
    yield "two segments", f"{header}.{payload}"
    yield "four segments", f"{good}.{signature}"
    yield "a dot at the end", f"{good}."
    yield "a dot before", f".{good}"
    yield "detached payload", f"{header}..{signature}"
    yield "no header", f".{payload}.{signature}"
    jwe_header = encode(b'{"alg":"dir","enc":"A256GCM"}')
    yield "a compact JWE", f"{jwe_header}..{encode(bytes(12))}.{payload}.{encode(bytes(16))}"
    yield "flattened JSON", json.dumps({"protected": header, "payload": payload, "signature": signature})
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    yield "general JSON", json.dumps(general)
    yield "a nested JWS", maker.raw(_header(maker), good.encode())
    yield "a nested JWS in a string", maker.raw(_header(maker), json.dumps(good).encode())
    yield "a nested JWS with cty JWT", maker.raw(json.dumps({**maker.header, "cty": "JWT"}).encode(), good.encode())
    yield "the token twice", f"{good} {good}"
    yield "a scheme before", f"Bearer {good}"


def encodings(maker: Maker) -> Iterator[tuple[str, str]]:
    """Another spelling of the same octets, or octets that are no text (RFC 7515 §2)."""
    good = maker.good()
    header, payload, signature = good.split(".")
    yield "padding after every segment", ".".join(part + "=" * (-len(part) % 4 or 4) for part in good.split("."))
    yield "padding after the signature", f"{good}="
    for name, space in (
        ("blank", " "),
        ("newline", "\n"),
        ("tab", "\t"),
        ("NUL", "\x00"),
        ("no-break space", "\u00a0"),
    ):
        yield f"{name} after", good + space
        yield f"{name} before", space + good
        yield f"{name} in the payload", f"{header}.{payload[:5]}{space}{payload[5:]}.{signature}"
    yield "letters outside ASCII", good.replace(good[-1], "Ａ")
    yield "stray bits", f"{header}.{payload}.{_stray(maker)}"
    plain = base64.b64encode(b"\xfb\xff\xfe" + maker.parts()[2]).decode()
    yield "the other base64 alphabet", f"{header}.{payload}.{plain}"
    text = json.dumps(dict(maker.payload))
    for codec in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        yield f"payload in {codec}", maker.raw(_header(maker), text.encode(codec))
    yield "payload not UTF-8", maker.raw(_header(maker), text[:-1].encode() + b', "x": "\xff\xfe"}')
    yield "payload with an overlong NUL", maker.raw(_header(maker), text[:-1].encode() + b', "x": "\xc0\x80"}')


def documents(maker: Maker) -> Iterator[tuple[str, str]]:
    """JSON that is none, or that two readers read differently (RFC 8259, RFC 7519 §4)."""
    text, header = json.dumps(dict(maker.payload)), json.dumps(dict(maker.header))
    deep = "[" * 5_000 + "]" * 5_000
    payloads = {
        "an array": f"[{text}]",
        "a string": json.dumps(text),
        "null": "null",
        "a number": "1",
        "no JSON": "sub=svc.example",
        "two documents": text + text,
        "something after it": text + "x",
        "a comma at the end": text[:-1] + ",}",
        "a comment": "/**/" + text,
        "single quotes": text.replace('"', "'"),
        "cut short": text[:-1],
        "sub twice": f'{{"sub": "evil.example", {text[1:]}',
        "exp twice": f'{text[:-1]}, "exp": 99999999999}}',
        "aud twice, one spelt with an escape": f'{text[:-1]}, "a\\u0075d": "https://evil.example/sign"}}',
        "the same member twice, further in": f'{text[:-1]}, "x": {{"a": 1, "a": 2}}}}',
        "a lone surrogate": f'{text[:-1]}, "x": "\\ud800"}}',
        "a lone surrogate in a name": f'{text[:-1]}, "\\udfff": 1}}',
        "a raw control character": f'{text[:-1]}, "x": "\x01"}}',
        "a raw newline in a string": f'{text[:-1]}, "x": "\n"}}',
        "NaN somewhere": f'{text[:-1]}, "x": NaN}}',
        "nested 5,000 deep": f'{text[:-1]}, "x": {deep}}}',
        "a number of 10,000 digits": f'{text[:-1]}, "x": {"9" * 10_000}}}',
        "a megabyte": f'{text[:-1]}, "x": "{"a" * 1_000_000}"}}',
    }
    for name, document in payloads.items():
        yield f"payload: {name}", maker.raw(header.encode(), document.encode())
    headers = {
        "alg twice": f'{{"alg": "none", {header[1:]}',
        "an array": f"[{header}]",
        "a string": json.dumps(header),
        "nothing": "",
        "nested 5,000 deep": f'{header[:-1]}, "x": {deep}}}',
    }
    for name, document in headers.items():
        yield f"header: {name}", maker.raw(document.encode(), text.encode())


def _header(maker: Maker) -> bytes:
    return json.dumps(dict(maker.header)).encode()


def _stray(maker: Maker) -> str:
    """The rightful signature, with bits set that encode nothing; or cut by an octet where there are none."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = encode(maker.parts()[2])
    if len(text) % 4 == 0:
        return text[:-1]
    return text[:-1] + alphabet[alphabet.index(text[-1]) | 1]
