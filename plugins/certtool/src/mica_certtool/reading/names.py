"""Names as texts: distinguished names, alternative names, algorithms."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from mica_certtool.reading import asn1
from mica_certtool.reading.asn1 import UNREADABLE_EXTENSIONS, Document

ATTRIBUTES = {
    NameOID.COMMON_NAME: ("CN", "common_name"),
    NameOID.SERIAL_NUMBER: ("SERIALNUMBER", "serial_number"),
    NameOID.COUNTRY_NAME: ("C", "country"),
    NameOID.LOCALITY_NAME: ("L", "locality"),
    NameOID.STATE_OR_PROVINCE_NAME: ("ST", "province"),
    NameOID.STREET_ADDRESS: ("STREET", "street_address"),
    NameOID.ORGANIZATION_NAME: ("O", "organization"),
    NameOID.ORGANIZATIONAL_UNIT_NAME: ("OU", "organizational_unit"),
    NameOID.POSTAL_CODE: ("POSTALCODE", "postal_code"),
    NameOID.EMAIL_ADDRESS: ("emailAddress", "email_address"),
    NameOID.DOMAIN_COMPONENT: ("DC", "domain_component"),
    NameOID.USER_ID: ("UID", "uid"),
}

_SIGNATURES = {
    "1.2.840.113549.1.1.4": "MD5-RSA",
    "1.2.840.113549.1.1.5": "SHA1-RSA",
    "1.2.840.113549.1.1.11": "SHA256-RSA",
    "1.2.840.113549.1.1.12": "SHA384-RSA",
    "1.2.840.113549.1.1.13": "SHA512-RSA",
    "1.2.840.10040.4.3": "DSA-SHA1",
    "2.16.840.1.101.3.4.3.2": "DSA-SHA256",
    "1.2.840.10045.4.1": "ECDSA-SHA1",
    "1.2.840.10045.4.3.2": "ECDSA-SHA256",
    "1.2.840.10045.4.3.3": "ECDSA-SHA384",
    "1.2.840.10045.4.3.4": "ECDSA-SHA512",
    "1.3.101.112": "Ed25519",
}
RSASSA_PSS = "1.2.840.113549.1.1.10"
_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\,+"})


def distinguished(name: x509.Name, separator: str = ",") -> str:
    """``name`` as ``TYPE=value`` in the order it has; what would read as a separator is escaped."""
    return separator.join("+".join(map(_attribute, rdn)) for rdn in name.rdns)


def common_names(name: x509.Name) -> list[str]:
    """Every CN in ``name``."""
    return [value_text(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def value_text(value: str | bytes) -> str:
    """An attribute's value; a BIT STRING in hex."""
    return value.hex() if isinstance(value, bytes) else value


def alternative_names(document: Document) -> list[x509.GeneralName]:
    """The subjectAltName in the order in which it is listed: DNS, IP, email, URI; none when it cannot be read."""
    try:
        found = list(asn1.extension(document, x509.SubjectAlternativeName) or ())
    except UNREADABLE_EXTENSIONS:
        return []
    return [name for kind in KINDS for name in found if isinstance(name, kind)]


#: The kinds of alternative names that are shown in rows, with their labels.
KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS",
    x509.IPAddress: "IP Address",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "URI",
}


def general_name_text(name: x509.GeneralName) -> str:
    """The bare text of ``name``."""
    if isinstance(name, x509.DirectoryName):
        return distinguished(name.value)
    if isinstance(name, x509.OtherName):
        return f"{name.type_id.dotted_string}:{name.value.hex()}"
    if isinstance(name, x509.RegisteredID):
        return name.value.dotted_string
    return str(name.value)


def subject_names(document: Document) -> list[str]:
    """The common names, then the alternative names that differ from them."""
    return list(dict.fromkeys([*common_names(document.subject), *map(general_name_text, alternative_names(document))]))


def signature_algorithm(document: Document) -> str:
    """The name of the algorithm that signed ``document``, else its OID."""
    oid = document.signature_algorithm_oid.dotted_string
    if oid == RSASSA_PSS and document.signature_hash_algorithm is not None:
        return f"{document.signature_hash_algorithm.name.upper()}-RSAPSS"
    return _SIGNATURES.get(oid, oid)


def _attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    label = ATTRIBUTES.get(attribute.oid, (attribute.oid.dotted_string, ""))[0]
    return f"{label}={value_text(attribute.value).translate(_ESCAPED)}"
