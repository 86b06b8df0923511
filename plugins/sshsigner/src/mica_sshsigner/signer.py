"""The signer: a key for users' certificates, a key for hosts', and those that were or will be in their places."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mica import ConfigError, MalformedRequest, SSHKey, SSHSignerContext, Unavailable, keyrules, sshsignatures
from mica.sshcert import CertType
from mica.sshkeys import SSHPublicKey
from mica_sshsigner.faults import noting
from mica_sshsigner.publickeys import read_keys, repeated

# What SSH signs begins with the length of a string, and this begins with 1.8 gigabytes: it signs nothing else.
_PROBE = b"mica: these octets are not an SSH certificate; their signature proves that the key works"


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHSignerSettings:
    """What ``[signers.ssh]`` has besides ``user_key`` and ``host_key``, which the core reads."""

    further_user_keys: tuple[Path, ...] = field(
        default=(), metadata={"help": ".pub files of keys that sign users' certificates too: the last one, or the next"}
    )
    further_host_keys: tuple[Path, ...] = field(
        default=(), metadata={"help": ".pub files of keys that sign hosts' certificates too: the last one, or the next"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    """Signing with one key."""

    public_key: SSHPublicKey
    sign: Callable[[bytes], bytes]
    """The blob of the signature."""
    blocking: bool


class SSHKeySigner:
    """Signs with the key of each type, wherever that key lives."""

    def __init__(self, config: SSHSignerSettings, context: SSHSignerContext) -> None:
        faults: list[str] = []
        further: dict[CertType, tuple[SSHPublicKey, ...]] = dict.fromkeys(CertType, ())
        paths = {CertType.USER: config.further_user_keys, CertType.HOST: config.further_host_keys}
        for cert_type, name in _NAMES.items():
            with noting(faults):
                further[cert_type] = read_keys(context, f"further_{name}_keys", paths[cert_type])
        self._signing: Mapping[CertType, _Signing] = {}
        with noting(faults):
            self._signing = _signing(context.keys)
            faults += self._faults(further)
        if faults:
            raise ConfigError(faults)
        self._keys = {cert_type: self._current(cert_type) + further[cert_type] for cert_type in CertType}

    def _current(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
        signing = self._signing.get(cert_type)
        return (signing.public_key,) if signing else ()

    def _faults(self, further: Mapping[CertType, tuple[SSHPublicKey, ...]]) -> list[str]:
        current = [(f"{name}_key", cert_type, self._current(cert_type)) for cert_type, name in _NAMES.items()]
        others = [(f"further_{name}_keys", cert_type, further[cert_type]) for cert_type, name in _NAMES.items()]
        lonely = [
            f"further_{name}_keys: there is no {name}_key; set it to the one that signs now"
            for cert_type, name in _NAMES.items()
            if further[cert_type] and not self._current(cert_type)
        ]
        return [*lonely, *repeated([*current, *others])]

    def authority_keys(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
        """What certificates of this type are believed by, the key that signs first; empty where none are issued."""
        return self._keys[cert_type]

    async def start(self) -> None:
        """A signature over octets that are no certificate verifies with the public half of each key."""
        for cert_type, signing in self._signing.items():
            try:
                sshsignatures.verify(signing.public_key, await self.sign(_PROBE, cert_type), _PROBE)
            except (MalformedRequest, ValueError) as error:
                name = f"{_NAMES[cert_type]}_key ({signing.public_key.fingerprint})"
                raise Unavailable(f"{name} makes signatures that do not verify") from error

    async def sign(self, tbs: bytes, cert_type: CertType) -> bytes:
        """The blob of the signature over ``tbs``; made in a thread only where the key waits for something outside."""
        signing = self._signing[cert_type]
        if signing.blocking:
            return await asyncio.to_thread(signing.sign, tbs)
        return signing.sign(tbs)


_NAMES = {CertType.USER: "user", CertType.HOST: "host"}


def _signing(keys: Mapping[CertType, SSHKey]) -> dict[CertType, _Signing]:
    """How each of ``keys`` signs; raises ConfigError for what cannot be the key of a CA."""
    faults = [
        f"{_NAMES[cert_type]}_key: {fault}; make another key"
        for cert_type, held in keys.items()
        for fault in keyrules.check_public_key(held.key.public_key())
    ]
    if faults:
        raise ConfigError(faults)
    return {cert_type: _signing_with(held) for cert_type, held in keys.items()}


def _signing_with(held: SSHKey) -> _Signing:
    public_key = _public_half(held.key)
    sign = _signatures(held.key, public_key)
    return _Signing(
        public_key=public_key,
        sign=lambda octets: sshsignatures.encode(public_key, sign(octets)),
        blocking=held.blocking,
    )


def _public_half(key: CertificateIssuerPrivateKeyTypes) -> SSHPublicKey:
    public_key = key.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey)
    return SSHPublicKey.of(public_key)


def _signatures(key: CertificateIssuerPrivateKeyTypes, public_key: SSHPublicKey) -> Callable[[bytes], bytes]:
    """What makes signatures of ``key``, under the algorithm that ``sshsignatures`` names for it."""
    digest = sshsignatures.hash_of(public_key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and digest is not None:
        ecdsa = ec.ECDSA(digest)
        return lambda octets: key.sign(octets, ecdsa)
    if isinstance(key, rsa.RSAPrivateKey) and digest is not None:
        pkcs1 = padding.PKCS1v15()  # RFC 8332 §3
        return lambda octets: key.sign(octets, pkcs1, digest)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.sign
