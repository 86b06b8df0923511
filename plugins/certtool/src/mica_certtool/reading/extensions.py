"""Extensions in the long layout: a title, and rows below it."""

from collections.abc import Callable, Iterable
from typing import Any

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mica_certtool.reading import provisioner_extension
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, Document, RawExtension
from mica_certtool.reading.names import KINDS, distinguished, general_name_text

KEY_USAGES = {
    "digital_signature": "Digital Signature",
    "content_commitment": "Content Commitment",
    "key_encipherment": "Key Encipherment",
    "data_encipherment": "Data Encipherment",
    "key_agreement": "Key Agreement",
    "key_cert_sign": "Certificate Sign",
    "crl_sign": "CRL Sign",
    "encipher_only": "Encipher Only",
    "decipher_only": "Decipher Only",
}
PURPOSES = {
    "2.5.29.37.0": ("any", "Any Usage"),
    "1.3.6.1.5.5.7.3.1": ("server_auth", "Server Authentication"),
    "1.3.6.1.5.5.7.3.2": ("client_auth", "Client Authentication"),
    "1.3.6.1.5.5.7.3.3": ("code_signing", "Code Signing"),
    "1.3.6.1.5.5.7.3.4": ("email_protection", "Email Protection"),
    "1.3.6.1.5.5.7.3.5": ("ipsec_end_system", "IPSEC End System"),
    "1.3.6.1.5.5.7.3.6": ("ipsec_tunnel", "IPSEC Tunnel"),
    "1.3.6.1.5.5.7.3.7": ("ipsec_user", "IPSEC User"),
    "1.3.6.1.5.5.7.3.8": ("time_stamping", "Time Stamping"),
    "1.3.6.1.5.5.7.3.9": ("ocsp_signing", "OCSP Signing"),
}
_OTHER_LABELS = {x509.DirectoryName: "DirName", x509.OtherName: "othername", x509.RegisteredID: "Registered ID"}
_CONSTRAINTS = {
    x509.DNSName: "DNS",
    x509.RFC822Name: "Email",
    x509.UniformResourceIdentifier: "URI",
    x509.IPAddress: "IP Range",
}


def parsed(document: Document) -> dict[str, x509.ExtensionType]:
    """The extensions that can be understood, by OID; none when one of them is malformed."""
    try:
        return {extension.oid.dotted_string: extension.value for extension in document.extensions}
    except UNREADABLE_EXTENSIONS:
        return {}


def title_and_rows(raw: RawExtension, value: x509.ExtensionType | None) -> tuple[str, list[str]]:
    """How one extension is shown; one that is not understood by its OID and its printable characters."""
    if raw.oid == provisioner_extension.OID:
        try:
            return "X509v3 Step Provisioner", _provisioner(raw.value)
        except ValueError:
            pass
    title, rows = _LAYOUTS.get(type(value), ("", None)) if value is not None else ("", None)
    if rows is None:
        return raw.oid, ["".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in raw.value)]
    return title, rows(value)


def key_usages(value: x509.KeyUsage) -> list[str]:
    """What is asserted of ``KEY_USAGES``; the last two mean something with key agreement (RFC 5280 §4.2.1.3)."""
    names = list(KEY_USAGES) if value.key_agreement else list(KEY_USAGES)[:-2]
    return [name for name in names if getattr(value, name)]


def _key_usage(value: x509.KeyUsage) -> list[str]:
    return [", ".join(KEY_USAGES[name] for name in key_usages(value))]


def _extended_key_usage(value: x509.ExtendedKeyUsage) -> list[str]:
    return [", ".join(PURPOSES.get(oid.dotted_string, ("", oid.dotted_string))[1] for oid in value)]


def _basic_constraints(value: x509.BasicConstraints) -> list[str]:
    if not value.ca:
        return ["CA:FALSE"]
    return ["CA:TRUE" if value.path_length is None else f"CA:TRUE, pathlen:{value.path_length}"]


def _subject_key_identifier(value: x509.SubjectKeyIdentifier) -> list[str]:
    return [value.digest.hex(":").upper()]


def _authority_key_identifier(value: x509.AuthorityKeyIdentifier) -> list[str]:
    rows = [value.key_identifier.hex(":").upper()] if value.key_identifier is not None else []
    rows += [f"DirName:{general_name_text(name)}" for name in value.authority_cert_issuer or ()]
    return rows + ([f"serial:{value.authority_cert_serial_number}"] if value.authority_cert_serial_number else [])


def _alternative_names(value: Iterable[x509.GeneralName]) -> list[str]:
    names = list(value)
    rows = []
    for kind, label in KINDS.items():
        texts = [f"{label}:{general_name_text(name)}" for name in names if isinstance(name, kind)]
        rows += [", ".join(texts)] if texts else []
    return rows + [
        f"{_OTHER_LABELS.get(type(name), type(name).__name__)}:{general_name_text(name)}"
        for name in names
        if type(name) not in KINDS
    ]


def _name_constraints(value: x509.NameConstraints) -> list[str]:
    rows = []
    for label, subtrees in (("Permitted:", value.permitted_subtrees), ("Excluded:", value.excluded_subtrees)):
        rows += [label] if subtrees else []
        for kind, name in _CONSTRAINTS.items():
            texts = [general_name_text(subtree) for subtree in subtrees or () if isinstance(subtree, kind)]
            rows += [f"  {name}: {', '.join(texts)}"] if texts else []
        rows += [f"  {general_name_text(subtree)}" for subtree in subtrees or () if type(subtree) not in _CONSTRAINTS]
    return rows


def _distribution_points(value: Iterable[x509.DistributionPoint]) -> list[str]:
    rows = []
    for point in value:
        texts = [f"{KINDS.get(type(name), 'DirName')}:{general_name_text(name)}" for name in point.full_name or ()]
        relative = [f"  {distinguished(x509.Name([point.relative_name]))}"] if point.relative_name else []
        rows += ["Full Name:", f"  {', '.join(texts)}"] if texts else ["Relative Name:", *relative] if relative else []
    return rows


def _authority_information_access(value: x509.AuthorityInformationAccess) -> list[str]:
    labels = {AuthorityInformationAccessOID.OCSP: "OCSP", AuthorityInformationAccessOID.CA_ISSUERS: "CA Issuers"}
    return [
        f"{labels.get(access.access_method, access.access_method.dotted_string)} - "
        f"{KINDS.get(type(access.access_location), 'DirName')}:{general_name_text(access.access_location)}"
        for access in value
    ]


def _certificate_policies(value: x509.CertificatePolicies) -> list[str]:
    return [f"Policy: {policy.policy_identifier.dotted_string}" for policy in value]


def _number(value: x509.CRLNumber | x509.DeltaCRLIndicator) -> list[str]:
    return [str(value.crl_number)]


def _issuing_distribution_point(value: x509.IssuingDistributionPoint) -> list[str]:
    rows = [f"{KINDS.get(type(name), 'DirName')}:{general_name_text(name)}" for name in value.full_name or ()]
    rows += [distinguished(x509.Name([value.relative_name]))] if value.relative_name else []
    said = {
        "Only User Certificates": value.only_contains_user_certs,
        "Only CA Certificates": value.only_contains_ca_certs,
        "Only Attribute Certificates": value.only_contains_attribute_certs,
        "Indirect CRL": value.indirect_crl,
        "Only Some Reasons": bool(value.only_some_reasons),
    }
    return rows + [text for text, holds in said.items() if holds]


def _provisioner(value: bytes) -> list[str]:
    found = provisioner_extension.decode(value)
    rows = [f"Type: {found.type}", f"Name: {found.name}"]
    rows += [f"CredentialID: {found.credential_id}"] if found.credential_id else []
    return rows + [f"{key}: {text}" for key, text in found.pairs]


_LAYOUTS: dict[type[x509.ExtensionType], tuple[str, Callable[[Any], list[str]]]] = {
    x509.KeyUsage: ("X509v3 Key Usage", _key_usage),
    x509.ExtendedKeyUsage: ("X509v3 Extended Key Usage", _extended_key_usage),
    x509.BasicConstraints: ("X509v3 Basic Constraints", _basic_constraints),
    x509.SubjectKeyIdentifier: ("X509v3 Subject Key Identifier", _subject_key_identifier),
    x509.AuthorityKeyIdentifier: ("X509v3 Authority Key Identifier", _authority_key_identifier),
    x509.SubjectAlternativeName: ("X509v3 Subject Alternative Name", _alternative_names),
    x509.IssuerAlternativeName: ("X509v3 Issuer Alternative Name", _alternative_names),
    x509.NameConstraints: ("X509v3 Name Constraints", _name_constraints),
    x509.CRLDistributionPoints: ("X509v3 CRL Distribution Points", _distribution_points),
    x509.AuthorityInformationAccess: ("Authority Information Access", _authority_information_access),
    x509.CertificatePolicies: ("X509v3 Certificate Policies", _certificate_policies),
    x509.CRLNumber: ("X509v3 CRL Number", _number),
    x509.DeltaCRLIndicator: ("X509v3 Delta CRL Indicator", _number),
    x509.IssuingDistributionPoint: ("X509v3 Issuing Distribution Point", _issuing_distribution_point),
}
