"""What hostile CSRs ask for besides the one name that was granted: names, subjects, extensions, attributes."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from mica import der

#: The name that a token grants.
NAME = "svc.example"
OWN = x509.DNSName(NAME)

_UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin")
_EVIL = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "evil.example")])

#: Subject alternative names that go beyond ``NAME``, as pyca has them.
SMUGGLED: dict[str, Sequence[x509.GeneralName]] = {
    "otherName": (OWN, _UPN),
    "otherName alone": (_UPN,),
    "directoryName": (OWN, x509.DirectoryName(_EVIL)),
    "registeredID": (OWN, x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4"))),
    "e-mail": (OWN, x509.RFC822Name("root@evil.example")),
    "e-mail alone": (x509.RFC822Name("root@evil.example"),),
    "IP address": (OWN, x509.IPAddress(ip_address("10.0.0.1"))),
    "network": (OWN, x509.IPAddress(ip_network("10.0.0.0/8"))),
    "URI": (OWN, x509.UniformResourceIdentifier("spiffe://evil.example/x")),
    "another DNS name": (OWN, x509.DNSName("evil.example")),
    "another DNS name alone": (x509.DNSName("evil.example"),),
    "a wildcard": (x509.DNSName("*.svc.example"),),
    "every name": (x509.DNSName("*"),),
    "a wildcard within": (x509.DNSName("s*.example"),),
    "a parent": (x509.DNSName("example"),),
    "two names in one": (x509.DNSName._init_without_validation("svc.example,evil.example"),),
    "a NUL": (x509.DNSName._init_without_validation("svc.example\x00.evil.example"),),
    "a newline": (x509.DNSName._init_without_validation("svc.example\nevil.example"),),
    "a blank": (x509.DNSName._init_without_validation("svc.example evil.example"),),
    "an empty name": (x509.DNSName._init_without_validation(""),),
    "an address as a DNS name": (x509.DNSName("10.0.0.1"),),
}

#: Tags of GeneralNames that pyca does not write (RFC 5280 §4.2.1.6), and of none.
STRANGE_TAGS = {
    "x400Address": 0xA3,
    "x400Address, primitive": 0x83,
    "ediPartyName": 0xA5,
    "ediPartyName, primitive": 0x85,
    "registeredID, constructed": 0xA8,
    "tag 9": 0x89,
    "tag 31": 0x9F,
    "an INTEGER": 0x02,
}

Subject = Sequence[tuple[x509.ObjectIdentifier, str]]
#: Subjects beside CN=``NAME``. Those in which no common name but ``NAME`` stands may be issued for, without the rest.
SUBJECTS: dict[str, Subject] = {
    "an e-mail address": ((NameOID.COMMON_NAME, NAME), (NameOID.EMAIL_ADDRESS, "root@evil.example")),
    "an organization": ((NameOID.ORGANIZATION_NAME, "Evil"), (NameOID.COMMON_NAME, NAME)),
    "a user id and a domain": (
        (NameOID.USER_ID, "root"),
        (NameOID.DOMAIN_COMPONENT, "evil"),
        (NameOID.COMMON_NAME, NAME),
    ),
    "nothing": (),
    "two common names": ((NameOID.COMMON_NAME, NAME), (NameOID.COMMON_NAME, "evil.example")),
    "two common names, reversed": ((NameOID.COMMON_NAME, "evil.example"), (NameOID.COMMON_NAME, NAME)),
    "another common name": ((NameOID.COMMON_NAME, "evil.example"),),
    "a common name in capitals": ((NameOID.COMMON_NAME, NAME.upper()),),
    "a common name with a dot": ((NameOID.COMMON_NAME, f"{NAME}."),),
    "a common name with a NUL": ((NameOID.COMMON_NAME, f"{NAME}\x00.evil"),),
}

#: Extensions that nobody granted; what is issued must not show that they were asked for.
REQUESTED: dict[str, tuple[x509.ExtensionType, bool]] = {
    "CA:TRUE": (x509.BasicConstraints(ca=True, path_length=None), True),
    "keyCertSign": (x509.KeyUsage(True, True, True, True, True, True, True, False, False), True),
    "anyExtendedKeyUsage": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False),
    "OCSP signing": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), True),
    "code signing": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
    "name constraints": (x509.NameConstraints([x509.DNSName("evil.example")], None), True),
    "a subject key identifier": (x509.SubjectKeyIdentifier(b"\x01" * 20), False),
    "TLS feature": (x509.TLSFeature([x509.TLSFeatureType.status_request]), True),
    "unknown and critical": (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True),
    "no DER": (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\xff\xff\xff"), False),
    "step's provisioner": (
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1"), b"\x30\x03\x02\x01\x02"), False
    ),
    "policies": (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]), False),
    "CRL distribution points": (
        x509.CRLDistributionPoints(
            [x509.DistributionPoint([x509.UniformResourceIdentifier("http://evil.example/")], None, None, None)]
        ),
        False,
    ),
}  # fmt: skip


def strange_name(tag: int) -> x509.UnrecognizedExtension:
    """A subjectAltName with ``NAME`` and a name of that tag."""
    value = der.sequence(der.tlv(0x82, NAME.encode()), der.tlv(tag, der.tlv(der.UTF8_STRING, b"x")))
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value)


def twofold() -> dict[str, bytes]:
    """Attributes of CSRs that ask twice, for ``NAME`` and for another: two things are said (RFC 2986 §4.1)."""
    own, evil = (
        der.sequence(der.oid("2.5.29.17"), der.tlv(der.OCTET_STRING, der.sequence(der.tlv(0x82, name.encode()))))
        for name in (NAME, "evil.example")
    )
    request = der.oid("1.2.840.113549.1.9.14")  # extensionRequest (RFC 2985 §5.4.2)
    asked = [der.sequence(request, der.tlv(der.SET, der.sequence(extension))) for extension in (own, evil)]
    return {
        "subjectAltName twice": der.sequence(request, der.tlv(der.SET, der.sequence(own, evil))),
        "extensionRequest twice": b"".join(asked),
        "extensionRequest with two values": der.sequence(
            request, der.tlv(der.SET, der.sequence(own) + der.sequence(evil))
        ),
        "extensionRequest without a value": der.sequence(request, der.tlv(der.SET, b"")),
    }
