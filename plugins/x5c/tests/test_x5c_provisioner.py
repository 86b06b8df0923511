"""The X5C provisioner believes genuine paths alone, and grants exactly what a token orders."""

import base64
import json
import secrets
import subprocess
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from mica import (
    CertificateKind,
    ConfigError,
    Exactly,
    Operation,
    Revoke,
    SignSSH,
    SignX509,
    Unauthorized,
    UnverifiedToken,
)
from mica.testing.algorithms import signing_key
from mica.testing.contexts import URL, Clock, make_context
from mica.testing.makers import Maker, encode
from mica.testing.verdicts import verdict
from mica_x5c.contracts import P256, REVOKE, SIGN, SSH_SIGN, claims
from mica_x5c.plugin import register_provisioners
from mica_x5c.provisioner import X5CConfig, X5CProvisioner

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIGNATURES = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
CERTIFICATES = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
NOW = Clock()()
RSA = signing_key("RS256")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Holder:
    """A certificate and its key, which may issue more."""

    def __init__(self, certificate: x509.Certificate, key: Any) -> None:
        self.certificate, self.key = certificate, key

    def issue(
        self,
        name: str | x509.Name,
        key: Any,
        *extensions: x509.ExtensionType,
        start: datetime = NOW - HOUR,
        end: datetime = NOW + HOUR,
    ) -> "Holder":
        """A certificate with these extensions and no other, as pyca's builder writes it."""
        builder = x509.CertificateBuilder(
            issuer_name=self.certificate.subject,
            subject_name=named(name) if isinstance(name, str) else name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=start,
            not_valid_after=end,
        )
        for extension in extensions:
            critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage | x509.NameConstraints)
            builder = builder.add_extension(extension, critical=critical)
        return Holder(builder.sign(self.key, _digest(self.key)), key)

    def issue_to_ann(self) -> "Holder":
        """A leaf with an e-mail address in its subject, and no subjectAltName."""
        return self.issue(
            x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ann@harbour.example")]), P256, SIGNATURES, CLIENTS
        )

    def issue_ca(self, name: str, *more: x509.ExtensionType, length: int | None = None, key: Any = None) -> "Holder":
        """An issuer's."""
        basic = x509.BasicConstraints(ca=True, path_length=length)
        return self.issue(name, key or new_key(), basic, CERTIFICATES, *more)

    @property
    def text(self) -> str:
        """The certificate as an x5c header has it."""
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _digest(key: Any) -> hashes.HashAlgorithm | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def new_root(name: str, *more: x509.ExtensionType, key: Any = None) -> Holder:
    key = key or new_key()
    builder = x509.CertificateBuilder(
        issuer_name=named(name),
        subject_name=named(name),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=NOW - DAY,
        not_valid_after=NOW + DAY,
    )
    for extension in (x509.BasicConstraints(ca=True, path_length=None), CERTIFICATES, *more):
        builder = builder.add_extension(extension, critical=not isinstance(extension, x509.ExtendedKeyUsage))
    return Holder(builder.sign(key, _digest(key)), key)


ROOT = new_root("Harbour Root")
ISSUER = ROOT.issue_ca("Harbour Issuer", length=0)


def leaf(key: Any = P256, *, by: Holder = ISSUER, **window: datetime) -> Holder:
    return by.issue("edge.example", key, SIGNATURES, CLIENTS, **window)


def provisioner_of(*roots: Holder, clock: Clock, name: str = "edge") -> X5CProvisioner:
    pem = b"".join(root.pem for root in roots).decode()
    return X5CProvisioner(X5CConfig(name=name, roots_pem=pem), make_context(clock))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def edge(clock: Clock) -> X5CProvisioner:
    return provisioner_of(ROOT, clock=clock)


def maker_of(chain: list[Holder], operation: Operation = SIGN, alg: str = "ES256") -> Maker:
    """A maker with the key of the chain's first certificate."""
    header = {"alg": alg, "typ": "JWT", "kid": "/etc/edge.key", "x5c": [holder.text for holder in chain]}
    return Maker(key=chain[0].key, header=header, payload=claims(operation, NOW), now=NOW)


async def refusal(provisioner: X5CProvisioner, raw: str, operation: Operation = SIGN) -> str:
    """Why the token is refused; its bearer is not told."""
    with pytest.raises(Unauthorized) as caught:
        await verdict(provisioner, raw, operation)
    assert caught.value.public is None
    return str(caught.value)


def test_the_plugin_offers_one_kind() -> None:
    (only,) = register_provisioners()
    assert (only.name, only.config, only.build) == ("x5c", X5CConfig, X5CProvisioner)


async def test_a_token_for_signing_grants_its_names_for_no_longer_than_its_leaf(edge: X5CProvisioner) -> None:
    holder = leaf(start=NOW - timedelta(minutes=5), end=NOW + timedelta(minutes=20))
    grant = await verdict(edge, maker_of([holder, ISSUER]).token(sans=["b.example", "::1"]), SIGN)
    (permit,) = grant.permits
    assert isinstance(permit, SignX509)
    assert isinstance(permit.names, Exactly)
    assert [str(name.value) for name in permit.names.names] == ["b.example", "::1"]
    assert (permit.subject_common_name, permit.common_names) == ("svc.example", {"svc.example"})
    assert (permit.not_before, permit.not_after) == (NOW - timedelta(minutes=5), NOW + timedelta(minutes=20))
    assert grant.evidence["serial"] == str(holder.certificate.serial_number)
    assert grant.evidence["subject"] == "CN=edge.example"
    assert grant.evidence["fingerprint"] == holder.certificate.fingerprint(hashes.SHA256()).hex()


async def test_an_ssh_certificate_lasts_no_longer_than_the_leaf_either(edge: X5CProvisioner) -> None:
    holder = leaf(end=NOW + timedelta(minutes=20))
    permit, add_user = (await verdict(edge, maker_of([holder, ISSUER], SSH_SIGN).good(), SSH_SIGN)).permits
    assert isinstance(permit, SignSSH)
    assert (permit.key_id, permit.principals) == ("ann@harbour.example", Exactly(names=("ann",)))
    assert (permit.not_before, permit.not_after) == (NOW - HOUR, NOW + timedelta(minutes=20))
    assert add_user


async def test_a_token_for_revoking_grants_the_end_of_its_subject(edge: X5CProvisioner) -> None:
    grant = await verdict(edge, maker_of([leaf(), ISSUER], REVOKE).good(), REVOKE)
    assert grant.permits == (Revoke(kind=CertificateKind.X509, serial_numbers=(4711,)),)


async def test_the_confirmation_is_the_digest_in_cnf(edge: X5CProvisioner) -> None:
    digest = secrets.token_bytes(32)
    raw = maker_of([leaf(), ISSUER]).token(cnf={"x5rt#S256": encode(digest)})
    (permit,) = (await verdict(edge, raw, SIGN)).permits
    assert isinstance(permit, SignX509)
    assert permit.confirmation == digest


async def test_the_root_may_stand_at_the_end_of_the_chain(edge: X5CProvisioner) -> None:
    assert await verdict(edge, maker_of([leaf(), ISSUER, ROOT]).good(), SIGN)


async def test_a_leaf_right_below_the_root_needs_no_issuer_between(edge: X5CProvisioner) -> None:
    assert await verdict(edge, maker_of([leaf(by=ROOT)]).good(), SIGN)


@pytest.mark.parametrize(
    "usages",
    [
        (),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),),
    ],
    ids=["none", "any", "server and client"],
)
async def test_a_leaf_for_clients_or_for_anything_is_believed(
    edge: X5CProvisioner, usages: tuple[x509.ExtensionType, ...]
) -> None:
    assert await verdict(edge, maker_of([ISSUER.issue("x", P256, SIGNATURES, *usages), ISSUER]).good(), SIGN)


def hostile_chains() -> dict[str, tuple[list[Holder], str]]:
    """Chains that must be refused, and a word of the reason."""
    other_root = new_root("Other Root")
    namesake = new_root("Harbour Root")
    other = other_root.issue_ca("Harbour Issuer")
    not_ca = ROOT.issue("Not a CA", new_key(), x509.BasicConstraints(ca=False, path_length=None), CERTIFICATES)
    bare = ROOT.issue("Bare", new_key())
    signer_only = ROOT.issue("No certSign", new_key(), x509.BasicConstraints(ca=True, path_length=None), SIGNATURES)
    servers = ROOT.issue_ca("Servers", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    below = ISSUER.issue_ca("Too deep")
    elsewhere = ROOT.issue_ca(
        "Elsewhere", x509.NameConstraints(permitted_subtrees=[x509.DNSName("other.example")], excluded_subtrees=None)
    )
    mail = ROOT.issue_ca(
        "Mail", x509.NameConstraints(permitted_subtrees=[x509.RFC822Name("other.example")], excluded_subtrees=None)
    )
    mine = x509.SubjectAlternativeName([x509.DNSName("edge.example")])
    crowd = [namesake.issue_ca("Harbour Root", key=namesake.key) for _ in range(7)]
    weak = rsa.generate_private_key(65537, 1024)
    ca_leaf = ISSUER.issue("CA", P256, x509.BasicConstraints(ca=True, path_length=None), SIGNATURES, CLIENTS)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    past = ROOT.issue(
        "Past", new_key(), x509.BasicConstraints(ca=True, path_length=0), CERTIFICATES, end=NOW - timedelta(seconds=1)
    )
    good = leaf()
    return {
        "of another root": ([leaf(by=other), other], "no path"),
        "of another root that is sent along": ([leaf(by=other), other, other_root], "no path"),
        "of a root that only has the name": ([leaf(by=namesake), namesake], "no path"),
        "a root of its own": ([new_root("Mine")], "CA's"),
        "without its issuer": ([good], "no path"),
        "with issuers swapped": ([leaf(by=ISSUER), ROOT, ISSUER], "not the path itself"),
        "the issuer first": ([ISSUER, good], "CA's"),
        "the issuer alone": ([ISSUER], "CA's"),
        "twice the leaf": ([good, good, ISSUER], "is no CA's"),
        "twice the issuer": ([good, ISSUER, ISSUER], "not the path itself"),
        "with a foreign certificate at its end": ([good, ISSUER, other_root], "not the path itself"),
        "a hundred certificates": ([good, *[ISSUER] * 99], "1 to 8"),
        "nine certificates": ([good, *[ISSUER] * 8], "1 to 8"),
        "expired": ([leaf(end=NOW - timedelta(seconds=1)), ISSUER], "expired"),
        "not valid yet": ([leaf(start=NOW + timedelta(seconds=1)), ISSUER], "not valid before"),
        "of an expired issuer": ([leaf(by=past), past], "the issuer CN=Past has expired"),
        "a CA as the leaf": ([ca_leaf, ISSUER], "CA's"),
        "for servers": ([ISSUER.issue("x", P256, SIGNATURES, servers_only()), ISSUER], "clientAuth"),
        "without a key usage": ([ISSUER.issue("x", P256, CLIENTS), ISSUER], "digitalSignature"),
        "for agreement alone": ([ISSUER.issue("x", P256, agreement(), CLIENTS), ISSUER], "digitalSignature"),
        "of an issuer that is no CA": ([leaf(by=not_ca), not_ca], "no CA's"),
        "of an issuer without extensions": ([leaf(by=bare), bare], "no CA's"),
        "of another leaf": ([leaf(by=good), good, ISSUER], "no CA's"),
        "of an issuer that may not sign certificates": ([leaf(by=signer_only), signer_only], "keyCertSign"),
        "of an issuer for servers": ([leaf(by=servers), servers], "clientAuth"),
        "beyond the path length": ([leaf(by=below), below, ISSUER], "path length"),
        "outside its issuer's names": (
            [elsewhere.issue("x", P256, SIGNATURES, mine), elsewhere],
            "is outside the issuer's",
        ),
        "with an address outside its issuer's names": ([mail.issue_to_ann(), mail], "is outside the issuer's"),
        "with an unknown critical extension": (
            [critical(unknown), ISSUER],
            "critical extension that is not understood, 1.2.3.4",
        ),
        "of a crowd of issuers of one name": ([crowd[0].issue("x", P256, SIGNATURES), *crowd[:6]], "is not signed by"),
        "a weak key": ([leaf(weak), ISSUER], "2048 bits"),
    }


def servers_only() -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def agreement() -> x509.KeyUsage:
    return x509.KeyUsage(False, False, False, False, True, False, False, False, False)


def critical(extension: x509.ExtensionType) -> Holder:
    builder = x509.CertificateBuilder(
        issuer_name=ISSUER.certificate.subject, subject_name=named("x"), public_key=P256.public_key(),
        serial_number=1, not_valid_before=NOW - HOUR, not_valid_after=NOW + HOUR,
    )  # fmt: skip
    builder = builder.add_extension(SIGNATURES, critical=True).add_extension(extension, critical=True)
    return Holder(builder.sign(ISSUER.key, hashes.SHA256()), P256)


HOSTILE = hostile_chains()


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_chain_that_is_no_path_is_refused(edge: X5CProvisioner, case: str) -> None:
    chain, reason = HOSTILE[case]
    alg = "RS256" if isinstance(chain[0].key, rsa.RSAPrivateKey) else "ES256"
    assert reason in await refusal(edge, maker_of(chain, alg=alg).good())


async def test_the_key_must_be_the_leafs_and_no_other_of_the_chain(edge: X5CProvisioner) -> None:
    good, colleague = leaf(), leaf(new_key())
    for key in (ISSUER.key, colleague.key, new_key()):
        header = {"alg": "ES256", "x5c": [good.text, ISSUER.text]}
        raw = Maker(key=key, header=header, payload=claims(SIGN, NOW), now=NOW).good()
        assert "not signed by the x5c leaf's key" in await refusal(edge, raw)


async def test_a_colleagues_chain_under_the_signature_of_another_is_refused(edge: X5CProvisioner) -> None:
    header, payload, signature = maker_of([leaf(), ISSUER]).good().split(".")
    other = json.loads(base64.urlsafe_b64decode(header + "==")) | {"x5c": [leaf(new_key()).text, ISSUER.text]}
    assert await refusal(edge, f"{encode(json.dumps(other).encode())}.{payload}.{signature}")


@pytest.mark.parametrize(
    "header",
    [
        None, [], {}, "", "text", [None], [1], [[]], [""], ["!"], ["AAAA"], [leaf().text + "\n", ISSUER.text],
        [leaf().text, 1], ["A" * 30_000],
    ],
    ids=range(14),
)  # fmt: skip
async def test_a_header_that_holds_no_chain_is_refused(edge: X5CProvisioner, header: Any) -> None:
    assert await refusal(edge, maker_of([leaf(), ISSUER]).token({"x5c": header}))


async def test_other_spellings_of_a_certificate_are_refused(edge: X5CProvisioner) -> None:
    der = leaf().certificate.public_bytes(serialization.Encoding.DER)
    url = base64.urlsafe_b64encode(der + b"\xff\xff\xff").decode()
    for text in (url, leaf().pem.decode(), der.hex(), base64.b64encode(der + b"\x00").decode(), " " + leaf().text):
        assert await refusal(edge, maker_of([leaf(), ISSUER]).token({"x5c": [text, ISSUER.text]}))


async def test_a_certificate_that_is_cut_short_anywhere_is_refused(edge: X5CProvisioner) -> None:
    der = leaf().certificate.public_bytes(serialization.Encoding.DER)
    for end in range(0, len(der), 7):
        text = base64.b64encode(der[:end]).decode()
        assert await refusal(edge, maker_of([leaf(), ISSUER]).token({"x5c": [text, ISSUER.text]}))


async def test_a_certificate_with_any_octet_changed_is_refused(edge: X5CProvisioner) -> None:
    der = leaf().certificate.public_bytes(serialization.Encoding.DER)
    for place in range(0, len(der), 5):
        changed = bytearray(der)
        changed[place] ^= 0x11
        text = base64.b64encode(changed).decode()
        assert await refusal(edge, maker_of([leaf(), ISSUER]).token({"x5c": [text, ISSUER.text]}))


@pytest.mark.parametrize("alone", [True, False])
async def test_a_chain_that_asks_not_to_be_checked_is_refused(edge: X5CProvisioner, alone: bool) -> None:
    maker = maker_of([leaf(), ISSUER])
    changes: dict[str, Any] = {"x5cInsecure": maker.header["x5c"]}
    kept = {name: value for name, value in maker.header.items() if name != "x5c" or not alone}
    raw = Maker(key=maker.key, header={**kept, **changes}, payload=maker.payload, now=NOW).good()
    assert "x5cInsecure" in await refusal(edge, raw)


@pytest.mark.parametrize("kid", ["", "../../dev/null", "x5c/other", "A" * 20_000])
async def test_the_key_id_is_any_text(edge: X5CProvisioner, kid: str) -> None:
    assert await verdict(edge, maker_of([leaf(), ISSUER]).token({"kid": kid}), SIGN)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_rsa_keys_sign_by_every_algorithm_of_theirs(edge: X5CProvisioner, alg: str) -> None:
    assert await verdict(edge, maker_of([leaf(RSA), ISSUER], alg=alg).good(), SIGN)


async def test_rsa_issuers_are_believed_too(clock: Clock) -> None:
    root = new_root("RSA Root", key=RSA)
    issuer = root.issue_ca("RSA Issuer", key=rsa.generate_private_key(65537, 3072))
    assert await verdict(provisioner_of(ROOT, root, clock=clock), maker_of([leaf(by=issuer), issuer]).good(), SIGN)


async def test_ed25519_roots_and_issuers_are_believed_too(clock: Clock) -> None:
    root = new_root("Ed Root", key=ed25519.Ed25519PrivateKey.generate())
    issuer = root.issue_ca("Ed Issuer", key=ed25519.Ed25519PrivateKey.generate())
    edge = provisioner_of(root, clock=clock)
    key = ed25519.Ed25519PrivateKey.generate()
    assert await verdict(edge, maker_of([leaf(key, by=issuer), issuer], alg="EdDSA").good(), SIGN)
    assert await verdict(edge, maker_of([leaf(by=issuer), issuer]).good(), SIGN)
    other = root.issue_ca("Ed Issuer", key=ed25519.Ed25519PrivateKey.generate())
    assert "not signed by" in await refusal(edge, maker_of([leaf(by=other), issuer]).good())


async def test_an_address_that_is_none_is_refused_and_breaks_nothing(edge: X5CProvisioner) -> None:
    bounded = ROOT.issue_ca("Mail", x509.NameConstraints([x509.RFC822Name("harbour.example")], None))
    subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "änn@harbour.example")])
    holder = bounded.issue(subject, P256, SIGNATURES, CLIENTS)
    assert "cannot be read" in await refusal(edge, maker_of([holder, bounded]).good())


async def test_a_long_name_is_cut_in_what_is_logged(edge: X5CProvisioner) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.DN_QUALIFIER, "L" * 8000)])
    long = ROOT.issue(name, new_key(), x509.BasicConstraints(ca=True, path_length=0), CERTIFICATES)
    for chain in ([leaf(by=long)], [leaf(by=ISSUER), long], [leaf(new_key(), by=long), long, ISSUER]):
        assert len(await refusal(edge, maker_of(chain).good())) < 1000
    grant = await verdict(edge, maker_of([ISSUER.issue(name, P256, SIGNATURES, CLIENTS), ISSUER]).good(), SIGN)
    assert len(grant.evidence["subject"]) == 256


async def test_names_within_the_issuers_are_believed(edge: X5CProvisioner) -> None:
    tree = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example")], excluded_subtrees=None)
    issuer = ROOT.issue_ca("Example", tree)
    holder = issuer.issue("x", P256, SIGNATURES, x509.SubjectAlternativeName([x509.DNSName("edge.example")]))
    assert await verdict(edge, maker_of([holder, issuer]).good(), SIGN)


async def test_a_leaf_is_judged_at_the_time_of_the_request(edge: X5CProvisioner, clock: Clock) -> None:
    maker = maker_of([leaf(end=NOW + timedelta(minutes=2)), ISSUER])
    clock.moment = NOW + timedelta(minutes=2)
    assert await verdict(edge, maker.good(), SIGN)
    clock.moment += timedelta(seconds=1)
    assert "expired" in await refusal(edge, maker.good())


async def test_an_expired_root_is_believed_no_longer(clock: Clock) -> None:
    clock.moment = NOW + 2 * DAY
    payload = claims(SIGN, clock())
    maker = maker_of([leaf(by=ROOT, end=NOW + 3 * DAY)])
    raw = Maker(key=maker.key, header=maker.header, payload=payload, now=clock()).good()
    assert await refusal(provisioner_of(ROOT, clock=clock), raw)


async def test_ssh_certificates_are_not_revoked_by_it(edge: X5CProvisioner) -> None:
    raw = maker_of([leaf(), ISSUER]).token(aud=f"{URL}/1.0/ssh/revoke#x5c/edge", sub="4711")
    assert await refusal(edge, raw, Operation.SSH_REVOKE)


async def test_a_token_for_another_provisioner_is_not_recognised(edge: X5CProvisioner, clock: Clock) -> None:
    other = provisioner_of(ROOT, clock=clock, name="edge2")
    token = UnverifiedToken.parse(maker_of([leaf(), ISSUER]).good())
    assert not other.recognizes(token)
    with pytest.raises(Unauthorized):
        await other.authorize(token, SIGN)


def test_the_listing_has_the_roots_as_step_reads_them(clock: Clock) -> None:
    second = new_root("Second")
    listed = provisioner_of(ROOT, second, ROOT, clock=clock).describe()
    assert listed.keys() == {"roots"}
    assert base64.b64decode(listed["roots"]) == ROOT.pem + second.pem


def test_roots_are_read_from_files(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_bytes(ROOT.pem + new_root("Second").pem)
    config = X5CConfig(name="edge", roots=(Path("roots.pem"),))
    assert (
        base64.b64decode(X5CProvisioner(config, make_context(clock, tmp_path)).describe()["roots"]).count(b"BEGIN") == 2
    )


def test_the_table_in_the_readme_is_one(clock: Clock, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (table,) = tomllib.loads(readme.partition("```toml")[2].partition("```")[0])["provisioners"]
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/company_root.crt").write_bytes(ROOT.pem)
    config = X5CConfig(name=table["name"], roots=tuple(map(Path, table["roots"])))
    assert X5CProvisioner(config, make_context(clock, tmp_path)).name == "edge"


def test_every_fault_of_the_configuration_is_told(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    weak_root = new_root("Weak", key=rsa.generate_private_key(65537, 1024))
    config = X5CConfig(
        name="",
        roots=(Path("empty.pem"), Path("none.pem")),
        roots_pem=(leaf().pem + weak_root.pem).decode(),
    )
    with pytest.raises(ConfigError) as caught:
        X5CProvisioner(config, make_context(clock, tmp_path))
    text = "\n".join(caught.value.faults)
    for part in ("name: must", "empty.pem", "none.pem", "CN=edge.example: is no CA", "CN=Weak: RSA key must"):
        assert part in text
    with pytest.raises(ConfigError, match="at least one file"):
        X5CProvisioner(X5CConfig(name="edge"), make_context(clock, tmp_path))


@pytest.mark.parametrize("alg", ["ES256", "PS512", "EdDSA", "ES512"])
async def test_tokens_of_other_libraries_are_accepted_when_right(edge: X5CProvisioner, alg: str) -> None:
    key = signing_key(alg)
    header = {"alg": alg, "x5c": [leaf(key).text, ISSUER.text]}
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    payload = claims(SIGN, NOW)

    def signed(payload: dict[str, Any], pem: bytes, alg: str) -> str:
        token = jwcrypto_jws.JWS(json.dumps(payload))
        token.add_signature(jwcrypto_jwk.JWK.from_pem(pem), None, json.dumps(header | {"alg": alg}))
        compact: str = token.serialize(compact=True)
        return compact

    for raw in (jwt.encode(payload, key, alg, headers=header), signed(payload, pem, alg)):
        assert await verdict(edge, raw, SIGN)
    other = new_key()
    other_pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for wrong in (
        jwt.encode(payload, other, "ES256", headers={"x5c": header["x5c"]}),
        signed(payload, other_pem, "ES256"),
        signed(payload | {"exp": int(NOW.timestamp()) - 120}, pem, alg),
        signed(payload | {"aud": f"{URL}/1.0/sign"}, pem, alg),
        signed(payload | {"aud": f"{URL}/1.0/revoke#x5c/edge"}, pem, alg),
        signed(payload | {"iss": "other"}, pem, alg),
    ):
        assert await refusal(edge, wrong)


Run = Callable[..., str]


@pytest.fixture
def openssl(tmp_path: Path) -> Run:
    def run(*arguments: str) -> str:
        done = subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout

    return run


def signature_by(openssl: Run, folder: Path, kind: str, key: str) -> bytes:
    """What ``openssl`` makes of the file ``message``, as a JWS has it (RFC 7518 §3, RFC 8037 §3.1)."""
    if kind == "EdDSA":
        openssl("pkeyutl", "-sign", "-inkey", f"{key}.key", "-rawin", "-in", "message", "-out", "signature")
    else:
        openssl("dgst", "-sha256", "-sign", f"{key}.key", "-out", "signature", "message")
    if kind != "ES256":
        return (folder / "signature").read_bytes()
    parsed = openssl("asn1parse", "-inform", "DER", "-in", "signature")
    r, s = (int(line.rpartition(":")[2], 16) for line in parsed.splitlines() if "INTEGER" in line)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


GENKEY = {
    "ES256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "RS256": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "EdDSA": ("-algorithm", "ED25519"),
}


@pytest.mark.parametrize("kind", GENKEY)
async def test_certificates_and_a_token_by_openssl_alone_are_accepted(tmp_path: Path, openssl: Run, kind: str) -> None:
    for name in ("root", "leaf", "other"):
        openssl("genpkey", *GENKEY[kind], "-out", f"{name}.key")
    openssl(
        "req", "-x509", "-key", "root.key", "-subj", "/CN=OpenSSL Root", "-days", "2", "-out", "root.crt",
        "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    openssl("req", "-new", "-key", "leaf.key", "-subj", "/CN=edge", "-out", "leaf.csr")
    (tmp_path / "ext").write_text("keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n")
    openssl(
        "x509", "-req", "-in", "leaf.csr", "-CA", "root.crt", "-CAkey", "root.key", "-days", "1", "-extfile", "ext",
        "-set_serial", "4711", "-out", "leaf.crt",
    )  # fmt: skip
    certificate = x509.load_pem_x509_certificate((tmp_path / "leaf.crt").read_bytes())
    clock = Clock(certificate.not_valid_before_utc + timedelta(minutes=1))
    provisioner = X5CProvisioner(X5CConfig(name="edge", roots=(Path("root.crt"),)), make_context(clock, tmp_path))
    text = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    good = claims(SIGN, clock())
    for key, payload, accepted in (
        ("leaf", good, True),
        ("root", good, False),
        ("other", good, False),
        ("leaf", {**good, "exp": good["iat"] - 120}, False),
        ("leaf", {**good, "aud": f"{URL}/1.0/sign#x5c/other"}, False),
    ):
        parts = [encode(json.dumps(part).encode()) for part in ({"alg": kind, "x5c": [text]}, payload)]
        (tmp_path / "message").write_text(".".join(parts))
        raw = f"{'.'.join(parts)}.{encode(signature_by(openssl, tmp_path, kind, key))}"
        if accepted:
            assert (await verdict(provisioner, raw, SIGN)).evidence["serial"] == "4711"
        else:
            assert await refusal(provisioner, raw)
