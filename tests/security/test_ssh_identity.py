"""Whose certificate it is: every id swapped, every graft tried, every name that is more than a name."""

import base64
import dataclasses
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_identity
from tests.security.sshorders import ca_key, decoded, held, host, order, public, recorded_id, user

from mica import sshsignatures
from mica.authority import Authority
from mica.errors import AlreadyRevoked, CertificateRevoked, MicaError, NotFound, Refused, Unauthorized
from mica.issuance import sign_token
from mica.keyfiles import PrivateKey, generate
from mica.records import CertificateKind, Commit, Issuance, ProvisionerRef, Query, Status
from mica.requests import RevokeRequest, SignRequest, SSHRenewRequest, SSHRevokeRequest
from mica.revocation import revoke_by_token
from mica.sshcert import CertType, SSHCertificate, TBSSSHCertificate
from mica.sshissuance import issuance_of, sign_ssh_token
from mica.sshkeys import SK_ECDSA, SK_ED25519, KeyLine, SSHPublicKey
from mica.sshoptions import USER_EXTENSIONS
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh
from mica.sshwire import mpint, string, text
from mica.testing.ca import TestCA, csr
from mica.testing.line_requests import send
from mica.testing.makers import Maker
from mica.web.app import create_app

KEYS: Mapping[str, PrivateKey] = {name: generate("EC-P256") for name in ("mine", "yours", "third")}
PATHS = ("/ssh/renew", "/ssh/rekey", "/ssh/revoke")
#: P-256's order (SEC 2 §2.4.2).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    return TestCA.found(tmp_path / "ca", ssh=True)


async def use(authority: Authority, path: str, token: str, serial: int) -> object:
    """What the token earns at ``path``."""
    match path:
        case "/ssh/renew":
            return await renew_ssh(authority, SSHRenewRequest(), token)
        case "/ssh/rekey":
            return await renew_ssh(authority, SSHRenewRequest(public_key=public(KEYS["third"])), token)
        case _:
            await revoke_ssh(authority, SSHRevokeRequest(serial_number=serial), token)
            return None


def claimed(ca: TestCA, path: str, certificate: SSHCertificate, key: PrivateKey, **claims: Any) -> str:
    """A token with this certificate in its header and this key's signature, whether they belong together or not."""
    now = int(ca.clock().timestamp())
    payload = {
        "iss": "sshpop", "sub": str(certificate.tbs.serial), "aud": f"{ca.url}/1.0{path}#sshpop/sshpop",
        "iat": now, "nbf": now, "exp": now + 300, "jti": base64.b64encode(certificate.blob[-20:]).decode() + path,
    }  # fmt: skip
    header = {"alg": "ES256", "sshpop": base64.b64encode(certificate.blob).decode()}
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Maker(key=key, header=header, payload=payload, now=ca.clock()).token(**claims)


def sealed(tbs: TBSSSHCertificate, key: PrivateKey) -> SSHCertificate:
    """The certificate, signed by ``key``, whatever its name says."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = sshsignatures.encode(public(key), key.sign(tbs.wire, ec.ECDSA(hashes.SHA256())))
    return SSHCertificate.decode(tbs.assemble(signature))


async def is_revoked(authority: Authority, certificate: SSHCertificate) -> bool:
    return await authority.store.revocation(recorded_id(certificate)) is not None


# Swapped


async def test_every_certificate_with_every_key_is_served_only_where_they_belong_together(
    ca: TestCA, authority: Authority
) -> None:
    certificates = {name: await host(ca, authority, key, f"{name}.example") for name, key in KEYS.items()}
    served = set()
    for path, (of, certificate), (by, key) in product(PATHS, certificates.items(), KEYS.items()):
        if of == "third" or by == "third":
            continue
        try:
            await use(authority, path, claimed(ca, path, certificate, key), certificate.tbs.serial)
        except Unauthorized:
            continue
        served.add((path, of, by))
    assert served == {(path, who, who) for path in PATHS for who in ("mine", "yours")}
    assert not await is_revoked(authority, certificates["third"])


async def test_no_serial_number_or_key_id_of_anothers_is_ended(ca: TestCA, authority: Authority) -> None:
    mine, yours = await host(ca, authority, KEYS["mine"]), await host(ca, authority, KEYS["yours"], "yours.example")
    x509_serial = (
        await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    ).issuance.id.serial_number
    my_serial, your_serial = str(mine.tbs.serial), str(yours.tbs.serial)
    key_id = {"step": {"ssh": {"keyID": "web.example"}}}
    tokens = {
        "my serial": ca.token(my_serial, "/ssh/revoke"),
        "my serial, for X.509": ca.token(my_serial, "/revoke"),
        "my key id": ca.token("web.example", "/ssh/revoke", **key_id),
        "my key id as subject alone": ca.token("web.example", "/ssh/revoke"),
        "my key id, your serial as subject": ca.token(your_serial, "/ssh/revoke", **key_id),
        "an X.509 serial": ca.token(str(x509_serial), "/ssh/revoke"),
        "my certificate": claimed(ca, "/ssh/revoke", mine, KEYS["mine"]),
        "my certificate, your serial": claimed(ca, "/ssh/revoke", mine, KEYS["mine"], sub=your_serial),
        "your certificate": claimed(ca, "/ssh/revoke", yours, KEYS["mine"]),
    }
    requests = [
        SSHRevokeRequest(serial_number=yours.tbs.serial), SSHRevokeRequest(key_id="yours.example"),
        SSHRevokeRequest(key_id=your_serial), SSHRevokeRequest(serial_number=yours.tbs.serial ^ 1),
    ]  # fmt: skip
    for (_, token), request in product(tokens.items(), requests):
        with pytest.raises((Refused, Unauthorized)):
            await revoke_ssh(authority, request, token)
    with pytest.raises((Refused, Unauthorized)):
        await revoke_by_token(authority, RevokeRequest(serial_number=yours.tbs.serial), tokens["my serial, for X.509"])
    for certificate in (mine, yours):
        assert not await is_revoked(authority, certificate)
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=mine.tbs.serial), tokens["my serial"])
    assert not await is_revoked(authority, yours)


async def test_key_ids_are_compared_as_they_are(ca: TestCA, authority: Authority) -> None:
    """Neither by prefix nor by case, nor with the signs that a search would take for any text."""
    cyrillic = "w\u0435b"
    key_ids = ["web", "web.example", "WEB.example", "web%", "w_b", "web.example.", "web*", cyrillic]
    for key_id in key_ids:
        await sign_ssh_token(authority, order(), ca.ssh_token(key_id, "user", ["alice"]))
    for key_id in ("web%", "w_b", "web*", "web", "WEB.example"):
        token = ca.token(key_id, "/ssh/revoke", step={"ssh": {"keyID": key_id}})
        await revoke_ssh(authority, SSHRevokeRequest(key_id=key_id), token)
    live = Query(now=ca.clock(), kind=CertificateKind.SSH, status=Status.VALID)
    left = {row.issuance.subject for row in (await authority.store.search(live)).rows}
    assert left == {"web.example", "web.example.", cyrillic}


async def test_a_certificate_that_begins_tomorrow_ends_with_its_key_id(ca: TestCA, authority: Authority) -> None:
    token = ca.ssh_token("alice", "user", ["alice"])
    begins = order(valid_after=timedelta(hours=5), valid_before=timedelta(hours=9))
    later = decoded(await sign_ssh_token(authority, begins, token))
    ending = ca.token("alice", "/ssh/revoke", step={"ssh": {"keyID": "alice"}})
    await revoke_ssh(authority, SSHRevokeRequest(key_id="alice"), ending)
    assert await is_revoked(authority, later)


async def test_no_principal_of_anothers_is_obtained(ca: TestCA, authority: Authority) -> None:
    for asked in (("root",), ("alice", "root"), ("alice,root",), ("alice ",), ("alicе",), ("*",), ("",)):
        token = ca.ssh_token("alice", "user", ["alice"])
        with pytest.raises(Refused, match="principals does not match"):
            await sign_ssh_token(authority, order(principals=asked), token)
        assert decoded(await sign_ssh_token(authority, order(), token)).tbs.valid_principals == ("alice",)


# Grafts


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("cert_type", CertType)
async def test_a_certificate_by_the_other_types_key_is_nobodys_even_on_record(
    ca: TestCA, authority: Authority, cert_type: CertType, is_recorded: bool
) -> None:
    """A host's by the key for users, and a user's by the key for hosts: sshd and ssh would not believe them either."""
    other = CertType(3 - cert_type)
    real = await host(ca, authority, KEYS["mine"])
    tbs = dataclasses.replace(
        real.tbs, cert_type=cert_type, serial=real.tbs.serial ^ 1, signature_key=ca_key(ca, other)
    )
    graft = sealed(tbs, ca.ssh_keys[other].key)
    if is_recorded:
        await authority.store.commit(Commit(issuances=(issued(graft),)))
    for path in PATHS:
        with pytest.raises(MicaError):
            await use(authority, path, held(ca, graft, KEYS["mine"], path), tbs.serial)
    assert not await is_revoked(authority, graft)


def issued(certificate: SSHCertificate) -> Issuance:
    """What a record of it would be."""
    now = certificate.tbs.valid_after + timedelta(minutes=1)
    return issuance_of(certificate.tbs, certificate.blob, ProvisionerRef(name="admin", type="JWK"), now)


Graft = Callable[[TestCA, SSHCertificate], SSHCertificate]


def other_signature(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """The same octets under another signature that is as good: ECDSA has two for one."""
    algorithm, value = "ecdsa-sha2-nistp256", real.signature.value
    size = int.from_bytes(value[:4], "big")
    r, s = int.from_bytes(value[4 : 4 + size], "big"), int.from_bytes(value[8 + size :], "big")
    blob = text(algorithm) + string(mpint(r) + mpint(ORDER - s))
    return SSHCertificate.decode(real.tbs.assemble(blob))


def signed_again(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """The same octets, signed once more by the CA's key."""
    return sealed(real.tbs, ca.ssh_keys[CertType.HOST].key)


def longer(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """A later end, by the CA's key, behind the core's back."""
    tbs = dataclasses.replace(real.tbs, valid_before=real.tbs.valid_after + timedelta(days=365))
    return sealed(tbs, ca.ssh_keys[CertType.HOST].key)


def endless(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    return sealed(dataclasses.replace(real.tbs, valid_before=None), ca.ssh_keys[CertType.HOST].key)


def nameless(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    return sealed(dataclasses.replace(real.tbs, valid_principals=()), ca.ssh_keys[CertType.HOST].key)


def with_reserved_octets(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    return sealed(dataclasses.replace(real.tbs, reserved=b"more"), ca.ssh_keys[CertType.HOST].key)


@pytest.mark.parametrize("graft", [other_signature, signed_again, longer, endless, nameless, with_reserved_octets])
@pytest.mark.parametrize("path", PATHS)
async def test_only_the_very_octets_on_record_are_continued_or_ended(
    ca: TestCA, authority: Authority, graft: Graft, path: str
) -> None:
    real = await host(ca, authority, KEYS["mine"])
    grafted = graft(ca, real)
    grafted.check_signature()
    assert grafted.blob != real.blob and grafted.tbs.serial == real.tbs.serial
    with pytest.raises(Unauthorized, match="not on record"):
        await use(authority, path, held(ca, grafted, KEYS["mine"], path), real.tbs.serial)
    await use(authority, path, held(ca, real, KEYS["mine"], path), real.tbs.serial)


async def test_what_stands_on_record_and_may_not_be_issued_is_not_continued(ca: TestCA, authority: Authority) -> None:
    """A record is no licence: whatever is continued is judged as if it were new."""
    real = await host(ca, authority, KEYS["mine"])
    weak = SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key())
    changes: list[dict[str, Any]] = [
        {"valid_principals": ()}, {"valid_principals": ("*",)}, {"valid_principals": ("web,root",)}, {"key_id": ""},
        {"key_id": "web\n"}, {"extensions": (("permit-pty", ""),)}, {"critical_options": (("force-command", "sh"),)},
    ]  # fmt: skip
    for number, change in enumerate(changes):
        odd = sealed(dataclasses.replace(real.tbs, serial=number + 1, **change), ca.ssh_keys[CertType.HOST].key)
        await authority.store.commit(Commit(issuances=(issued(odd),)))
        with pytest.raises(Refused):
            await renew_ssh(authority, SSHRenewRequest(), held(ca, odd, KEYS["mine"], "/ssh/renew"))
    for key in (weak, ca_key(ca, CertType.HOST), ca_key(ca, CertType.USER)):
        token = held(ca, real, KEYS["mine"], "/ssh/rekey")
        with pytest.raises(Refused):
            await renew_ssh(authority, SSHRenewRequest(public_key=key), token)
        await renew_ssh(authority, SSHRenewRequest(public_key=public(KEYS["third"])), token)


# Names


@pytest.mark.parametrize("cert_type", ["user", "host"])
@pytest.mark.parametrize(
    "principals",
    [
        ["deploy,root"], ["a", "b,c"], [","], ["*"], ["?"], ["web*"], ["a?"], ["a b"], [" a"], ["a "], ["a\tb"],
        ["a\nb"], ["a\r"], ["a\x0bb"], ["a\x0cb"], ["a\x00b"], ["a\x1b[2J"], ["a\x7f"], ["a\x85b"], ["a\x9bb"],
        ["a\u00a0b"], ["a\u00adb"], ["a\u200bb"], ["a\u202eb"], ["a\u2028b"], ["a\u3000b"], ["a\ufeffb"],
        ["\ud800"], ["a\udfff"], ["\ue000"], ["a\U000e0041"], [""], ["a", ""], ["x" * 256], ["é" * 128],
        [f"u{number}" for number in range(257)],
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
async def test_a_name_that_could_be_more_than_a_name_is_never_certified_and_burns_nothing(
    ca: TestCA, authority: Authority, cert_type: str, principals: list[str]
) -> None:
    with pytest.raises(MicaError):
        await sign_ssh_token(authority, order(), ca.ssh_token("alice", cert_type, principals))
    assert not (await authority.store.search(Query(now=ca.clock(), kind=CertificateKind.SSH))).rows
    assert not authority.in_flight.held


@pytest.mark.parametrize("cert_type", CertType)
async def test_names_that_look_alike_are_kept_as_they_are(
    ca: TestCA, authority: Authority, cert_type: CertType
) -> None:
    """Nothing is folded or normalised: what is compared octet by octet must not become another's name on its way."""
    names = [
        "аlice", "ａlice", "e\u0301va", "\u00e9va", "ﬁn", "ſ", "\u212aelvin.example", "ıstanbul", "İstanbul",
        "faß", "xn--fa-hia", "٣", "root’", "a;b", "$(id)", "`id`", "../a", "a|b", "-oProxyCommand=x", "a@b", "%u", "!a",
    ]  # fmt: skip
    token = ca.ssh_token("names", cert_type.name.lower(), names)
    certificate = decoded(await sign_ssh_token(authority, order(), token))
    expected = names if cert_type is CertType.USER else [ascii_lowered(name) for name in names]
    assert list(certificate.tbs.valid_principals) == expected
    found = await authority.store.find(recorded_id(certificate))
    assert found is not None and list(found.names) == expected


def ascii_lowered(name: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in name)


async def test_256_names_are_certified_and_a_name_that_comes_twice_stands_once(
    ca: TestCA, authority: Authority
) -> None:
    names = [f"u{number}" for number in range(256)]
    certificate = await user(ca, authority, *names, *names)
    assert list(certificate.tbs.valid_principals) == names
    token = ca.ssh_token("web", "host", ["Web.Example", "web.example", "WEB.EXAMPLE"])
    assert decoded(await sign_ssh_token(authority, order(), token)).tbs.valid_principals == ("web.example",)


# Beyond the grant


async def test_neither_a_body_nor_a_token_adds_options_extensions_or_a_key_id(ca: TestCA, authority: Authority) -> None:
    app = create_app(authority)
    asked: dict[str, Any] = {
        "keyID": "root", "extensions": {"permit-everything": ""}, "criticalOptions": {"force-command": "sh"},
        "permissions": {"extensions": {"permit-pty": ""}}, "templateData": {"x": 1}, "serial": 1, "caKey": "x",
        "identityCSR": None,
    }  # fmt: skip
    for cert_type, extensions in (("user", USER_EXTENSIONS), ("host", ())):
        claims = {"certType": cert_type, "keyID": "alice", "principals": ["alice"]}
        # criticalOptions of a token are an order, by which the certificate is good for less; elsewhere they are noise.
        ordered = {name: value for name, value in asked.items() if name != "criticalOptions"}
        token = ca.ssh_token("alice", step={"ssh": {**ordered, **claims}}, **asked)
        body = {**asked, "publicKey": base64.b64encode(public(KEYS["mine"]).blob).decode(), "ott": token}
        reply = await send(app, "POST", "/ssh/sign", body)
        assert reply.status == 201, reply
        tbs = SSHCertificate.decode(base64.b64decode(reply.json["crt"])).tbs
        assert (tbs.key_id, tbs.critical_options, tbs.extensions) == ("alice", (), extensions)
        assert tbs.serial != 1 and tbs.reserved == b""
        assert tbs.signature_key == ca_key(ca, tbs.cert_type)


async def test_a_refused_order_leaves_the_token_and_no_half_of_anything(ca: TestCA, authority: Authority) -> None:
    weak = SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key())
    good = public(KEYS["mine"])
    token = ca.ssh_token("alice", "user", ["alice"])
    refused: list[dict[str, Any]] = [
        {"public_key": weak}, {"public_key": ca_key(ca, CertType.USER)}, {"public_key": ca_key(ca, CertType.HOST)},
        {"add_user_public_key": weak}, {"add_user_public_key": ca_key(ca, CertType.HOST)},
        {"cert_type": CertType.HOST}, {"principals": ("root",)}, {"valid_before": timedelta(days=2)},
        {"valid_before": timedelta(minutes=1)}, {"valid_before": timedelta(days=-1)},
        {"valid_after": timedelta(days=3), "valid_before": timedelta(days=3, hours=1)},
        {"valid_after": timedelta(hours=3), "valid_before": timedelta(hours=2)},
    ]  # fmt: skip
    adding = order(KEYS["mine"], add_user_public_key=good)
    for change in refused:
        with pytest.raises(MicaError):
            await sign_ssh_token(authority, dataclasses.replace(adding, **change), token)
    assert not (await authority.store.search(Query(now=ca.clock(), kind=CertificateKind.SSH))).rows
    assert (await sign_ssh_token(authority, adding, token)).add_user is not None
    assert len((await authority.store.search(Query(now=ca.clock(), kind=CertificateKind.SSH))).rows) == 2


# What is approved is what is signed


def leading_zeros(curve: ec.EllipticCurve, size: int) -> SSHPublicKey:
    """A key whose point has a coordinate with a zero in front, which an encoder could leave out."""
    while True:
        key = ec.generate_private_key(curve).public_key()
        if key.public_numbers().x >> 8 * (size - 1) == 0:
            return SSHPublicKey.of(key)


def rsa_key(bits: int) -> SSHPublicKey:
    return SSHPublicKey.of(rsa.generate_private_key(65537, bits).public_key())


def security_key(application: str, key_type: str) -> SSHPublicKey:
    algorithm = "Ed25519" if key_type == SK_ED25519 else "EC-P256"
    fields = public(generate(algorithm)).fields
    return SSHPublicKey.decode(text(key_type) + fields + text(application))


ZOO: dict[str, Callable[[], SSHPublicKey]] = {
    "Ed25519": lambda: public(generate("Ed25519")),
    "P-256, a zero in front": lambda: leading_zeros(ec.SECP256R1(), 32),
    "P-384, a zero in front": lambda: leading_zeros(ec.SECP384R1(), 48),
    "P-521, a zero in front": lambda: leading_zeros(ec.SECP521R1(), 66),
    "P-521, two zeros in front": lambda: leading_zeros(ec.SECP521R1(), 65),
    "RSA-2048": lambda: rsa_key(2048),
    "RSA-2056": lambda: rsa_key(2056),
    "RSA-3072": lambda: rsa_key(3072),
    "sk-ed25519": lambda: security_key("ssh:", SK_ED25519),
    "sk-ecdsa": lambda: security_key("ssh:", SK_ECDSA),
    "sk-ed25519 of another application": lambda: security_key("ssh:wörk" + "x" * 1000, SK_ED25519),
    "sk-ecdsa without an application": lambda: security_key("", SK_ECDSA),
}


@pytest.mark.parametrize("kind", ZOO)
async def test_the_octets_signed_are_those_approved_and_the_key_is_the_one_that_was_sent(
    ca: TestCA, kind: str, tool: Callable[[str], str], tmp_path: Path
) -> None:
    authority, seen = ca.authority(), list[bytes]()
    await authority.start()
    assert authority.ssh is not None
    signer = authority.ssh.signer

    class Watching:
        async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
            seen.append(tbs)
            return await signer.sign(tbs, cert_type)

    watching: Any = Watching()
    watched = dataclasses.replace(authority, ssh=dataclasses.replace(authority.ssh, signer=watching))
    key = ZOO[kind]()
    body = {"publicKey": base64.b64encode(key.blob).decode(), "ott": ca.ssh_token("alice", "user", ["alice"])}
    reply = await send(create_app(watched), "POST", "/ssh/sign", body)
    await authority.aclose()
    assert reply.status == 201, reply
    certificate = SSHCertificate.decode(base64.b64decode(reply.json["crt"]))
    assert seen == [certificate.signed]
    nonce_and_key = string(certificate.tbs.nonce) + key.fields
    assert nonce_and_key in certificate.blob
    file = tmp_path / "zoo-cert.pub"
    file.write_text(KeyLine(key_type=certificate.tbs.type, blob=certificate.blob).format() + "\n")
    listed = subprocess.run([tool("ssh-keygen"), "-L", "-f", file], capture_output=True, text=True, check=True).stdout
    assert f"CERT {key.fingerprint}" in listed
    if not key.is_security_key:
        theirs: Any = load_ssh_public_identity(file.read_bytes())
        theirs.verify_cert_signature()


# For ever


def is_on_list(keygen: str, folder: Path, krl: bytes, certificate: SSHCertificate) -> bool:
    """What ssh-keygen says of the certificate and the list."""
    (folder / "krl").write_bytes(krl)
    file = folder / "asked-cert.pub"
    file.write_text(KeyLine(key_type=certificate.tbs.type, blob=certificate.blob).format() + "\n")
    run = subprocess.run([keygen, "-Q", "-f", folder / "krl", file], capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    assert ("REVOKED" in run.stdout) is (run.returncode == 1)
    return run.returncode == 1


async def test_once_revoked_always_revoked_and_on_the_list(
    ca: TestCA, tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Across pruning, a restart, a restore, and the end of the certificate itself."""
    keygen = tool("ssh-keygen")
    authority = ca.authority()
    await authority.start()
    ended, kept = await host(ca, authority, KEYS["mine"]), await host(ca, authority, KEYS["yours"])
    person = await user(ca, authority, key=KEYS["third"])
    for certificate, key in ((ended, KEYS["mine"]), (person, KEYS["third"])):
        request = SSHRevokeRequest(serial_number=certificate.tbs.serial)
        await revoke_ssh(authority, request, held(ca, certificate, key, "/ssh/revoke"))

    async def holds(again: Authority) -> None:
        for path in ("/ssh/renew", "/ssh/rekey"):
            with pytest.raises((CertificateRevoked, Unauthorized)):
                await use(again, path, held(ca, ended, KEYS["mine"], path), ended.tbs.serial)
        with pytest.raises(AlreadyRevoked):
            token = ca.token(str(ended.tbs.serial), "/ssh/revoke")
            await revoke_ssh(again, SSHRevokeRequest(serial_number=ended.tbs.serial), token)
        with pytest.raises(NotFound):
            token = ca.token("alice@example", "/ssh/revoke", step={"ssh": {"keyID": "alice@example"}})
            await revoke_ssh(again, SSHRevokeRequest(key_id="alice@example"), token)
        krl = (await send(create_app(again), "GET", "/ssh/krl")).body
        listed = [is_on_list(keygen, tmp_path, krl, each) for each in (ended, person, kept)]
        assert listed == [True, True, False]

    await holds(authority)
    ca.clock.advance(timedelta(hours=1))
    assert await authority.store.prune(ca.clock()) > 0
    await holds(authority)
    await authority.aclose()
    shutil.copytree(ca.directory / "db", tmp_path / "backup")
    again = ca.authority()
    await again.start()
    await holds(again)
    await again.aclose()
    shutil.rmtree(ca.directory / "db")
    shutil.copytree(tmp_path / "backup", ca.directory / "db")
    restored = ca.authority()
    await restored.start()
    await holds(restored)
    ca.clock.advance(timedelta(days=40))  # all of them have ended by themselves
    await restored.store.prune(ca.clock())
    await holds(restored)
    await restored.aclose()


async def test_after_a_restore_what_the_record_lacks_is_not_continued_but_can_be_ended(
    ca: TestCA, tool: Callable[[str], str], tmp_path: Path
) -> None:
    authority = ca.authority()
    await authority.start()
    await authority.aclose()
    shutil.copytree(ca.directory / "db", tmp_path / "backup")
    authority = ca.authority()
    await authority.start()
    lost = await host(ca, authority, KEYS["mine"])
    await authority.aclose()
    shutil.rmtree(ca.directory / "db")
    shutil.copytree(tmp_path / "backup", ca.directory / "db")
    authority = ca.authority()
    await authority.start()
    for path in PATHS:
        with pytest.raises(Unauthorized, match="not on record"):
            await use(authority, path, held(ca, lost, KEYS["mine"], path), lost.tbs.serial)
    token = ca.token(str(lost.tbs.serial), "/ssh/revoke")
    await revoke_ssh(authority, SSHRevokeRequest(serial_number=lost.tbs.serial), token)
    krl = (await send(create_app(authority), "GET", "/ssh/krl")).body
    assert is_on_list(tool("ssh-keygen"), tmp_path, krl, lost)
    await authority.aclose()
