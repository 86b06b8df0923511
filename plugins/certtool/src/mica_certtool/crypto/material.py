"""Keys as people have them: private, public or symmetric; in PEM, DER, OpenSSH's forms, JWK, or behind a key URI."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mica import ConfigError, MalformedRequest, jwk, keyfiles, tokens
from mica.cli import kit
from mica.cli.kit import FileProblem
from mica_certtool.reading import inputs

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PRIVATE_KEYS = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)
PUBLIC_KEYS = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey)
_JWE_ATTEMPTS = 3
_SSH_LINE = re.compile(rb"(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+", re.ASCII)
_COMPACT_JWE = re.compile(rb"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){4}")  # RFC 7516 §7.1
_REMEDY = "PEM, DER, OpenSSH's forms and JWK are read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a file of a key holds."""

    place: str
    """Where it was, as messages call it."""
    key: "keyfiles.PrivateKey | PublicKey | bytes" = field(repr=False)
    """Octets are those of a symmetric key."""
    form: str
    """``pem``, ``der``, ``ssh``, ``jwk``, or ``uri``."""
    password: bytes | None = field(default=None, repr=False)
    """The one that opened it, or that was given for it."""
    encrypted: bool = False
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The JWK that it was, whole; empty when it was none."""
    compact: bool = False
    """The JWK was in a JWE in compact form."""

    @property
    def private(self) -> "keyfiles.PrivateKey | None":
        """The private key, if it is one."""
        return self.key if isinstance(self.key, PRIVATE_KEYS) else None

    @property
    def public(self) -> PublicKey:
        """The public key, or the public half; raises FileProblem when the key is symmetric."""
        if isinstance(self.key, bytes):
            raise FileProblem(f"{self.place}: is a symmetric key, which has no public half")
        return self.key.public_key() if isinstance(self.key, PRIVATE_KEYS) else self.key

    def require_private(self) -> "keyfiles.PrivateKey":
        """The private key; raises FileProblem when it is another."""
        if not isinstance(self.key, PRIVATE_KEYS):
            kind = "a symmetric key" if isinstance(self.key, bytes) else "a public key"
            raise FileProblem(f"{self.place}: is {kind}, not a private key", hint="name the file of the private key")
        return self.key


def read(
    name: str | None, password_source: str | None, *, flag: str = "--password-file", uris: bool = True
) -> Material:
    """The key in the file ``name``, on stdin when that is ``-`` or None, or at the URI that it is.

    The password comes from ``password_source``, or is asked for when the key needs one. Raises FileProblem when there
    is no key that can be read, Usage when stdin is a terminal, PromptNeeded naming ``flag``.
    """
    if name is not None and uris and kit.is_key_uri(name):
        return Material(place=name, key=kit.read_key(name, password_source, flag=flag), form="uri")
    data, place = inputs.read(name, "key")
    given = kit.password_from_source(password_source) if password_source else None
    return parse(data, Opener(place=place, given=given, flag=flag))


def read_jwk(name: str | None, password_source: str | None, *, flag: str = "--password-file") -> Material:
    """As ``read``, a JWK; raises FileProblem when the key is in another form."""
    found = read(name, password_source, flag=flag, uris=False)
    if found.form != "jwk":
        raise FileProblem(f"{found.place}: is not a JWK", hint="mica crypto key format --jwk converts other forms")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """Where a key is, and where its password comes from."""

    place: str
    given: bytes | None = field(default=None, repr=False)
    flag: str = "--password-file"

    def passwords(self, attempts: int) -> Iterator[bytes]:
        """The password that was given, or as many as whoever is asked may try."""
        if self.given is not None:
            yield self.given
            return
        for attempt in range(attempts):
            if attempt:
                kit.say("That is not the password.")
            yield kit.ask_password(f"Please enter the password to decrypt {self.place}", flag=self.flag)

    def problem(self, text: str, *, hint: str | None = None) -> FileProblem:
        """What is wrong with the file."""
        return FileProblem(f"{self.place}: {text}", hint=hint)


def parse(data: bytes, opener: Opener) -> Material:
    """The key in ``data``; raises FileProblem."""
    data = inputs.cleaned(data, opener.place, "a key")
    text = data.strip()
    if text.startswith(b"{"):
        return _from_json(text, opener)
    if _COMPACT_JWE.fullmatch(text):
        return _unsealed(text.decode(), opener, compact=True)
    if keyfiles.holds_private_key(data):
        return _private(data, opener)
    return _public(data, opener)


def from_jwk(members: Mapping[str, Any], opener: Opener) -> Material:
    """The key that a JWK describes; raises FileProblem."""
    try:
        key = _of_members(members)
    except (ValueError, TypeError, AttributeError, KeyError, UnsupportedAlgorithm) as error:
        reason = str(error) if isinstance(error, ValueError) else "members that it must have are missing"
        raise opener.problem(
            f"is not a JWK that can be used: {reason}", hint="RFC 7518 §6 lists the members"
        ) from error
    return Material(place=opener.place, key=key, form="jwk", password=opener.given, members=members)


def _of_members(members: Mapping[str, Any]) -> "keyfiles.PrivateKey | PublicKey | bytes":
    if members.get("kty") == "oct":
        if octets := jwk.decode(members["k"]):
            return octets
        raise ValueError("the key is empty")
    return jwk.load(members) if "d" in members else jwk.load_public(members)


def _from_json(text: bytes, opener: Opener) -> Material:
    try:
        members = tokens.decode_json(text)
    except MalformedRequest as error:
        raise opener.problem(f"is not JSON: {error}", hint=_REMEDY) from error
    if "keys" in members:
        raise opener.problem("is a set of keys, not a key", hint="one of them is used with --jwks FILE --kid ID")
    return _unsealed(text.decode(), opener, compact=False) if "ciphertext" in members else from_jwk(members, opener)


def _unsealed(sealed: str, opener: Opener, *, compact: bool) -> Material:
    """The private JWK in a JWE, opened with the first password that does; raises FileProblem."""
    from mica import jwe  # slow to import

    for password in opener.passwords(_JWE_ATTEMPTS):
        try:
            with kit.progress(f"opening {opener.place}"):
                members = jwe.decrypt_jwk(sealed, password)
        except jwe.WrongPassword:
            continue
        except ValueError as error:
            raise opener.problem(f"is not a JWK that can be opened: {error}") from error
        return replace(from_jwk(members, opener), password=password, encrypted=True, compact=compact)
    raise opener.problem("the key cannot be decrypted: the password is wrong, or the file is damaged")


def _private(data: bytes, opener: Opener) -> Material:
    try:
        encrypted = keyfiles.is_encrypted(data, where=opener.place)
        password = next(opener.passwords(1)) if encrypted else opener.given
        with kit.progress(f"opening {opener.place}"):
            key = keyfiles.load_private_key(data, password, where=opener.place)
    except ConfigError as error:
        raise FileProblem(str(error)) from error
    form = "ssh" if b"-----BEGIN OPENSSH PRIVATE KEY" in data else "pem" if b"-----BEGIN" in data else "der"
    return Material(place=opener.place, key=key, form=form, password=password, encrypted=encrypted)


def _public(data: bytes, opener: Opener) -> Material:
    """A public key, or that of a certificate or a request; raises FileProblem."""
    label = next(iter(kit.recognition.labels(data)), "")
    form = "pem" if label else "ssh" if _SSH_LINE.match(data.lstrip()) else "der"
    try:
        key = _LOADERS[form](data.strip() if form == "ssh" else data, label)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(data, opener) from error
    if not isinstance(key, PUBLIC_KEYS):
        raise opener.problem(f"is a key of the kind {keyfiles.describe(key)}", hint="EC, RSA and Ed25519 keys are used")
    return Material(place=opener.place, key=key, form=form, password=opener.given)


def _no_key(data: bytes, opener: Opener) -> FileProblem:
    """What the file is instead."""
    words = kit.recognition.recognize(data)
    if words in (kit.recognition.CERTIFICATE, kit.recognition.REQUEST):
        return opener.problem(f"holds {words} whose key cannot be read", hint=_REMEDY)
    if words is None or "key" in words.lower():
        return _no_private_key(data, opener)
    return opener.problem(f"holds {words}, not a key", hint=_REMEDY)


def _no_private_key(data: bytes, opener: Opener) -> FileProblem:
    try:
        keyfiles.load_private_key(data, None, where=opener.place)
    except ConfigError as error:
        if b"PRIVATE KEY-----" in data or data[:1] == b"\x30":
            return FileProblem(str(error))
    return opener.problem("holds no key that can be read", hint=_REMEDY)


def _load_pem(data: bytes, label: str) -> object:
    if label in ("CERTIFICATE", "X509 CERTIFICATE"):
        return x509.load_pem_x509_certificate(data).public_key()
    if label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
        return x509.load_pem_x509_csr(data).public_key()
    return serialization.load_pem_public_key(data)


def _load_der(data: bytes, label: str) -> object:
    with suppress(ValueError):
        return serialization.load_der_public_key(data)
    with suppress(ValueError):
        return x509.load_der_x509_certificate(data).public_key()
    return x509.load_der_x509_csr(data).public_key()


def _load_ssh(data: bytes, label: str) -> object:
    return serialization.load_ssh_public_key(data)


_LOADERS = {"pem": _load_pem, "der": _load_der, "ssh": _load_ssh}
