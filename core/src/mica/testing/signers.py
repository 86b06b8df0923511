"""What every X.509 signer must do: a contract that a plugin's tests subclass.

class TestX509KeySigner(X509SignerContract):
    def build(self, context): return X509KeySigner(X509SignerConfig(), context)
"""

import asyncio
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mica.errors import ConfigError
from mica.pkix import SubjectPublicKey, TBSCertificate, encode_common_name, tbs_parts
from mica.roles import Context, SignerContext, Startable, X509Signer
from mica.testing.contexts import Clock, make_context
from mica.testing.issuers import Issuer, key_usage, make_ca


def make_signer_context(
    key: CertificateIssuerPrivateKeyTypes, *chain: x509.Certificate, blocking: bool = False
) -> SignerContext:
    """What a signer is given, with this key and chain."""
    context = make_context(Clock(), Path("/nonexistent"))
    outside = {f.name: getattr(context, f.name) for f in fields(Context)}
    return SignerContext(**outside, key=key, chain=chain, blocking=blocking)


def make_tbs(signer: X509Signer, serial_number: int = 1 << 100) -> TBSCertificate:
    """A certificate that only lacks ``signer``'s signature."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return TBSCertificate(
        serial_number=serial_number,
        signature=signer.algorithm,
        issuer=tbs_parts(signer.chain[0])[5],
        not_before=datetime(2031, 3, 14, tzinfo=UTC),
        not_after=datetime(2031, 3, 15, tzinfo=UTC),
        subject=encode_common_name("svc.example"),
        subject_public_key=SubjectPublicKey.of(key),
        extensions=(),
    )


async def assemble(signer: X509Signer, tbs: TBSCertificate) -> x509.Certificate:
    """The certificate with ``signer``'s signature, as pyca reads it."""
    return x509.load_der_x509_certificate(tbs.assemble(await signer.sign(tbs.der)))


class X509SignerContract:
    """A signer signs exactly the octets it is given, as its algorithm says, with the key of its first certificate."""

    #: The kinds of issuer that it serves.
    algorithms: ClassVar[tuple[str, ...]] = ("EC-P256", "EC-P384", "EC-P521", "RSA-2048", "RSA-3072", "Ed25519")

    def build(self, context: SignerContext) -> X509Signer:
        """The signer under test."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "algorithm" in metafunc.fixturenames:
            metafunc.parametrize("algorithm", self.algorithms)

    @pytest.fixture
    def issuer(self, algorithm: str) -> Issuer:
        return make_ca("Intermediate", algorithm=algorithm, issuer=make_ca("Root", algorithm=algorithm))

    @pytest.fixture
    async def signer(self, issuer: Issuer) -> X509Signer:
        signer = self.build(make_signer_context(issuer.key, issuer.certificate))
        if isinstance(signer, Startable):
            await signer.start()
        return signer

    async def test_its_chain_is_the_one_it_was_given(self, signer: X509Signer, issuer: Issuer) -> None:
        assert signer.chain == (issuer.certificate,)

    async def test_what_it_signs_verifies_under_its_first_certificate(self, signer: X509Signer) -> None:
        (await assemble(signer, make_tbs(signer))).verify_directly_issued_by(signer.chain[0])

    async def test_its_signature_covers_every_octet(self, signer: X509Signer) -> None:
        tbs = make_tbs(signer)
        signature = await signer.sign(tbs.der)
        other = make_tbs(signer, serial_number=tbs.serial_number + 1)
        forged = x509.load_der_x509_certificate(other.assemble(signature))
        with pytest.raises(InvalidSignature):
            forged.verify_directly_issued_by(signer.chain[0])

    async def test_its_algorithm_is_the_one_that_pyca_names(self, signer: X509Signer, issuer: Issuer) -> None:
        # pyca's builder signed the issuer's certificate with a key of the same kind.
        assert signer.algorithm == tbs_parts(issuer.certificate)[2]

    async def test_concurrent_signatures_do_not_mix(self, signer: X509Signer) -> None:
        orders = [make_tbs(signer, serial_number=(1 << 100) + n) for n in range(20)]
        for certificate in await asyncio.gather(*(assemble(signer, tbs) for tbs in orders)):
            certificate.verify_directly_issued_by(signer.chain[0])

    async def test_a_key_that_is_not_the_certificates_is_refused(self, algorithm: str, issuer: Issuer) -> None:
        stranger = make_ca("Stranger", algorithm=algorithm)
        with pytest.raises(ConfigError):
            self.build(make_signer_context(stranger.key, issuer.certificate))

    async def test_a_key_of_another_kind_is_refused(self, algorithm: str, issuer: Issuer) -> None:
        stranger = make_ca("Stranger", algorithm="Ed25519" if algorithm != "Ed25519" else "EC-P256")
        with pytest.raises(ConfigError):
            self.build(make_signer_context(stranger.key, issuer.certificate))

    async def test_a_certificate_that_is_no_ca_is_refused(self, algorithm: str) -> None:
        leaf = make_ca(algorithm=algorithm, basic_constraints=x509.BasicConstraints(ca=False, path_length=None))
        with pytest.raises(ConfigError):
            self.build(make_signer_context(leaf.key, leaf.certificate))

    async def test_a_ca_that_may_not_sign_certificates_is_refused(self, algorithm: str) -> None:
        ca = make_ca(algorithm=algorithm, usage=key_usage("crl_sign"))
        with pytest.raises(ConfigError):
            self.build(make_signer_context(ca.key, ca.certificate))

    async def test_a_chain_out_of_order_is_refused(self, algorithm: str) -> None:
        root = make_ca("Root", algorithm=algorithm)
        upper = make_ca("Upper", issuer=root)
        lower = make_ca("Lower", issuer=upper)
        assert self.build(make_signer_context(lower.key, lower.certificate, upper.certificate)).chain[1:]
        for chain in (
            (upper.certificate, lower.certificate),
            (lower.certificate, root.certificate),
            (lower.certificate, make_ca("Upper", issuer=root).certificate),
            (),
        ):
            with pytest.raises(ConfigError):
                self.build(make_signer_context(lower.key, *chain))
