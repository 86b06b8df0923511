"""The key that signs or verifies tokens, and the one algorithm that it is used with."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from mica import MalformedRequest, jwk, keyfiles, tokens
from mica.cli.kit import CLIError, FileProblem, Usage
from mica_certtool.crypto import algorithms, material
from mica_certtool.crypto.material import Material, Opener, PublicKey
from mica_certtool.reading import asn1, inputs
from mica_certtool.reading.documents import certificates_in
from mica_certtool.reading.octets import b64

_MIN_RSA_BITS = 2048  # RFC 7518 §3.3, §3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the flags say the key is."""

    key: str | None = None
    jwks: str | None = None
    kid: str | None = None
    x5c_cert: str | None = None
    x5c_key: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A key, what its JWK says about it, and the chain that vouches for it."""

    found: Material
    kid: str | None
    chain: tuple[str, ...] = field(default=())
    """``x5c``: certificates in DER, in base64, the leaf first (RFC 7515 §4.1.6)."""

    @property
    def key(self) -> "keyfiles.PrivateKey | PublicKey | bytes":
        """The key itself."""
        return self.found.key

    @property
    def place(self) -> str:
        """Where it was."""
        return self.found.place


def choose(source: Source) -> Chosen:
    """The key that the flags name; raises Usage, FileProblem."""
    if source.x5c_cert is not None and source.x5c_key is not None:
        return _certified(source.x5c_cert, source)
    if source.jwks is not None:
        return _named(_of_set(source.jwks, source.kid), source.kid)
    return _named(material.read(source.key, source.password), source.kid)


def algorithm(chosen: Chosen, wanted: str | None, *, operation: str, subtle: bool) -> tuple[str, ...]:
    """The algorithms that the key may be used with, the usual one first, or ``wanted`` alone; never ``none``.

    A JWK's ``alg``, ``use`` and ``key_ops`` (RFC 7517 §4) bind, unless ``subtle``. Raises Usage, CLIError.
    """
    fitting = _fitting(chosen.key, subtle=subtle)
    if not fitting:
        raise CLIError(f"{chosen.place}: the key is too short to sign with (RFC 7518 §3)", hint="make a new key")
    members = chosen.found.members
    if not subtle:
        _check_purpose(members, operation, chosen.place)
    if wanted is not None:
        bound = members.get("alg")
        if wanted not in fitting or (not subtle and bound not in (None, wanted)):
            only = bound if bound in fitting and not subtle else ", ".join(fitting)
            raise Usage(f"flag '--alg {wanted}' does not suit the key in {chosen.place}", hint=f"it suits {only}")
        return (wanted,)
    if members.get("alg") is None or (subtle and members["alg"] not in fitting):
        return fitting
    if members["alg"] not in fitting:
        raise FileProblem(f"{chosen.place}: alg does not suit the key", hint=f"it suits {', '.join(fitting)}")
    return (members["alg"],)


def check_chain(chosen: Chosen, now: datetime) -> None:
    """Whoever gets the token now could believe the certificate; raises FileProblem."""
    if not chosen.chain:
        return
    leaf = x509.load_der_x509_certificate(base64.b64decode(chosen.chain[0]))
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise FileProblem("the certificate in --x5c-cert is not valid now", hint="--subtle allows it")
    try:
        usage = asn1.extension(leaf, x509.KeyUsage)
    except asn1.UNREADABLE_EXTENSIONS as error:
        raise FileProblem(f"the certificate in --x5c-cert has extensions that cannot be read: {error}") from error
    if usage is not None and not usage.digital_signature:
        raise FileProblem("the certificate in --x5c-cert is not for signatures", hint="--subtle allows it")


def _certified(certificates: str, source: Source) -> Chosen:
    """The key in ``--x5c-key``, for which the certificates vouch; raises FileProblem."""
    chain = certificates_in(certificates)
    try:
        public = chain[0].public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FileProblem(f"{certificates}: has a key of a kind that is not known here") from error
    found = material.read(source.x5c_key, source.password)
    if found.require_private().public_key() != public:
        raise FileProblem(f"{source.x5c_key}: is not the key of the first certificate in {certificates}")
    listed = tuple(b64(certificate.public_bytes(Encoding.DER)) for certificate in chain)
    return Chosen(found=found, kid=source.kid, chain=listed)


def _of_set(file: str, kid: str | None) -> Material:
    """The key with the id ``--kid`` in a JWK set (RFC 7517 §5); raises FileProblem."""
    data, place = inputs.read(file, "JWK set")
    try:
        listed = tokens.decode_json(inputs.cleaned(data, place, "a JWK set"))["keys"]
        found = [members for members in listed if members.get("kid") == kid]
    except (MalformedRequest, KeyError, TypeError, AttributeError) as error:
        raise FileProblem(f"{place}: is not a JWK set", hint='it is JSON such as {"keys": [...]}') from error
    if len(found) != 1:
        number = "several keys" if found else "no key"
        raise FileProblem(f"{place}: has {number} with the id {kid!r}")
    return material.from_jwk(found[0], Opener(place=place))


def _named(found: Material, kid: str | None) -> Chosen:
    return Chosen(found=found, kid=kid or _kid(found))


def _kid(found: Material) -> str | None:
    """What the JWK says, else the thumbprint; None for a secret, whose digest nobody should see."""
    said = found.members.get("kid")
    if isinstance(said, str) or isinstance(found.key, bytes):
        return said or None
    try:
        return jwk.thumbprint(jwk.public_members(found.public))
    except ValueError as error:
        raise FileProblem(f"{found.place}: {error}") from error


def _fitting(key: "keyfiles.PrivateKey | PublicKey | bytes", *, subtle: bool) -> tuple[str, ...]:
    if isinstance(key, bytes):
        return algorithms.suitable({"kty": "oct"}, "sig", 1 << 16 if subtle else len(key))
    public = key.public_key() if isinstance(key, material.PRIVATE_KEYS) else key
    members = jwk.public_members(public)
    if members["kty"] == "RSA" and getattr(public, "key_size", 0) < _MIN_RSA_BITS and not subtle:
        return ()
    return algorithms.suitable(members, "sig")


def _check_purpose(members: Mapping[str, Any], operation: str, place: str) -> None:
    operations = members.get("key_ops")
    if members.get("use", "sig") != "sig" or (isinstance(operations, list) and operation not in operations):
        raise FileProblem(f"{place}: use or key_ops say that the key is not to {operation} with", hint="--subtle does")
