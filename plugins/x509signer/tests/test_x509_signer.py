"""Which hash the X.509 signer takes, where it asks its key, and what it says of keys and chains that will not do."""

import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mica import ConfigError, Unavailable
from mica.testing.issuers import Digest, Issuer, make_ca
from mica.testing.remotekeys import RemoteKey
from mica.testing.signers import assemble, make_signer_context, make_tbs
from mica_x509signer import register_x509_signers
from mica_x509signer.signer import X509KeySigner, X509SignerConfig


def build(issuer: Issuer) -> X509KeySigner:
    return X509KeySigner(X509SignerConfig(), make_signer_context(issuer.key, issuer.certificate))


async def test_a_key_in_the_process_is_asked_on_the_loop() -> None:
    key = RemoteKey()
    signer = X509KeySigner(X509SignerConfig(), make_signer_context(key, make_ca(key=key).certificate))
    await signer.sign(b"octets")
    assert key.threads == {threading.get_ident()}


async def test_a_key_whose_signatures_do_not_verify_is_named_by_its_certificate() -> None:
    key = RemoteKey()
    signer = X509KeySigner(X509SignerConfig(), make_signer_context(key, make_ca(key=key).certificate))
    await signer.start()
    key.broken = True
    with pytest.raises(Unavailable, match=r"^the key of “CN=Test CA” makes signatures that do not verify$"):
        await signer.start()


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
async def test_an_rsa_issuer_signs_with_the_hash_that_signed_it(digest: Digest) -> None:
    signer = build(make_ca(algorithm="RSA-2048", digest=digest))
    certificate = await assemble(signer, make_tbs(signer))
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == digest.name


async def test_an_rsa_issuer_below_an_ec_root_signs_with_sha256() -> None:
    signer = build(make_ca(algorithm="RSA-2048", issuer=make_ca(algorithm="EC-P384"), digest=hashes.SHA384()))
    certificate = await assemble(signer, make_tbs(signer))
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"


def test_a_short_rsa_issuer_is_refused() -> None:
    key = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ConfigError, match="2048 bits"):
        build(make_ca(key=key))


def test_an_issuer_on_another_curve_is_refused() -> None:
    with pytest.raises(ConfigError, match="P-256"):
        build(make_ca(key=ec.generate_private_key(ec.SECP256K1())))


def test_every_fault_of_a_chain_is_reported() -> None:
    leaf = make_ca("Leaf", basic_constraints=x509.BasicConstraints(ca=False, path_length=None))
    with pytest.raises(ConfigError) as caught:
        X509KeySigner(X509SignerConfig(), make_signer_context(leaf.key, leaf.certificate, make_ca("Other").certificate))
    assert len(caught.value.faults) == 2


def test_it_is_offered_under_its_name() -> None:
    (kind,) = register_x509_signers()
    assert (kind.config, kind.build) == (X509SignerConfig, X509KeySigner)
