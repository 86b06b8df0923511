"""``renew_unrecorded``: an issuer's signature stands in for a record that is missing, and for nothing else."""

import asyncio
import base64
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.security.bearers import strangers

from mica.authority import Authority
from mica.errors import AlreadyRevoked, CertificateRevoked, MicaError, Refused, TokenReused, Unauthorized
from mica.issuance import IssuedX509, sign_token
from mica.keyfiles import generate
from mica.pkix import tbs_parts
from mica.renewal import renew, renew_by_token
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_certificate, revoke_by_token
from mica.testing import earlier
from mica.testing.ca import TestCA, csr
from mica.testing.issuers import Issuer, key_usage, make_ca, name
from mica.testing.plugins import append, set_signer
from mica.testing.service import served

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def ca(ca: TestCA) -> TestCA:
    """A CA that took over the key of an earlier one."""
    set_signer(ca, "renew_unrecorded = true")
    return ca


def old(ca: TestCA, **changes: Any) -> x509.Certificate:
    """A certificate of the earlier CA, for ``KEY``."""
    issuer = make_issuer(ca)
    usual: dict[str, Any] = {
        "issuer": issuer.certificate,
        "issuing_key": issuer.key,
        "key": KEY,
        "provisioner": earlier.provisioner_extension("admin"),
        "not_before": ca.clock() - timedelta(hours=1),
    }
    return earlier.leaf(**{**usual, **changes})


def make_issuer(ca: TestCA) -> Issuer:
    return Issuer(key=ca.intermediate.key, certificate=ca.intermediate.certificate)


def renewal(certificate: x509.Certificate, **changes: Any) -> RenewRequest:
    return RenewRequest(certificate=certificate, **changes)


def renew_token(ca: TestCA, certificate: x509.Certificate, *, issuer: str = "step-ca-client/1.0") -> str:
    now = int(ca.clock().timestamp())
    payload = {
        "iss": issuer, "sub": "svc.example", "aud": f"{ca.url}/renew", "iat": now, "nbf": now, "exp": now + 300,
    }  # fmt: skip
    header = {"x5cInsecure": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]}
    return jwt.encode(payload, KEY, "ES256", header)


def order(certificate: x509.Certificate) -> RevokeRequest:
    return RevokeRequest(serial_number=certificate.serial_number)


def revocation_token(ca: TestCA, certificate: x509.Certificate) -> str:
    return ca.token(str(certificate.serial_number), "/1.0/revoke")


# What it is for


async def test_a_certificate_of_the_earlier_ca_is_renewed_and_differs_only_where_it_must(
    ca: TestCA, authority: Authority
) -> None:
    before = old(ca)
    issued = await renew(authority, renewal(before))
    after = x509.load_der_x509_certificate(issued.certificate)
    pairs = zip(tbs_parts(before), tbs_parts(after), strict=True)
    different = [place for place, (left, right) in enumerate(pairs) if left != right]
    assert different == [1, 4]  # serial number and validity
    after.verify_directly_issued_by(ca.intermediate.certificate)
    record = await authority.store.find(issued.issuance.id)
    assert record is not None
    assert record.replaces is not None
    assert record.replaces.serial_number == before.serial_number
    assert (record.provisioner.name, record.provisioner.type, record.names) == ("admin", "JWK", ("svc.example",))


async def test_what_continues_it_is_on_record_and_is_renewed_without_the_setting(ca: TestCA) -> None:
    authority = ca.authority()
    await authority.start()
    after = x509.load_der_x509_certificate((await renew(authority, renewal(old(ca)))).certificate)
    await authority.aclose()
    configuration = ca.directory / "ca.toml"
    configuration.write_text(configuration.read_text().replace("renew_unrecorded = true", ""))
    authority = ca.authority()
    await authority.start()
    await renew(authority, renewal(after))
    await authority.aclose()


async def test_it_is_rekeyed(ca: TestCA, authority: Authority) -> None:
    key = generate("EC-P384")
    issued = await renew(authority, renewal(old(ca), csr=csr(key=key)))
    assert x509.load_der_x509_certificate(issued.certificate).public_key() == key.public_key()


async def test_one_of_an_x5c_or_oidc_provisioner_is_renewed_where_name_and_type_are_that_provisioners(
    ca: TestCA, tmp_path: Path
) -> None:
    (tmp_path / "provider").mkdir()
    with strangers(ca, tmp_path / "provider"):
        authority = ca.authority()
        await authority.start()
    types = {"edge": 7, "dry": 7, "corp": 2, "plain": 2}
    for name_, own in types.items():
        for number in (1, 2, 7, 9):
            extension = earlier.provisioner_extension(name_, type_number=number, credential_id="")
            for asked in (renewal(old(ca, provisioner=extension)), renewal(old(ca, provisioner=extension), csr=csr())):
                if number == own:
                    assert (await renew(authority, asked)).issuance.provisioner.name == name_
                else:
                    with pytest.raises(Unauthorized):
                        await renew(authority, asked)
    await authority.aclose()


@pytest.mark.parametrize("issuer", ["step-ca-client/1.0", "admin"])
async def test_it_is_renewed_by_a_token_that_serves_once(ca: TestCA, authority: Authority, issuer: str) -> None:
    token = renew_token(ca, old(ca), issuer=issuer)
    await renew_by_token(authority, token)
    with pytest.raises(TokenReused):
        await renew_by_token(authority, token)


async def test_an_expired_one_is_renewed_by_token_where_the_claim_allows(ca: TestCA) -> None:
    append(ca, "claims = { allow_renewal_after_expiry = true }\n")
    authority = ca.authority()
    await authority.start()
    expired = old(ca, not_before=ca.clock() - timedelta(days=3))
    issued = await renew_by_token(authority, renew_token(ca, expired))
    assert issued.issuance.not_after > ca.clock()
    await authority.aclose()


async def test_an_rsa_certificate_is_renewed(ca: TestCA, authority: Authority) -> None:
    await renew(authority, renewal(old(ca, key=generate("RSA-2048"))))


# What it is not


async def test_without_the_setting_nothing_unrecorded_is_renewed_or_revoked(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path / "plain")
    authority = ca.authority()
    await authority.start()
    assert not authority.issuer.renew_unrecorded
    certificate = old(ca)
    with pytest.raises(Unauthorized, match="not on record"):
        await renew(authority, renewal(certificate))
    with pytest.raises(Unauthorized, match="not on record"):
        await renew_by_token(authority, renew_token(ca, certificate))
    with pytest.raises(Unauthorized, match="not on record"):
        await revoke_by_certificate(authority, order(certificate), certificate)
    await authority.aclose()


async def test_after_a_restore_without_the_setting_what_the_record_lacks_is_not_renewed(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path / "restored")
    authority = ca.authority()
    await authority.start()
    await authority.aclose()
    shutil.copytree(ca.directory / "db", tmp_path / "backup")
    authority = ca.authority()
    await authority.start()
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example", key=KEY)), ca.token("svc.example"))
    await authority.aclose()
    shutil.rmtree(ca.directory / "db")
    shutil.copytree(tmp_path / "backup", ca.directory / "db")
    authority = ca.authority()
    await authority.start()
    with pytest.raises(Unauthorized, match="not on record"):
        await renew(authority, renewal(x509.load_der_x509_certificate(issued.certificate)))
    await authority.aclose()


def _other_issuer_name(ca: TestCA) -> x509.Certificate:
    return old(ca, issuer_name=name("Another CA"))


def _other_key(ca: TestCA) -> x509.Certificate:
    return old(ca, issuing_key=ec.generate_private_key(ec.SECP256R1()))


def _imitation_of_the_issuer(ca: TestCA) -> x509.Certificate:
    imitation = make_ca("Imitation")
    subject = ca.intermediate.certificate.subject
    return old(ca, issuer=imitation.certificate, issuing_key=imitation.key, issuer_name=subject)


def _self_signed(ca: TestCA) -> x509.Certificate:
    return old(ca, issuing_key=KEY)


def _changed_afterwards(ca: TestCA) -> x509.Certificate:
    der = old(ca).public_bytes(Encoding.DER)
    assert der.count(b"svc.example") == 2
    return x509.load_der_x509_certificate(der.replace(b"svc.example", b"adm.example", 1))


def _other_hash(ca: TestCA) -> x509.Certificate:
    return old(ca, digest=hashes.SHA224())


def _nameless(ca: TestCA) -> x509.Certificate:
    return old(ca, provisioner=None)


def _provisioner(extension: x509.ExtensionType) -> Callable[[TestCA], x509.Certificate]:
    return lambda ca: old(ca, provisioner=extension)


def _raw(octets: str) -> Callable[[TestCA], x509.Certificate]:
    return _provisioner(x509.UnrecognizedExtension(earlier.PROVISIONER, bytes.fromhex(octets)))


@pytest.mark.parametrize(
    "forge",
    [
        _other_issuer_name, _other_key, _imitation_of_the_issuer, _self_signed, _changed_afterwards, _other_hash,
        _nameless,
        _provisioner(earlier.provisioner_extension("nobody")),
        _provisioner(earlier.provisioner_extension("Admin")),
        _provisioner(earlier.provisioner_extension("admin ")),
        _provisioner(earlier.provisioner_extension("mica")),
        _provisioner(earlier.provisioner_extension("")),
        _provisioner(earlier.provisioner_extension("admin", type_number=2)),
        _provisioner(earlier.provisioner_extension("admin", type_number=0)),
        _provisioner(earlier.provisioner_extension("admin", type_number=99)),
        _raw(""), _raw("30"), _raw("3000"), _raw("020101"), _raw("0c0561646d696e"),
        _raw("310d02010104056164 6d696e0400"),  # a SET
        _raw("300d02010104056164 6d696e0c00"),  # the credential id a UTF8String
        _raw("300902010104 02fffe0400"),  # a name that is not UTF-8
    ],
)  # fmt: skip
async def test_what_the_issuer_did_not_sign_or_no_provisioner_vouched_for_is_not_renewed(
    ca: TestCA, authority: Authority, forge: Callable[[TestCA], x509.Certificate]
) -> None:
    certificate = forge(ca)
    with pytest.raises(Unauthorized):
        await renew(authority, renewal(certificate))
    with pytest.raises(Unauthorized):
        await renew_by_token(authority, renew_token(ca, certificate))
    with pytest.raises(Unauthorized):
        await renew(authority, renewal(certificate, csr=csr(key=generate("EC-P256"))))


async def test_what_the_issuer_did_not_sign_revokes_nothing(ca: TestCA, authority: Authority) -> None:
    for forge in (_other_issuer_name, _other_key, _self_signed, _changed_afterwards):
        certificate = forge(ca)
        with pytest.raises(Unauthorized):
            await revoke_by_certificate(authority, order(certificate), certificate)
        assert await authority.store.revocation(authority.issuer.id_of(certificate.serial_number)) is None


@pytest.mark.parametrize(
    ("instead", "error", "reason"),
    [
        (x509.BasicConstraints(ca=True, path_length=0), Refused, "CA certificates"),
        (key_usage("digital_signature", "key_cert_sign"), Refused, "CA certificates"),
        (key_usage("digital_signature", "crl_sign"), Refused, "CA certificates"),
        (key_usage("digital_signature", "key_encipherment"), Refused, "RFC 5480 .*keyEncipherment"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), Unauthorized, "client authentication"),
    ],
)
async def test_what_may_not_be_issued_is_not_renewed_and_the_reason_told(
    ca: TestCA, authority: Authority, instead: x509.ExtensionType, error: type[MicaError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        await renew(authority, renewal(old(ca, instead=(instead,))))


async def test_the_issuer_itself_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    for certificate in (ca.intermediate.certificate, ca.root):
        with pytest.raises((Unauthorized, Refused)):
            await renew(authority, renewal(certificate))


async def test_a_weak_key_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(Refused, match="2048 bits"):
        await renew(authority, renewal(old(ca, key=weak)))


async def test_times_and_claims_hold_as_for_any_certificate(ca: TestCA, authority: Authority) -> None:
    with pytest.raises(Unauthorized, match="expired on"):
        await renew_by_token(authority, renew_token(ca, old(ca, not_before=ca.clock() - timedelta(days=3))))
    with pytest.raises(Unauthorized, match="not valid yet"):
        await renew(authority, renewal(old(ca, not_before=ca.clock() + timedelta(hours=1))))
    append(ca, "claims = { disable_renewal = true }\n")
    strict = ca.authority()
    await strict.start()
    with pytest.raises(Unauthorized, match="renewal is disabled"):
        await renew(strict, renewal(old(ca)))
    await strict.aclose()


async def test_a_serial_number_that_is_on_record_is_not_lent_to_other_octets(ca: TestCA, authority: Authority) -> None:
    issued = await sign_token(authority, SignRequest(csr=csr("svc.example", key=KEY)), ca.token("svc.example"))
    recorded = x509.load_der_x509_certificate(issued.certificate)
    with pytest.raises(Unauthorized, match="not on record"):
        await renew(authority, renewal(old(ca, serial_number=recorded.serial_number)))


# Revocation


async def test_once_revoked_by_token_it_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    certificate = old(ca)
    await revoke_by_token(authority, order(certificate), revocation_token(ca, certificate))
    for attempt in (
        renew(authority, renewal(certificate)),
        renew(authority, renewal(certificate, csr=csr(key=generate("EC-P256")))),
        renew_by_token(authority, renew_token(ca, certificate)),
    ):
        with pytest.raises(CertificateRevoked):
            await attempt
    with pytest.raises(AlreadyRevoked):
        await revoke_by_token(authority, order(certificate), revocation_token(ca, certificate))


async def test_once_revoked_by_its_holder_it_is_not_renewed(ca: TestCA, authority: Authority) -> None:
    certificate = old(ca)
    await revoke_by_certificate(authority, order(certificate), certificate)
    with pytest.raises(CertificateRevoked):
        await renew(authority, renewal(certificate))
    with pytest.raises(AlreadyRevoked):
        await revoke_by_certificate(authority, order(certificate), certificate)
    found = await authority.store.revocation(authority.issuer.id_of(certificate.serial_number))
    assert found is not None
    assert found.provisioner.name == "admin"


async def test_a_renewal_raced_with_a_revocation_never_survives_it(ca: TestCA, authority: Authority) -> None:
    for number in range(40):
        certificate = old(ca)
        token = revocation_token(ca, certificate)
        outcome, revoked = await asyncio.gather(
            renew(authority, renewal(certificate)),
            revoke_by_certificate(authority, order(certificate), certificate)
            if number % 2
            else revoke_by_token(authority, order(certificate), token),
            return_exceptions=True,
        )
        assert revoked is None
        assert isinstance(outcome, IssuedX509 | CertificateRevoked)
        if isinstance(outcome, IssuedX509):
            assert await authority.store.find(outcome.issuance.id) is not None
        with pytest.raises(CertificateRevoked):
            await renew(authority, renewal(certificate))


async def test_a_revocation_that_comes_between_the_look_and_the_commit_wins(
    ca: TestCA, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = old(ca)
    signer = authority.issuer.signer
    sign = signer.sign

    async def revoke_then_sign(tbs: bytes) -> bytes:
        await revoke_by_token(authority, order(certificate), revocation_token(ca, certificate))
        return await sign(tbs)

    monkeypatch.setattr(signer, "sign", revoke_then_sign)
    with pytest.raises(CertificateRevoked):
        await renew(authority, renewal(certificate))


async def test_a_token_revokes_at_every_issuer_that_could_be_presented_with_the_number(ca: TestCA) -> None:
    root = make_ca("Second Root")
    second = make_ca("Second", issuer=root, path_length=0)
    (ca.directory / "certs/second.crt").write_bytes(second.certificate.public_bytes(Encoding.PEM))
    (ca.directory / "certs/second_root.crt").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    key = ca.directory / "secrets/second_key"
    key.write_bytes(second.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    append(
        ca,
        '\n[signers.second]\ntype = "x509signer"\nroots = ["certs/second_root.crt"]\nrenew_unrecorded = true\n'
        'certificate = "certs/second.crt"\nkey = "file:secrets/second_key"\n',
    )
    authority = ca.authority()
    await authority.start()
    certificate = old(ca, issuer=second.certificate, issuing_key=second.key)
    await renew(authority, renewal(certificate))
    await revoke_by_token(authority, order(certificate), revocation_token(ca, certificate))
    with pytest.raises(CertificateRevoked):
        await renew(authority, renewal(certificate))
    await authority.aclose()


# Over the wire


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


@pytest.fixture
def client(ca: TestCA, make_client: Any) -> Any:
    with served(ca) as service:
        client = make_client(service)
        client.key = KEY
        client.__post_init__()
        yield client


def test_clients_renew_by_every_route_that_step_ca_had(ca: TestCA, client: Any) -> None:
    certificate = old(ca)
    for path in ("/renew", "/1.0/renew", "/re-sign", "/1.0/re-sign"):
        with closing(client.connect(_pem(certificate))) as connection:
            status, answer = client.ask(connection, "POST", path)
            assert status == 201, answer
    with closing(client.connect()) as connection:
        token = renew_token(ca, certificate)
        status, _ = client.ask(connection, "POST", "/renew", authorization=f"Bearer {token}")
        assert status == 201
        status, _ = client.ask(connection, "POST", "/renew", authorization=f"Bearer {token}")
        assert status == 401


def test_renewals_at_two_workers_never_overtake_a_revocation(ca: TestCA, client: Any) -> None:
    for _ in range(8):
        certificate = old(ca)
        connections = [client.connect(_pem(certificate)) for _ in range(8)]
        revoking = client.connect()
        renewals = [client.hold_back(connection, "/renew") for connection in connections]
        revocation = client.hold_back(revoking, "/revoke", client.revocation(_pem(certificate)))
        for request in (*renewals[:4], revocation, *renewals[4:]):
            request.let_go()
        assert revocation.status() == 200
        assert {request.status() for request in renewals} <= {201, 401}
        assert client.renewal_status(_pem(certificate)) == 401
        for connection in (*connections, revoking):
            connection.close()


def test_a_holder_revokes_over_mutual_tls(ca: TestCA, client: Any) -> None:
    certificate = old(ca)
    with closing(client.connect(_pem(certificate))) as connection:
        body = client.revocation(_pem(certificate), by_token=False)
        assert client.ask(connection, "POST", "/revoke", body)[0] == 200
    assert client.renewal_status(_pem(certificate)) == 401
