"""The SSHPOP provisioner vouches for the one certificate that its token shows, and takes tokens of other libraries."""

import base64
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import SSHCertificateType
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from mica import (
    ConfigError,
    OneTime,
    Operation,
    Refused,
    RenewSSH,
    RevokeHeld,
    Unauthorized,
    UnverifiedToken,
)
from mica.testing.algorithms import signing_key
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.makers import Maker, SigningKey
from mica.testing.verdicts import verdict
from mica_sshpop.contracts import ALL, CA, HOUR, P256, REKEY, RENEW, REVOKE, SERIAL, certify, claims, header
from mica_sshpop.plugin import register_provisioners
from mica_sshpop.provisioner import SSHPOPConfig, SSHPOPProvisioner

USER = SSHCertificateType.USER
RSA = signing_key("RS256")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sshpop(clock: Clock) -> SSHPOPProvisioner:
    return SSHPOPProvisioner(SSHPOPConfig(name="sshpop"), make_context(clock))


Make = Callable[..., Maker]


@pytest.fixture
def make(clock: Clock) -> Make:
    """Makes makers of tokens for an operation, with a certificate of these properties."""

    def maker(operation: Operation, key: SigningKey = P256, alg: str = "ES256", **certificate: Any) -> Maker:
        blob = certify(key, clock(), **certificate)
        return Maker(key=key, header=header(blob, alg), payload=claims(operation, clock()), now=clock())

    return maker


def blob_of(maker: Maker) -> bytes:
    return base64.b64decode(maker.header["sshpop"])


def test_the_plugin_offers_one_kind() -> None:
    (only,) = register_provisioners()
    assert (only.name, only.config, only.build) == ("sshpop", SSHPOPConfig, SSHPOPProvisioner)


def test_a_name_is_needed(clock: Clock) -> None:
    with pytest.raises(ConfigError, match="name: must not be empty"):
        SSHPOPProvisioner(SSHPOPConfig(name=""), make_context(clock))


def test_there_is_nothing_to_know_of_it(sshpop: SSHPOPProvisioner) -> None:
    assert sshpop.describe() == {}
    assert sshpop.operations == {RENEW, REKEY, REVOKE}


@pytest.mark.parametrize("operation", ALL)
async def test_a_token_is_for_its_own_certificate(
    sshpop: SSHPOPProvisioner, make: Make, clock: Clock, operation: Operation
) -> None:
    maker = make(operation)
    grant = await verdict(sshpop, maker.good(), operation)
    wanted = RevokeHeld if operation is REVOKE else RenewSSH
    assert grant.permits == (wanted(certificate=blob_of(maker)),)
    assert isinstance(grant.spend, OneTime)
    assert grant.spend.id == maker.payload["jti"]
    assert grant.expires_at == clock() + timedelta(minutes=6)
    line = b"ecdsa-sha2-nistp256-cert-v01@openssh.com " + base64.b64encode(blob_of(maker))
    shown = serialization.load_ssh_public_identity(line)
    assert grant.evidence["serial"] == str(shown.serial) == grant.subject
    assert grant.evidence["key_id"] == "web.example"
    assert grant.evidence["fingerprint"] == grant.provisioner.credential_id


async def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(
    sshpop: SSHPOPProvisioner, make: Make, tmp_path: Path, keygen: Callable[..., str]
) -> None:
    public = P256.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (tmp_path / "key.pub").write_bytes(public)
    listed = keygen("-l", "-f", "key.pub")
    grant = await verdict(sshpop, make(RENEW).good(), RENEW)
    assert grant.evidence["fingerprint"] == listed.split()[1]


@pytest.mark.parametrize("operation", ALL)
async def test_a_users_certificate_is_taken_as_well_as_a_hosts(
    sshpop: SSHPOPProvisioner, make: Make, operation: Operation
) -> None:
    maker = make(operation, cert_type=USER)  # that users' are not renewed, is the core's rule and its message
    (permit,) = (await verdict(sshpop, maker.good(), operation)).permits
    assert isinstance(permit, RenewSSH | RevokeHeld)
    assert permit.certificate == blob_of(maker)


@pytest.mark.parametrize("operation", ALL)
async def test_why_a_token_is_refused_is_nobodys_business(
    sshpop: SSHPOPProvisioner, make: Make, operation: Operation
) -> None:
    for maker in (make(operation).stranger(), make(operation, ca=RSA, end=-HOUR, start=-2 * HOUR).stranger()):
        with pytest.raises(Unauthorized) as refusal:
            await verdict(sshpop, maker.good(), operation)
        assert refusal.value.public is None


@pytest.mark.parametrize(("start", "end"), [(-2 * HOUR, -HOUR), (HOUR, 2 * HOUR), (-HOUR, timedelta())])
async def test_a_certificate_out_of_its_time_is_renewed_or_not_by_the_core(
    sshpop: SSHPOPProvisioner, make: Make, start: timedelta, end: timedelta
) -> None:
    for operation in (REKEY, REVOKE):
        with pytest.raises(Unauthorized, match="the sshpop certificate"):
            await verdict(sshpop, make(operation, start=start, end=end).good(), operation)
    assert await verdict(sshpop, make(RENEW, start=start, end=end).good(), RENEW)


@pytest.mark.parametrize("sub", ["4711", str(SERIAL + 1), f"0{SERIAL}", f"{SERIAL} ", hex(SERIAL), "web.example"])
async def test_no_other_certificate_is_revoked(sshpop: SSHPOPProvisioner, make: Make, sub: str) -> None:
    with pytest.raises(Refused, match=f'^token subject "{sub}" and .* serial number "{SERIAL}" do not match$'):
        await verdict(sshpop, make(REVOKE).token(sub=sub), REVOKE)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_rsa_keys_sign_by_every_algorithm_of_theirs(sshpop: SSHPOPProvisioner, make: Make, alg: str) -> None:
    assert await verdict(sshpop, make(REVOKE, key=RSA, alg=alg).good(), REVOKE)


@pytest.mark.parametrize("weak", ["the key", "the CA"])
async def test_a_weak_key_is_worth_nothing(sshpop: SSHPOPProvisioner, make: Make, weak: str) -> None:
    short = rsa.generate_private_key(65537, 1024)
    maker = make(RENEW, key=short, alg="RS256") if weak == "the key" else make(RENEW, ca=short)
    with pytest.raises(Unauthorized, match="not good enough: RSA key must be at least 2048 bits"):
        await verdict(sshpop, maker.good(), RENEW)


@pytest.mark.parametrize("ca", [P256, RSA, CA])
async def test_certificates_of_every_kind_of_ca_are_read(sshpop: SSHPOPProvisioner, make: Make, ca: SigningKey) -> None:
    assert await verdict(sshpop, make(REKEY, ca=ca).good(), REKEY)


async def test_a_certificate_of_an_enormous_key_is_refused_at_once(sshpop: SSHPOPProvisioner, make: Make) -> None:
    public = RSA.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    modulus = base64.b64decode(public.split()[1])[-(4 + 257) :]  # an mpint: length, then a zero before the top bit
    enormous = (2049).to_bytes(4, "big") + b"\x00" + b"\xff" * 2048
    maker = make(RENEW, key=RSA, alg="RS256")
    forged = blob_of(maker).replace(modulus, enormous)
    assert len(forged) == len(blob_of(maker)) + 2048 - 256
    with pytest.raises(Unauthorized, match="at most 8192 bits"):
        await verdict(sshpop, maker.token({"sshpop": base64.b64encode(forged).decode()}), RENEW)


async def test_a_long_key_id_is_cut_in_the_log(sshpop: SSHPOPProvisioner, make: Make) -> None:
    grant = await verdict(sshpop, make(RENEW, key_id=b"k" * 20_000).good(), RENEW)
    assert len(grant.evidence["key_id"]) == 256


async def test_a_token_for_another_provisioner_is_not_recognised(
    sshpop: SSHPOPProvisioner, make: Make, clock: Clock
) -> None:
    raw = make(RENEW).good()
    other = SSHPOPProvisioner(SSHPOPConfig(name="sshpop2"), make_context(clock))
    assert not other.recognizes(UnverifiedToken.parse(raw))
    with pytest.raises(Unauthorized):
        await other.authorize(UnverifiedToken.parse(raw), RENEW)


@pytest.mark.parametrize(
    "name", ["our hosts", "a/b", "a#b", "100%", "%20", "Häfen", "it's", '"x"', "a?b&c=d", "[x]", "::"]
)
async def test_any_name_is_compared_as_it_is(clock: Clock, make: Make, name: str) -> None:
    provisioner = SSHPOPProvisioner(SSHPOPConfig(name=name), make_context(clock))
    aud = f"{URL}/1.0/ssh/renew#sshpop/{name}"
    assert await verdict(provisioner, make(RENEW).token(iss=name, aud=aud), RENEW)
    for other in (
        aud.replace(name, name.upper().swapcase() + "x"),
        aud + "/",
        aud + "#",
        aud.replace("sshpop/", "sshpop//"),
    ):
        with pytest.raises(Unauthorized):
            await verdict(provisioner, make(RENEW).token(iss=name, aud=other), RENEW)


async def test_audiences_of_other_provisioners_order_nothing_here(sshpop: SSHPOPProvisioner, make: Make) -> None:
    base = f"{URL}/1.0/ssh"
    raw = make(RENEW).token(aud=[f"{base}/rekey#sshpop/other", f"{base}/renew#sshpop/sshpop", f"{base}/revoke"])
    assert (await verdict(sshpop, raw, RENEW)).operation is RENEW
    for operation in (REKEY, REVOKE):
        with pytest.raises(Unauthorized):
            await verdict(sshpop, raw, operation)


async def test_tokens_of_other_libraries_are_accepted(sshpop: SSHPOPProvisioner, clock: Clock) -> None:
    for alg in ("ES256", "PS512", "EdDSA", "ES512"):
        key = signing_key(alg)
        members = header(certify(key, clock()), alg)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        payload = claims(REVOKE, clock())
        signed = jwcrypto_jws.JWS(json.dumps(payload))
        signed.add_signature(jwcrypto_jwk.JWK.from_pem(pem), None, json.dumps(members))
        for raw in (jwt.encode(payload, key, alg, headers=members), signed.serialize(compact=True)):
            assert await verdict(sshpop, raw, REVOKE)


async def test_a_certificate_by_ssh_keygen_and_a_token_by_openssl_are_accepted(
    sshpop: SSHPOPProvisioner, clock: Clock, tmp_path: Path, keygen: Callable[..., str]
) -> None:
    def run(*arguments: str | Path) -> str:
        done = subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout

    for name, options in (("ca", ("-t", "ed25519")), ("host", ("-t", "ecdsa", "-b", "384", "-m", "PKCS8"))):
        keygen("-q", *options, "-N", "", "-f", name)
    keygen("-q", "-s", "ca", "-h", "-I", "web", "-n", "web.example", "-z", "4711", "host.pub")
    blob = base64.b64decode((tmp_path / "host-cert.pub").read_text().split()[1])
    members, payload = header(blob, "ES384"), claims(RENEW, clock()) | {"sub": "4711"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (members, payload)]
    (tmp_path / "message").write_text(".".join(parts))
    run("openssl", "dgst", "-sha384", "-sign", "host", "-out", "signature", "message")
    parsed = run("openssl", "asn1parse", "-inform", "DER", "-in", "signature")
    r, s = (int(line.rpartition(":")[2], 16) for line in parsed.splitlines() if "INTEGER" in line)
    signature = base64.urlsafe_b64encode(r.to_bytes(48, "big") + s.to_bytes(48, "big")).decode().rstrip("=")
    grant = await verdict(sshpop, f"{'.'.join(parts)}.{signature}", RENEW)
    assert (grant.subject, grant.evidence["key_id"]) == ("4711", "web")
    swapped = replace_certificate(members, certify(P256, clock()))
    with pytest.raises(Unauthorized):
        await verdict(sshpop, f"{swapped}.{parts[1]}.{signature}", RENEW)


def replace_certificate(members: dict[str, Any], blob: bytes) -> str:
    other = {**members, "sshpop": base64.b64encode(blob).decode()}
    return base64.urlsafe_b64encode(json.dumps(other).encode()).decode().rstrip("=")
