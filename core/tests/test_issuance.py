"""A new certificate: what was granted, nothing else, and on record before it leaves."""

import base64
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica.authority import Authority
from mica.errors import MalformedRequest, Refused, TokenReused, Unauthorized
from mica.issuance import issue_own, sign_token
from mica.keyfiles import generate
from mica.profile import PROVISIONER
from mica.records import Query
from mica.requests import SignRequest
from mica.testing.ca import TestCA, csr
from mica.tokens import decode_base64url

ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-5, SP 800-186 §3.2.1.3


async def _certificate(authority: Authority, request: SignRequest, token: str) -> x509.Certificate:
    return x509.load_der_x509_certificate((await sign_token(authority, request, token)).certificate)


async def test_a_token_earns_the_certificate_it_describes(ca: TestCA, authority: Authority) -> None:
    token = ca.token("svc.example", sans=["svc.example", "10.20.0.7", "ops@svc.example", "https://svc.example/x"])
    certificate = await _certificate(authority, SignRequest(csr=csr(common_name="svc.example")), token)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [
        "svc.example",
        "10.20.0.7",
        "ops@svc.example",
        "https://svc.example/x",
    ]
    assert certificate.subject.rfc4514_string() == "CN=svc.example"
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=24, minutes=1)


async def test_openssl_verifies_the_chain_strictly(ca: TestCA, authority: Authority, tmp_path: Path) -> None:
    for algorithm in ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "Ed25519"):
        request = SignRequest(csr=csr("svc.example", key=generate(algorithm)))
        certificate = await _certificate(authority, request, ca.token("svc.example"))
        leaf = tmp_path / "leaf.crt"
        leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
        certs = tmp_path / "certs"
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", certs / "root_ca.crt", "-untrusted",
             certs / "intermediate_ca.crt", leaf],
            check=True,
            capture_output=True,
        )  # fmt: skip


async def test_the_provisioner_extension_names_who_vouched(ca: TestCA, authority: Authority) -> None:
    certificate = await _certificate(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    extension = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(PROVISIONER))
    value = extension.value.public_bytes()
    assert value[:5] == bytes((0x30, len(value) - 2, 0x02, 0x01, 0x01))  # JWK is type 1
    assert value[5:12] == b"\x04\x05admin"
    assert not extension.critical


async def test_the_certificate_is_on_record_with_its_provisioner(ca: TestCA, authority: Authority) -> None:
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    found = await authority.store.find(issued.issuance.id)
    assert found is not None
    assert found.certificate == issued.certificate
    assert found.provisioner.name == "admin"
    assert found.names == ("svc.example",)


async def test_a_token_serves_once(ca: TestCA, authority: Authority) -> None:
    token = ca.token("svc.example")
    await sign_token(authority, SignRequest(csr=csr("svc.example")), token)
    with pytest.raises(TokenReused):
        await sign_token(authority, SignRequest(csr=csr("svc.example")), token)


async def test_a_token_without_id_serves_once_however_its_signature_is_written(
    ca: TestCA, authority: Authority
) -> None:
    """Whoever has a signature by ECDSA, (r, s), can write another over the same octets: (r, n - s)."""
    token = ca.token("svc.example", jti=None)
    signed, _, signature = token.rpartition(".")
    octets = decode_base64url(signature)
    s = ORDER_OF_P256 - int.from_bytes(octets[32:])
    other = base64.urlsafe_b64encode(octets[:32] + s.to_bytes(32)).rstrip(b"=").decode()
    await sign_token(authority, SignRequest(csr=csr("svc.example")), token)
    for again in (token, f"{signed}.{other}"):
        with pytest.raises(TokenReused):
            await sign_token(authority, SignRequest(csr=csr("svc.example")), again)


async def test_a_refused_request_does_not_burn_the_token(ca: TestCA, authority: Authority) -> None:
    token = ca.token("svc.example")
    with pytest.raises(Refused, match="does not contain the valid DNS names - got \\[svc.example evil.example"):
        await sign_token(authority, SignRequest(csr=csr("svc.example", "evil.example")), token)
    await sign_token(authority, SignRequest(csr=csr("svc.example")), token)


@pytest.mark.parametrize(
    ("names", "noun"),
    [
        (["svc.example", "other.example"], "DNS names"),
        (["svc.example", "10.0.0.1"], "IP addresses"),
        (["svc.example", "root@svc.example"], "email addresses"),
        (["svc.example", "spiffe://svc.example/x"], "URIs"),
        (["svc.example", "*.example"], "DNS names"),
    ],
)
async def test_names_beyond_the_token_are_refused(
    ca: TestCA, authority: Authority, names: list[str], noun: str
) -> None:
    with pytest.raises(Refused, match=f"valid {noun}"):
        await sign_token(authority, SignRequest(csr=csr(*names)), ca.token("svc.example"))
    assert (await authority.store.search(Query(now=ca.clock()))).rows == ()


async def test_a_common_name_beyond_the_token_is_refused(ca: TestCA, authority: Authority) -> None:
    request = SignRequest(csr=csr("svc.example", common_name="evil.example"))
    with pytest.raises(Refused, match="valid common name - got evil.example, want \\[svc.example\\]"):
        await sign_token(authority, request, ca.token("svc.example"))


async def test_every_objection_is_given_not_the_first(ca: TestCA, authority: Authority) -> None:
    request = SignRequest(csr=csr("a.example", "10.0.0.1", common_name="c.example"), not_after=timedelta(days=400))
    with pytest.raises(Refused) as refused:
        await sign_token(authority, request, ca.token("svc.example"))
    assert len(refused.value.reasons) == 4


async def test_a_name_too_long_for_a_common_name_stands_in_the_san_alone(ca: TestCA, authority: Authority) -> None:
    name = f"{'a' * 60}.svc.example"
    certificate = await _certificate(authority, SignRequest(csr=csr(name, common_name="")), ca.token(name))
    assert certificate.subject.rfc4514_string() == ""
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


async def test_a_confirmation_binds_the_token_to_one_csr(ca: TestCA, authority: Authority) -> None:
    import base64

    mine = csr("svc.example")
    thumbprint = base64.urlsafe_b64encode(mine.digest).rstrip(b"=").decode()
    token = ca.token("svc.example", cnf={"x5rt#S256": thumbprint})
    with pytest.raises(Refused, match="fingerprint does not match"):
        await sign_token(authority, SignRequest(csr=csr("svc.example")), token)
    await sign_token(authority, SignRequest(csr=mine), token)


async def test_durations_are_bounded_by_the_claims(ca: TestCA, authority: Authority) -> None:
    longer = SignRequest(csr=csr("svc.example"), not_after=timedelta(hours=48))
    with pytest.raises(Refused, match="48h1m0s is more than the authorized maximum certificate duration of 24h1m0s"):
        await sign_token(authority, longer, ca.token("svc.example"))
    shorter = SignRequest(csr=csr("svc.example"), not_after=timedelta(minutes=1))
    with pytest.raises(Refused, match="2m0s is less than the authorized minimum certificate duration of 5m0s"):
        await sign_token(authority, shorter, ca.token("svc.example"))


async def test_a_validity_that_makes_no_sense_is_malformed(ca: TestCA, authority: Authority) -> None:
    past = SignRequest(csr=csr("svc.example"), not_after=timedelta(hours=-1))
    with pytest.raises(MalformedRequest, match="notAfter cannot be in the past"):
        await sign_token(authority, past, ca.token("svc.example"))
    reversed_ = SignRequest(
        csr=csr("svc.example"), not_before=timedelta(hours=3), not_after=ca.clock() + timedelta(hours=1)
    )
    with pytest.raises(MalformedRequest, match="notAfter cannot be before notBefore"):
        await sign_token(authority, reversed_, ca.token("svc.example"))


async def test_a_leaf_never_outlives_its_issuer(ca: TestCA, authority: Authority) -> None:
    end = ca.intermediate.certificate.not_valid_after_utc
    ca.clock.moment = end - timedelta(hours=1)
    certificate = await _certificate(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    assert certificate.not_valid_after_utc == end
    asking = SignRequest(csr=csr("svc.example"), not_after=timedelta(hours=2))
    with pytest.raises(Refused, match="RFC 5280"):
        await sign_token(authority, asking, ca.token("svc.example"))


async def test_the_claim_leaves_out_the_provisioner_extension(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path / "ca", claims={"disable_smallstep_extensions": True})
    authority = ca.authority()
    await authority.start()
    certificate = await _certificate(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
    await authority.aclose()
    assert PROVISIONER not in [extension.oid.dotted_string for extension in certificate.extensions]


async def test_the_authority_orders_its_own_certificate_by_the_same_line(ca: TestCA, authority: Authority) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    issued = await issue_own(authority, ec.generate_private_key(ec.SECP256R1()))
    assert issued.issuance.provisioner.name == "mica"
    assert issued.issuance.names == ("localhost", "127.0.0.1", "::1")
    assert await authority.store.find(issued.issuance.id) == issued.issuance


async def test_a_token_for_revocation_signs_nothing(ca: TestCA, authority: Authority) -> None:
    for path in ("/1.0/revoke", "/1.0/renew", "/1.0/ssh/sign", "/sign/", "/", ""):
        with pytest.raises(Unauthorized):
            await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example", path))


async def test_serial_numbers_ascend_with_time_and_hold_eighty_random_bits(ca: TestCA, authority: Authority) -> None:
    serials = []
    for _ in range(3):
        issued = await sign_token(authority, SignRequest(csr=csr("svc.example")), ca.token("svc.example"))
        serials.append(issued.issuance.id.serial_number)
        ca.clock.advance(timedelta(seconds=1))
    assert serials == sorted(serials)
    assert len({serial & (1 << 80) - 1 for serial in serials}) == 3
    assert all(0 < serial < 1 << 127 for serial in serials)
