"""Hostile tokens about SSH: of the wrong kind, with claims or certificates that are none, or somebody else's."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from mica import sshsignatures
from mica.audiences import PATHS
from mica.sshcert import SSHCertificate
from mica.sshkeys import SK_ECDSA, SK_ED25519, SSHPublicKey
from mica.sshwire import text
from mica.testing.makers import ABSENT, Maker, encode

_HEADER = "sshpop"


def kinds(maker: Maker) -> Iterator[tuple[str, str]]:
    """Tokens for certificates of one kind, X.509 or SSH, that would serve for the other."""
    path, aud = _path(maker), maker.payload["aud"]
    if not path:
        return
    other_path = path.removeprefix("/ssh") if path.startswith("/ssh/") else f"/ssh{path}"
    other = aud.replace(path, other_path, 1)
    if other_path in PATHS:  # a URL that means nothing here does no harm (RFC 7519 §4.1.3)
        yield "aud of both kinds", maker.token(aud=[aud, other])
    if path in ("/sign", "/revoke"):
        for ssh in ({}, {"certType": "user"}, {"keyID": maker.payload["sub"]}):
            yield f"step.ssh {ssh!r} in a token for X.509", maker.token(step={"ssh": ssh})
    if not path.endswith("/revoke"):  # there the audience alone says what a serial number is one of
        yield "aud of the other kind", maker.token(aud=other)


def step_claims(maker: Maker) -> Iterator[tuple[str, str]]:
    """``step.ssh`` that is absent, that is no order, or that orders what is none."""
    step = maker.payload.get("step")
    if not isinstance(step, dict) or "ssh" not in step:
        return
    ssh = step["ssh"]
    for value in (ABSENT, None, "", "ssh", 1, True, [], {}, [step], {"SSH": ssh}, {"ssh": None}):
        yield f"step {'absent' if value is ABSENT else repr(value)}", maker.token(step=value)
    for value in ("", "user", 1, True, [], [ssh]):
        yield f"step.ssh {value!r}", maker.token(step={"ssh": value})
    members: dict[str, tuple[Any, ...]] = {
        "certType": ("User", "HOST", "both", "user,host", " user", 1, True, ["user"], {"user": True}),
        "keyID": (1, True, ["a"], {"a": 1}, "a\x00b", "a\nb", "\x1b[2J", "\u202eroot"),
        "principals": ("root", 1, True, {"root": 1}, [1], [None], [True], [["root"]], [""], ["root", ""]),
        "validAfter": (0, 1, True, ["5m"], {"after": "5m"}, "soon", "5", "5m ", "1y", "2031-03-14", "NaN", "9" * 70),
        "validBefore": (
            0,
            1,
            True,
            ["5m"],
            {"before": "5m"},
            "later",
            "5",
            " 5m",
            "1y",
            "2031-03-14",
            "inf",
            "9h" * 40,
        ),
    }
    for member, values in members.items():
        for value in values:
            yield f"step.ssh.{member} {value!r}", maker.token(step={"ssh": {**ssh, member: value}})
    digest = encode(bytes(32))
    for confirmation in ({"x5rt#S256": digest}, {}, digest, {"jwk": {"kty": "oct", "k": "AA"}}):
        yield f"cnf {confirmation!r} for SSH", maker.token(cnf=confirmation)


def serials(maker: Maker) -> Iterator[tuple[str, str]]:
    """Revocations whose ``sub`` is no serial number of SSH's, decimal and below 2^64; or not the key id beside it."""
    if _path(maker) != "/ssh/revoke":
        return
    subjects = ("0", "00", "-1", "+1", "01", "0x10", "1.0", "1e3", " 1", "1 ", "1_0", "٤", "²", str(2**64), "9" * 400)
    for subject in (*subjects, "svc.example", "1,2"):
        yield f"sub {subject[:30]!r} as a serial", maker.token(sub=subject)
    if _HEADER in maker.header:
        return
    for key_id in ("other", "svc.exampl", "SVC.EXAMPLE", "svc.example ", 1, ["svc.example"], True):
        yield f"step.ssh.keyID {key_id!r}, sub another", maker.token(sub="svc.example", step={"ssh": {"keyID": key_id}})


def held_certificates(maker: Maker) -> Iterator[tuple[str, str]]:
    """The header ``sshpop`` without the certificate whose key signs: none, another's, a forged one, something else."""
    if _HEADER not in maker.header:
        return
    good = str(maker.header[_HEADER])
    blob = base64.b64decode(good)
    certificate = SSHCertificate.decode(blob)
    shapes: tuple[Any, ...] = (
        ABSENT, None, "", 1, 1e300, True, [], [good], [[good]], {"certificate": good}, f"{certificate.tbs.type} {good}",
        f" {good}", f"{good} ", f"{good}\n", f"{good[:40]}\n{good[40:]}", f"{good}=", f"{good}====", f"{good}{good}",
        good[:-4], good[4:], "!" * 40, "é" * 40, "\x00" * 40, "A" * 40_000, "AAAA" * 10_000, "====",
        base64.urlsafe_b64encode(b"\xff\xfe" + blob).decode(), blob.hex(),
    )  # fmt: skip
    for number, value in enumerate(shapes):
        shown = "absent" if value is ABSENT else repr(value)[:60]
        yield f"sshpop ({number}): {shown}", maker.token({_HEADER: value})
    for name in ("SSHPOP", "sshPOP", "x5c", "jwk", "kid"):
        yield f"the certificate in the header {name}", maker.token({_HEADER: ABSENT, name: good})
    for name, octets in {**_other_octets(maker, blob), **_forged(certificate), **_others(maker, certificate)}.items():
        yield f"sshpop: {name}", maker.token({_HEADER: base64.b64encode(octets).decode()})


def _other_octets(maker: Maker, blob: bytes) -> dict[str, bytes]:
    """What is no SSH certificate, or more or less than one."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return {
        "an octet behind it": blob + b"\x00",
        "twice": blob * 2,
        "its last octet cut": blob[:-1],
        "half of it": blob[: len(blob) // 2],
        "its type alone": blob[: 4 + blob[3]],
        "zeros": bytes(len(blob)),
        "a length of 4 GiB": b"\xff\xff\xff\xff" + blob[4:],
        "an X.509 certificate of the key": _x509(maker),
        "the public key in DER": maker.public_key.public_bytes(serialization.Encoding.DER, spki),
        "the public key without a certificate": SSHPublicKey.of(maker.public_key).blob,
        "the certificate as PEM": b"-----BEGIN CERTIFICATE-----\n" + blob,
    }


def _forged(certificate: SSHCertificate) -> dict[str, bytes]:
    """The certificate with something changed that its signature covers, or with another signature."""
    tbs, signature = certificate.tbs, certificate.signature_blob
    changed = {
        "another serial": replace(tbs, serial=tbs.serial ^ 1),
        "another key id": replace(tbs, key_id="root"),
        "other principals": replace(tbs, valid_principals=("root",)),
        "the other type": replace(tbs, cert_type=type(tbs.cert_type)(3 - tbs.cert_type)),
        "an end put off": replace(tbs, valid_before=None),
        "another critical option": replace(tbs, critical_options=(("force-command", "/bin/sh"),)),
        "another CA's name": replace(
            tbs, signature_key=SSHPublicKey.of(ed25519.Ed25519PrivateKey.generate().public_key())
        ),
        "its own key as its CA": replace(tbs, signature_key=tbs.public_key),
    }
    forged = {f"{name} under the old signature": other.assemble(signature) for name, other in changed.items()}
    flipped = signature[:-1] + bytes([signature[-1] ^ 1])
    return forged | {
        "a signature with one bit changed": tbs.assemble(flipped),
        "an empty signature": tbs.assemble(b""),
        "a signature of nothing": tbs.assemble(text("") + text("")),
    }


def _others(maker: Maker, certificate: SSHCertificate) -> dict[str, bytes]:
    """Sound certificates, by a CA of nobody's, with the real serial number; their keys did not sign the token."""
    ca, tbs = ec.generate_private_key(ec.SECP256R1()), certificate.tbs
    keys = {
        "another key of its type": SSHPublicKey.of(maker.stranger().public_key),
        "an Ed25519 key": SSHPublicKey.of(ed25519.Ed25519PrivateKey.generate().public_key()),
        "the CA's own key": SSHPublicKey.of(ca.public_key()),
    }
    # A security key signs flags and a counter besides (PROTOCOL.u2f): what signs a JWS is none.
    if tbs.public_key.key_type == "ssh-ed25519":
        keys["the key, as a security key's"] = SSHPublicKey.decode(
            text(SK_ED25519) + tbs.public_key.fields + text("ssh:")
        )
    if tbs.public_key.key_type == "ecdsa-sha2-nistp256":
        keys["the key, as a security key's"] = SSHPublicKey.decode(
            text(SK_ECDSA) + tbs.public_key.fields + text("ssh:")
        )
    found = {}
    for name, key in keys.items():
        other = replace(tbs, public_key=key, signature_key=SSHPublicKey.of(ca.public_key()))
        signature = ca.sign(other.wire, ec.ECDSA(hashes.SHA256()))
        found[f"a certificate for {name}"] = other.assemble(sshsignatures.encode(other.signature_key, signature))
    return found


def _path(maker: Maker) -> str:
    """The operation in the audience, ``/sign``, ``/ssh/sign`` …; empty when it is no URL of ours."""
    aud = maker.payload.get("aud")
    return urlsplit(aud).path.removeprefix("/1.0") if isinstance(aud, str) and aud.startswith("https://") else ""


def _x509(maker: Maker) -> bytes:
    """A self-signed X.509 certificate of the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "svc.example")])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=maker.public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=maker.now,
        not_valid_after=maker.now.replace(year=maker.now.year + 1),
    )
    digest = None if isinstance(maker.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(maker.key, digest).public_bytes(serialization.Encoding.DER)
