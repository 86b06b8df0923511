"""Certificates and requests as JSON, in one schema."""

import hashlib
from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID

from mica.cli.kit import rfc3339
from mica_certtool.reading import asn1, extensions, keys, layouts, names, provisioner_extension
from mica_certtool.reading.asn1 import Document
from mica_certtool.reading.octets import b64

_SAN_MEMBERS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "dns_names",
    x509.RFC822Name: "email_addresses",
    x509.IPAddress: "ip_addresses",
    x509.UniformResourceIdentifier: "uniform_resource_identifiers",
    x509.DirectoryName: "directory_names",
    x509.OtherName: "other_names",
    x509.RegisteredID: "registered_ids",
}
# CA/Browser Forum, Baseline Requirements §7.1.6.1.
_LEVELS = {"2.23.140.1.2.1": "DV", "2.23.140.1.2.2": "OV", "2.23.140.1.1": "EV"}


def of(document: Document) -> dict[str, object]:
    """What there is to say about ``document``. A request lacks issuer, serial, validity. Raises ValueError."""
    parts, key = asn1.parts(document), keys.describe(document)
    tbs = document.tbs_certificate_bytes if isinstance(document, x509.Certificate) else document.tbs_certrequest_bytes
    algorithm = {"name": names.signature_algorithm(document), "oid": document.signature_algorithm_oid.dotted_string}
    understood = extensions.parsed(document)
    own = layouts.self_signed(document)
    return _present(
        {
            "version": document.version.value + 1 if isinstance(document, x509.Certificate) else 1,
            **_issued(document),
            "signature_algorithm": algorithm,
            **_issuer(document),
            "subject": _name(document.subject),
            "subject_dn": names.distinguished(document.subject, ", "),
            "subject_key_info": {
                "key_algorithm": {"name": key.algorithm},
                **key.members,
                "fingerprint_sha256": hashlib.sha256(parts.spki.whole).hexdigest(),
            },
            "extensions": _present(_extensions(parts.extensions, understood)),
            "unknown_extensions": [_unknown(raw) for raw in parts.extensions if not _is_known(raw, understood)] or None,
            "signature": {
                "signature_algorithm": algorithm,
                "value": b64(document.signature),
                "valid": own,
                "self_signed": own,
            },
            **_fingerprints(document, tbs, parts),
            "validation_level": _level(understood.get("2.5.29.32")),
            "names": names.subject_names(document),
            "redacted": False,
        }
    )


def summary(certificate: x509.Certificate) -> dict[str, object]:
    """What reports say of a certificate. The serial number is text: it exceeds what JSON readers keep exactly."""
    return {
        "serial_number": str(certificate.serial_number),
        "subject": next(iter(names.common_names(certificate.subject)), ""),
        "subject_dn": names.distinguished(certificate.subject, ", "),
        "names": list(map(names.general_name_text, names.alternative_names(certificate))),
        "not_before": rfc3339(certificate.not_valid_before_utc),
        "not_after": rfc3339(certificate.not_valid_after_utc),
        "fingerprint": layouts.digest(certificate, hashes.SHA256()).hex(),
    }


def _issued(document: Document) -> dict[str, object]:
    return {"serial_number": str(document.serial_number)} if isinstance(document, x509.Certificate) else {}


def _issuer(document: Document) -> dict[str, object]:
    if not isinstance(document, x509.Certificate):
        return {}
    start, end = document.not_valid_before_utc, document.not_valid_after_utc
    return {
        "issuer": _name(document.issuer),
        "issuer_dn": names.distinguished(document.issuer, ", "),
        "validity": {
            "start": rfc3339(start),
            "end": rfc3339(end),
            "length": int((end - start).total_seconds()),
        },
    }


def _name(name: x509.Name) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for attribute in name:
        member = names.ATTRIBUTES.get(attribute.oid, ("", attribute.oid.dotted_string))[1]
        found.setdefault(member, []).append(names.value_text(attribute.value))
    return found


def _fingerprints(document: Document, tbs: bytes, parts: asn1.Parts) -> dict[str, object]:
    algorithms = {"md5": hashes.MD5(), "sha1": hashes.SHA1(), "sha256": hashes.SHA256()}  # noqa: S303 - as names
    return {
        **{f"fingerprint_{name}": layouts.digest(document, algorithm).hex() for name, algorithm in algorithms.items()},
        "tbs_noct_fingerprint": hashlib.sha256(_without_scts(document, tbs)).hexdigest(),
        "spki_subject_fingerprint": hashlib.sha256(parts.spki.whole + parts.subject).hexdigest(),
        "tbs_fingerprint": hashlib.sha256(tbs).hexdigest(),
    }


def _without_scts(document: Document, tbs: bytes) -> bytes:
    """The TBS as it was before Certificate Transparency (RFC 6962 §3.2)."""
    try:
        return document.tbs_precertificate_bytes if isinstance(document, x509.Certificate) else tbs
    except asn1.UNREADABLE_EXTENSIONS:  # there were none, or nobody can tell
        return tbs


def _extensions(listed: Iterable[asn1.RawExtension], understood: Mapping[str, x509.ExtensionType]) -> dict[str, object]:
    found: dict[str, object] = {}
    for value in understood.values():
        found |= _extension(value)
    for raw in listed:
        if raw.oid == provisioner_extension.OID and _is_known(raw, understood):
            step = provisioner_extension.decode(raw.value)
            found["step_provisioner"] = _present(
                {"type": step.type, "name": step.name, "credentialID": step.credential_id or None, **dict(step.pairs)}
            )
    return found


def _extension(value: x509.ExtensionType) -> dict[str, object]:
    """The member for one extension; nothing for one that is not understood."""
    match value:
        case x509.KeyUsage():
            return {"key_usage": _key_usage(value)}
        case x509.ExtendedKeyUsage():
            return {"extended_key_usage": _purposes(value)}
        case x509.BasicConstraints():
            return {"basic_constraints": _present({"is_ca": value.ca, "max_path_len": value.path_length})}
        case x509.SubjectAlternativeName():
            return {"subject_alt_name": _general_names(value)}
        case x509.SubjectKeyIdentifier():
            return {"subject_key_id": value.digest.hex()}
        case x509.AuthorityKeyIdentifier():
            return {"authority_key_id": value.key_identifier.hex() if value.key_identifier else None}
        case x509.NameConstraints():
            permitted, excluded = (_general_names(s or ()) for s in (value.permitted_subtrees, value.excluded_subtrees))
            return {"name_constraints": _present({"permitted": permitted or None, "excluded": excluded or None})}
        case x509.CRLDistributionPoints():
            points = [names.general_name_text(name) for point in value for name in point.full_name or ()]
            return {"crl_distribution_points": points}
        case x509.AuthorityInformationAccess():
            return {"authority_info_access": _access(value)}
        case x509.CertificatePolicies():
            return {"certificate_policies": [{"id": policy.policy_identifier.dotted_string} for policy in value]}
    return {}


def _key_usage(value: x509.KeyUsage) -> dict[str, object]:
    asserted = extensions.key_usages(value)
    bits = sum(1 << list(extensions.KEY_USAGES).index(name) for name in asserted)
    return {**{name.replace("key_cert_sign", "certificate_sign"): True for name in asserted}, "value": bits}


def _purposes(value: x509.ExtendedKeyUsage) -> dict[str, object]:
    known = {
        extensions.PURPOSES[oid.dotted_string][0]: True for oid in value if oid.dotted_string in extensions.PURPOSES
    }
    unknown = [oid.dotted_string for oid in value if oid.dotted_string not in extensions.PURPOSES]
    return _present({**known, "unknown": unknown or None})


def _general_names(value: Iterable[x509.GeneralName]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in value:
        found.setdefault(_SAN_MEMBERS[type(name)], []).append(names.general_name_text(name))
    return found


def _access(value: x509.AuthorityInformationAccess) -> dict[str, object]:
    urls = {
        member: [names.general_name_text(access.access_location) for access in value if access.access_method == method]
        for member, method in (
            ("ocsp_urls", AuthorityInformationAccessOID.OCSP),
            ("issuer_urls", AuthorityInformationAccessOID.CA_ISSUERS),
        )
    }
    return {member: found for member, found in urls.items() if found}


def _is_known(raw: asn1.RawExtension, understood: Mapping[str, x509.ExtensionType]) -> bool:
    if raw.oid == provisioner_extension.OID:
        try:
            return bool(provisioner_extension.decode(raw.value))
        except ValueError:
            return False
    value = understood.get(raw.oid)
    return value is not None and bool(_extension(value))


def _unknown(raw: asn1.RawExtension) -> dict[str, object]:
    return {"id": raw.oid, "critical": raw.critical, "value": b64(raw.value)}


def _level(policies: x509.ExtensionType | None) -> str:
    if not isinstance(policies, x509.CertificatePolicies):
        return "unknown"
    found = [_LEVELS[oid] for policy in policies if (oid := policy.policy_identifier.dotted_string) in _LEVELS]
    return found[0] if found else "unknown"


def _present(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
