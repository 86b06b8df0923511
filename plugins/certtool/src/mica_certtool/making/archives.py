"""PKCS #12 archives (RFC 7292): a certificate with its key and its issuers, or certificates that are trusted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from mica.cli import kit
from mica.cli.kit import FileProblem, PrivateKey
from mica_certtool.crypto.material import PRIVATE_KEYS
from mica_certtool.judging.paths import title
from mica_certtool.reading import asn1
from mica_certtool.reading.asn1 import UNREADABLE
from mica_certtool.reading.names import common_names

_SEQUENCE = b"\x30"
# A guesser faces the rounds of the MAC as well, which are 2048, pyca's own: a password of an archive must be good.
_ROUNDS, _LEGACY_ROUNDS = 600_000, 2048
_MAX_ROUNDS = 5_000_000  # what Java takes; a file of strangers must not keep the processor for hours
_MAX_DEPTH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an archive holds."""

    key: PrivateKey | None
    certificates: tuple[x509.Certificate, ...]
    """That of the key first, where there is one."""


def write(
    certificates: Sequence[x509.Certificate], key: PrivateKey | None, password: bytes | None, *, legacy: bool
) -> bytes:
    """An archive of ``key``, its certificate, which is the first, and the others; without ``key``, a trust store.

    Its certificates are marked as trusted, the way Java wants them. Raises FileProblem for a key that cannot be copied.
    """
    encryption = _encryption(password, legacy=legacy)
    if key is None:
        entries = [pkcs12.PKCS12Certificate(each, _friendly_name(each)) for each in certificates]
        return pkcs12.serialize_java_truststore(entries, encryption)
    name, (own, *others) = _friendly_name(certificates[0]), certificates
    try:
        return pkcs12.serialize_key_and_certificates(name, key, own, others, encryption)
    except (UnsupportedAlgorithm, NotImplementedError, TypeError) as error:
        raise FileProblem("the key cannot be copied out of where it is kept, and a .p12 file needs a copy") from error


def read(data: bytes, password: bytes | None, place: str) -> Archive | None:
    """What is in the archive; None when ``password`` does not open it (None: there is none). Raises FileProblem.

    The algorithms of openssl are read, those of ``-legacy`` as well.
    """
    _check_kind(data, place)
    if max(_rounds(data), default=0) > _MAX_ROUNDS:
        raise FileProblem(
            f"{place}: wants its password hashed more than {_MAX_ROUNDS:,} times, and nobody waits so long"
        )
    try:
        found = pkcs12.load_pkcs12(data, password)
    except UnsupportedAlgorithm as error:
        raise FileProblem(f"{place}: is encrypted in a way that is not known here: {error}") from error
    except UNREADABLE:  # pyca tells no wrong password from damage
        return None
    if found.key is not None and not isinstance(found.key, PRIVATE_KEYS):
        raise FileProblem(f"{place}: holds a key of a kind that is not written here; EC, RSA and Ed25519 are")
    own = [found.cert.certificate] if found.cert else []
    return Archive(key=found.key, certificates=(*own, *(each.certificate for each in found.additional_certs)))


def sorted_for(key: PrivateKey, certificates: Sequence[x509.Certificate], place: str) -> list[x509.Certificate]:
    """``certificates`` once each, that of ``key`` first; raises FileProblem when it is not among those of ``place``."""
    public = key.public_key()
    own = next((each for each in certificates if each.public_key() == public), None)
    if own is None:
        raise FileProblem(
            f"{place}: is not the key of {title(certificates[0])}", hint="name the key that belongs to it"
        )
    return list(dict.fromkeys((own, *certificates)))


def _encryption(password: bytes | None, *, legacy: bool) -> KeySerializationEncryption:
    """AES-256 and PBKDF2 (RFC 8018 §6.2), or what Windows before 2019 and Java before 8u301 read."""
    if password is None:
        return NoEncryption()
    try:
        password.decode()
    except UnicodeDecodeError as error:
        raise FileProblem("the password is not UTF-8, and that of a .p12 file is text (RFC 7292 §B.1)") from error
    algorithm = pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC if legacy else pkcs12.PBES.PBESv2SHA256AndAES256CBC
    builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(algorithm)
    builder = builder.kdf_rounds(_LEGACY_ROUNDS if legacy else _ROUNDS)
    return builder.hmac_hash(hashes.SHA1() if legacy else hashes.SHA256()).build(password)  # noqa: S303 - as they read


def _friendly_name(certificate: x509.Certificate) -> bytes | None:
    return next((name.encode() for name in common_names(certificate.subject)), None)


def _check_kind(data: bytes, place: str) -> None:
    """``data`` can be an archive; raises FileProblem that says what it is instead."""
    # DER that is not recognised may be an archive of Windows, which is BER.
    if not data.startswith(_SEQUENCE) or kit.recognition.of_der(data) not in (None, kit.recognition.PKCS12):
        raise kit.mistaken(data, place, kit.recognition.PKCS12)


def _rounds(data: bytes, depth: int = 0) -> Iterator[int]:
    """How often each key derivation in ``data`` hashes, as far as it can be seen without the password.

    Everywhere the number stands behind the salt: in MacData (RFC 7292 §4), in PBES1 and in PBKDF2 (RFC 8018 §A).
    """
    try:
        listed = list(asn1.elements(data))
    except ValueError:
        return
    for before, element in pairwise(listed):
        if before.tag == asn1.OCTET_STRING and element.tag == asn1.INTEGER:
            yield int.from_bytes(element.contents, "big")
    for element in listed if depth < _MAX_DEPTH else ():
        if element.tag & asn1.CONSTRUCTED or element.contents.startswith(_SEQUENCE):
            yield from _rounds(element.contents, depth + 1)
