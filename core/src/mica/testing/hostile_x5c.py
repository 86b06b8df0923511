"""Hostile tokens by their ``x5c``: no chain, another's, or one that the signer made (RFC 7515 §4.1.6, RFC 5280 §6)."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.testing.issuers import key_usage
from mica.testing.makers import ABSENT, Maker, SigningKey

_HEADER = "x5c"


def chains(maker: Maker) -> Iterator[tuple[str, str]]:
    """The header ``x5c`` without the chain, or with another spelling, another order, or more or less than it."""
    if _HEADER not in maker.header:
        return
    chain = list(maker.header[_HEADER])
    for number, value in enumerate(_shapes(chain)):
        shown = "absent" if value is ABSENT else repr(value)[:60]
        yield f"x5c ({number}): {shown}", maker.token({_HEADER: value})
    for name in ("X5C", "x5t", "x5u", "jwk", "x5cInsecure"):
        yield f"the chain in the header {name}", maker.token({_HEADER: ABSENT, name: chain})
    yield "the chain once more, not to be checked", maker.token({"x5cInsecure": chain})
    if len(chain) > 1:
        yield "x5c with the leaf last", maker.token({_HEADER: chain[::-1]})
        yield "x5c without the leaf", maker.token({_HEADER: chain[1:]})
        yield "x5c without the issuers", maker.token({_HEADER: chain[:1]})
        yield "x5c with a gap between leaf and issuer", maker.token({_HEADER: [chain[0], chain[0], *chain[1:]]})


def grafts(maker: Maker) -> Iterator[tuple[str, str]]:
    """Certificates of the signer's own making around those that are genuine: each is signed, some by a real key."""
    if _HEADER not in maker.header:
        return
    chain, leaf = list(maker.header[_HEADER]), _leaf(maker)
    stranger = maker.stranger()
    own = {
        "a leaf that signs itself": (maker, [_made(maker, leaf, maker.key)]),
        "a leaf that signs itself, with the names of the genuine one": (
            maker, [_made(maker, leaf, maker.key, issuer=leaf.issuer), *chain[1:]],
        ),
        "a CA's certificate of the signer's": (maker, [_made(maker, leaf, maker.key, is_ca=True), *chain[1:]]),
        "a leaf below the genuine leaf": (stranger, [_made(stranger, leaf, maker.key, issuer=leaf.subject), *chain]),
        "a leaf below nothing, before the chain": (stranger, [_made(stranger, leaf, stranger.key), *chain]),
        "a leaf below nothing, behind the chain": (stranger, [*chain, _made(stranger, leaf, stranger.key)]),
        "another's leaf with the genuine serial number and names": (
            stranger, [_made(stranger, leaf, stranger.key, issuer=leaf.issuer), *chain[1:]],
        ),
        "the genuine chain under another's signature": (stranger, chain),
    }  # fmt: skip
    for name, (signer, certificates) in own.items():
        yield f"x5c: {name}", signer.token({_HEADER: certificates})
    der = base64.b64decode(chain[0])
    for name, octets in _changed(der, leaf).items():
        yield f"x5c: {name}", maker.token({_HEADER: [base64.b64encode(octets).decode(), *chain[1:]]})


def _shapes(chain: list[str]) -> tuple[Any, ...]:
    """What is no array of certificates in base64, or one of too many."""
    first, rest = chain[0], chain[1:]
    der = base64.b64decode(first)
    pem = f"-----BEGIN CERTIFICATE-----\n{first}\n-----END CERTIFICATE-----\n"
    texts = (
        "", "!", "AAAA", f" {first}", f"{first}\n", f"{first[:64]}\n{first[64:]}", f"{first}=", f"{first}====",
        first[:-8], first[4:], pem, der.hex(), base64.urlsafe_b64encode(b"\xff\xfe" + der).decode(), f"{first}{first}",
        base64.b64encode(der + b"\x00").decode(), base64.b64encode(der * 2).decode(), "é" * 40,
        "\x00" * 40, "A" * 200_000,
    )  # fmt: skip
    wrong: tuple[Any, ...] = (None, 1, True, [first], {"x5c": first})
    whole: tuple[Any, ...] = (ABSENT, None, "", 1, True, {}, [], first, ",".join(chain), {"0": first}, [chain])
    return (*whole, *([one, *rest] for one in (*texts, *wrong)), chain * 9, [*chain, *[chain[-1]] * 40])


def _leaf(maker: Maker) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(maker.header[_HEADER][0]))


def _made(
    holder: Maker, like: x509.Certificate, signer: SigningKey, *, issuer: x509.Name | None = None, is_ca: bool = False
) -> str:
    """A certificate of the holder's key with the names and serial number of ``like``, signed by anybody."""
    usage = key_usage("digital_signature", "key_cert_sign") if is_ca else key_usage("digital_signature")
    builder = x509.CertificateBuilder(
        issuer_name=issuer or like.subject,
        subject_name=like.subject,
        public_key=holder.public_key,
        serial_number=like.serial_number,
        not_valid_before=holder.now - timedelta(hours=1),
        not_valid_after=holder.now + timedelta(hours=1),
    )
    for extension in (
        usage,
        x509.BasicConstraints(ca=is_ca, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    ):
        builder = builder.add_extension(extension, critical=True)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return base64.b64encode(builder.sign(signer, digest).public_bytes(serialization.Encoding.DER)).decode()


def _changed(der: bytes, leaf: x509.Certificate) -> dict[str, bytes]:
    """The leaf with one octet other than its issuer signed it, or under another signature."""
    tbs = der.index(leaf.tbs_certificate_bytes)
    key = der.index(leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ))  # fmt: skip
    serial = der.index(leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 7) // 8, "big"), tbs)
    places = {"its serial number": serial + 1, "its key": key - 1, "its signature": len(der) - 1}
    found = {
        f"one bit changed in {name}": der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]
        for name, place in places.items()
    }
    return found | {"its signature all zeros": der[: -len(leaf.signature)] + bytes(len(leaf.signature))}
