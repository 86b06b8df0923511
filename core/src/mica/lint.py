"""RFC 5280 rules on a certificate, before it is signed or out of a file, each finding with its citation first.

What is read is the encoded TBSCertificate, through pyca and octet by octet, never the values it was made from: so a
mistake of the encoder is found too. ``mica.lint_names`` has the rules on the subject and its alternative names,
``mica.lint_extensions`` those on what else may stand there; ``mica.lint_certificates`` brings what is in files.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar, cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mica import der
from mica.constraints import violations
from mica.errors import MalformedRequest
from mica.lint_extensions import extension_faults
from mica.lint_issuer import Issuer, issuer_of
from mica.lint_names import Attribute, alternative_name_faults, attributes, constrained_names, subject_faults
from mica.pkix import SubjectPublicKey

_VERSION, _SERIAL, _SIGNATURE, _ISSUER, _VALIDITY, _SUBJECT, _KEY, _EXTENSIONS = range(8)  # RFC 5280 §4.1
_V3 = b"\xa0\x03\x02\x01\x02"
_EXTENSIONS_TAG = 0xA3
_EMPTY_NAME = b"\x30\x00"
_MAX_SERIAL_OCTETS, _MIN_SERIAL_BITS = 20, 64
_UTC_YEARS = range(1950, 2050)
_RSA_ENCRYPTION = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.tlv(der.NULL, b""))

_NO_USAGE = x509.KeyUsage(*[False] * 9)

_Value = TypeVar("_Value", bound=x509.ExtensionType)


class Examined(Protocol):
    """What is read of a certificate: one that is about to be signed (``TBSCertificate``), or one out of a file."""

    @property
    def parts(self) -> list[bytes]:
        """The fields of the TBSCertificate; raises MalformedRequest."""

    @property
    def parsed(self) -> x509.Certificate:
        """The certificate as pyca reads it; raises MalformedRequest."""

    @property
    def found(self) -> Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]:
        """The extensions of ``parsed`` by OID."""

    @property
    def subject_public_key(self) -> SubjectPublicKey:
        """The key that was approved."""


@dataclass(slots=True)
class _View:
    """The certificate in question, read once."""

    parts: list[bytes]
    certificate: x509.Certificate
    extensions: Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]
    subject: list[Attribute]
    key_identifier: bytes
    self_signed: bool
    is_ca: bool

    def get(self, kind: type[_Value]) -> x509.Extension[_Value] | None:
        return cast("x509.Extension[_Value] | None", self.extensions.get(kind.oid))


def lint(tbs: Examined, issuer: x509.Certificate | None, *, above: tuple[x509.Certificate, ...] = ()) -> list[str]:
    """Every rule that the certificate breaks, as ``RFC 5280 §…: what must be``; empty when it is good.

    ``issuer`` None: the certificate is its own issuer. ``above`` has the issuer's issuers, whose name constraints hold
    as well. Costs some 40 µs for an ordinary leaf, 12 of them for pyca's reading, which others use again.
    """
    return examine(tbs, lambda: issuer_of(issuer or tbs.parsed, above), self_signed=issuer is None)


def examine(tbs: Examined, facts_of_issuer: Callable[[], Issuer], *, self_signed: bool) -> list[str]:
    """As ``lint``, with what is known of the issuer, which is asked for once the certificate is seen to be readable."""
    try:
        parts = tbs.parts
        if findings := list(_envelope(parts)):
            return findings  # pyca would refuse it, or read it with warnings.
        view = _view(tbs, parts, self_signed=self_signed)
        facts = facts_of_issuer()
    except x509.DuplicateExtension as error:
        return [f"RFC 5280 §4.2: the extension {error.oid.dotted_string} must not occur more than once"]
    except (MalformedRequest, ValueError, OverflowError, x509.UnsupportedGeneralNameType) as error:
        return [f"RFC 5280 §4.1: the certificate must be readable: {error}"]
    findings = list(facts.faults)
    findings += _fields(view, facts, tbs)
    findings += _validity(view, facts)
    findings += _key_identifiers(view, facts)
    findings += _basic_constraints(view, facts)
    findings += _key_usage(view)
    findings += _extended_key_usage(view)
    findings += extension_faults(view.extensions.values())
    return findings + _names(view, facts)


def _view(tbs: Examined, parts: list[bytes], *, self_signed: bool) -> _View:
    extensions = tbs.found
    basic = extensions.get(x509.BasicConstraints.oid)
    return _View(
        parts,
        tbs.parsed,
        extensions,
        attributes(parts[_SUBJECT]),
        tbs.subject_public_key.identifier,
        self_signed,
        basic is not None and cast("x509.BasicConstraints", basic.value).ca,
    )


def _envelope(parts: list[bytes]) -> Iterator[str]:
    if len(parts) != 8 or parts[_VERSION] != _V3 or parts[_EXTENSIONS][0] != _EXTENSIONS_TAG:
        yield "RFC 5280 §4.1.2: the certificate must be v3, with extensions and without unique identifiers"
        return
    ((_, octets, _),) = der.elements(parts[_SERIAL])
    serial = int.from_bytes(octets, "big", signed=True)
    if serial <= 0:
        yield "RFC 5280 §4.1.2.2: the serial number must be positive"
    elif serial.bit_length() < _MIN_SERIAL_BITS:
        # The RFC asks for uniqueness alone; the randomness that makes a hash collision useless is the Forum's.
        yield f"CA/Browser Forum BR §7.1: the serial number must have at least {_MIN_SERIAL_BITS} bits"
    if len(octets) > _MAX_SERIAL_OCTETS:
        yield f"RFC 5280 §4.1.2.2: the serial number must have at most {_MAX_SERIAL_OCTETS} octets"


def _fields(view: _View, issuer: Issuer, tbs: Examined) -> Iterator[str]:
    if view.parts[_SIGNATURE] not in issuer.algorithms:
        yield "RFC 5280 §4.1.2.3: the signature algorithm must be one of the issuer's key"
    if view.parts[_ISSUER] != issuer.subject:
        yield "RFC 5280 §4.1.2.4: the issuer must be the issuing certificate's subject, octet by octet"
    if issuer.subject == _EMPTY_NAME:
        yield "RFC 5280 §4.1.2.4: the issuer must not be empty"
    if view.is_ca and not view.subject:
        yield "RFC 5280 §4.1.2.6: a CA must have a subject"
    if view.parts[_KEY] != tbs.subject_public_key.spki:
        yield "RFC 5280 §4.1.2.7: the subject public key must be the one that was approved"


def _validity(view: _View, issuer: Issuer) -> Iterator[str]:
    not_before, not_after = view.certificate.not_valid_before_utc, view.certificate.not_valid_after_utc
    if not_after <= not_before:
        yield "RFC 5280 §4.1.2.5: notAfter must be later than notBefore"
    for moment, encoded in zip((not_before, not_after), der.children(view.parts[_VALIDITY]), strict=True):
        if encoded[0] != (der.UTC_TIME if moment.year in _UTC_YEARS else der.GENERALIZED_TIME):
            yield "RFC 5280 §4.1.2.5: times must be UTCTime through 2049 and GeneralizedTime from 2050"
    # §6.1 judges each certificate at the same moment, so what lies outside the issuer's validity is never valid.
    if not_before < issuer.not_before:
        yield f"RFC 5280 §6.1.3: notBefore must not be earlier than the issuer's ({_text(issuer.not_before)})"
    if not_after > issuer.not_after:
        yield f"RFC 5280 §6.1.3: notAfter must not be later than the issuer's ({_text(issuer.not_after)})"


def _key_identifiers(view: _View, issuer: Issuer) -> Iterator[str]:
    subject, authority = view.get(x509.SubjectKeyIdentifier), view.get(x509.AuthorityKeyIdentifier)
    if subject is None:
        if view.is_ca:
            yield "RFC 5280 §4.2.1.2: a CA must have a subjectKeyIdentifier"
    elif subject.critical:
        yield "RFC 5280 §4.2.1.2: the subjectKeyIdentifier must not be critical"
    elif subject.value.digest != view.key_identifier:
        yield "RFC 5280 §4.2.1.2: the subjectKeyIdentifier must be the SHA-1 of the subject public key's bits"
    if authority is None:
        if not view.self_signed:
            yield "RFC 5280 §4.2.1.1: the authorityKeyIdentifier must be present"
    elif authority.critical:
        yield "RFC 5280 §4.2.1.1: the authorityKeyIdentifier must not be critical"
    elif authority.value.key_identifier is None or authority.value.key_identifier != issuer.key_identifier:
        yield "RFC 5280 §4.2.1.1: the authorityKeyIdentifier must be the issuer's subjectKeyIdentifier"


def _basic_constraints(view: _View, issuer: Issuer) -> Iterator[str]:
    constraints = view.get(x509.BasicConstraints)
    if not view.is_ca:
        if view.get(x509.NameConstraints):
            yield "RFC 5280 §4.2.1.10: nameConstraints must stand in a CA certificate only"
        return
    assert constraints is not None
    if not constraints.critical:
        yield "RFC 5280 §4.2.1.9: the basicConstraints of a CA must be critical"
    if view.self_signed or issuer.path_length is None:
        return
    length = constraints.value.path_length
    if issuer.path_length == 0 or (length is not None and length >= issuer.path_length):
        yield f"RFC 5280 §4.2.1.9: the issuer allows CAs below it to a depth of {issuer.path_length} only"


def _key_usage(view: _View) -> Iterator[str]:
    extension = view.get(x509.KeyUsage)
    if extension is None:
        if view.is_ca:
            yield "RFC 5280 §4.2.1.3: a CA must have a keyUsage"
        return
    usage = extension.value
    if not extension.critical:
        yield "RFC 5280 §4.2.1.3: the keyUsage must be critical"
    if usage == _NO_USAGE:
        yield "RFC 5280 §4.2.1.3: at least one bit of the keyUsage must be set"
    if usage.key_cert_sign != view.is_ca:
        yield "RFC 5280 §4.2.1.9: keyCertSign must be set for a CA, and only for a CA"
    if (usage.key_encipherment or usage.data_encipherment) and _RSA_ENCRYPTION not in view.parts[_KEY][:24]:
        yield "RFC 5480 §3, RFC 8410 §5: keyEncipherment and dataEncipherment must be set for RSA keys only"


def _extended_key_usage(view: _View) -> Iterator[str]:
    extension = view.get(x509.ExtendedKeyUsage)
    # An empty one is caught where the certificate is read: §4.2.1.12 has SIZE (1..MAX).
    if (
        extension is not None
        and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in extension.value
        and len(extension.value) > 1
    ):
        yield "RFC 5280 §4.2.1.12: anyExtendedKeyUsage must not stand beside other usages"


def _names(view: _View, issuer: Issuer) -> list[str]:
    extension = view.get(x509.SubjectAlternativeName)
    findings = [*subject_faults(view.subject), *alternative_name_faults(extension, subject_is_empty=not view.subject)]
    if findings or not issuer.constraints:
        return findings
    names = tuple(extension.value) if extension else ()
    try:
        subject = view.certificate.subject
    except ValueError as error:
        return [f"RFC 5280 §4.1.2.6: the subject must be readable: {error}"]
    return violations(constrained_names(subject, names), issuer.constraints)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
