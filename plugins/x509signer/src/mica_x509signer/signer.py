"""The signer: one key, one chain, one algorithm."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mica import ConfigError, SignerContext, Unavailable
from mica.keyrules import check_public_key
from mica_x509signer.schemes import scheme_of

# DER never begins with "m" where a TBSCertificate does with a SEQUENCE (0x30), so this signs nothing else.
_PROBE = b"mica: these octets are not a TBSCertificate; their signature proves that the key works"


@dataclass(frozen=True, slots=True, kw_only=True)
class X509SignerConfig:
    """``[signers.<name>]`` has ``certificate``, ``roots`` and ``key``, which the core reads; nothing is added."""


class X509KeySigner:
    """Signs with the key of ``chain[0]``, wherever that key lives."""

    def __init__(self, config: X509SignerConfig, context: SignerContext) -> None:
        if faults := list(_chain_faults(context.chain)):
            raise ConfigError(faults)
        issuer = context.chain[0]
        if _spki(context.key) != _spki(issuer):
            raise ConfigError([f"key: is not the key of certificate {_name(issuer)}; name the one that belongs to it"])
        if faults := check_public_key(context.key.public_key()):
            raise ConfigError(f"key: {fault}; make a new CA" for fault in faults)
        self._scheme = scheme_of(context.key, issuer)
        self._sign = self._scheme.sign
        self._blocking = context.blocking
        self.chain = context.chain
        self.algorithm = self._scheme.algorithm

    async def start(self) -> None:
        """A signature over octets that are no certificate verifies with the issuer's public key."""
        try:
            self._scheme.verify(await self.sign(_PROBE), _PROBE)
        except InvalidSignature as error:
            raise Unavailable(f"the key of {_name(self.chain[0])} makes signatures that do not verify") from error

    async def sign(self, tbs: bytes) -> bytes:
        """The signature over ``tbs``; made in a thread only where the key waits for something outside."""
        if self._blocking:
            return await asyncio.to_thread(self._sign, tbs)
        return self._sign(tbs)


def _chain_faults(chain: tuple[x509.Certificate, ...]) -> Iterator[str]:
    """What keeps ``chain`` from being an issuer and its issuers, in order (RFC 5280 §6.1)."""
    if not chain:
        yield "certificate: must hold the issuer's certificate"
        return
    for certificate in chain:
        yield from _ca_faults(certificate)
    for subject, issuer in pairwise(chain):
        try:
            subject.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            yield (
                f"certificate: {_name(subject)} is not issued by {_name(issuer)}, which follows it; "
                "put the issuer first, then the one that issued it"
            )


def _ca_faults(certificate: x509.Certificate) -> Iterator[str]:
    try:
        extensions = certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        yield f"certificate: {_name(certificate)} must have basicConstraints and keyUsage (RFC 5280 §4.2.1); use a CA's"
        return
    if not basic.ca:
        yield f"certificate: {_name(certificate)} is not a CA (RFC 5280 §4.2.1.9); name the issuer's certificate"
    if not usage.key_cert_sign:
        yield f"certificate: {_name(certificate)} may not sign certificates (keyCertSign, RFC 5280 §4.2.1.3)"


def _spki(holder: CertificateIssuerPrivateKeyTypes | x509.Certificate) -> bytes:
    """The public key, in one encoding, so that two can be compared."""
    return holder.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate) -> str:
    return f"“{certificate.subject.rfc4514_string()}”"
