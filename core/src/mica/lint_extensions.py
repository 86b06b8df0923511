"""The rules of ``mica.lint`` on extensions that an issuer or a template may add: criticality and content."""

from collections.abc import Iterable, Iterator

from cryptography import x509

#: By OID: name, whether it must be critical, section of RFC 5280.
_CRITICALITY = {
    x509.NameConstraints.oid: ("nameConstraints", True, "4.2.1.10"),
    x509.PolicyConstraints.oid: ("policyConstraints", True, "4.2.1.11"),
    x509.InhibitAnyPolicy.oid: ("inhibitAnyPolicy", True, "4.2.1.14"),
    x509.FreshestCRL.oid: ("freshestCRL", False, "4.2.1.15"),
    x509.AuthorityInformationAccess.oid: ("authorityInfoAccess", False, "4.2.2.1"),
    x509.SubjectInformationAccess.oid: ("subjectInfoAccess", False, "4.2.2.2"),
}


def extension_faults(extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> Iterator[str]:
    """What is wrong with ``extensions``, those aside on which ``mica.lint`` has rules of its own."""
    for extension in extensions:
        rule = _CRITICALITY.get(extension.oid)
        if rule is not None and extension.critical != rule[1]:
            yield f"RFC 5280 §{rule[2]}: {rule[0]} must {'' if rule[1] else 'not '}be critical"
        yield from _content_faults(extension.value)


def _content_faults(value: x509.ExtensionType) -> Iterator[str]:
    if isinstance(value, x509.NameConstraints):
        yield from _name_constraints(value)
    elif isinstance(value, x509.PolicyConstraints):
        if value.require_explicit_policy is None and value.inhibit_policy_mapping is None:
            yield "RFC 5280 §4.2.1.11: policyConstraints must not be empty"
    elif isinstance(value, x509.CertificatePolicies):
        policies = [policy.policy_identifier for policy in value]
        if len(set(policies)) < len(policies):
            yield "RFC 5280 §4.2.1.4: a policy must not occur more than once in certificatePolicies"
    elif isinstance(value, x509.CRLDistributionPoints) and not all(map(_is_somewhere, value)):
        yield "RFC 5280 §4.2.1.13: a distribution point must not consist of its reasons alone"


def _is_somewhere(point: x509.DistributionPoint) -> bool:
    return bool(point.full_name or point.relative_name or point.crl_issuer)


def _name_constraints(value: x509.NameConstraints) -> Iterator[str]:
    trees = [*(value.permitted_subtrees or ()), *(value.excluded_subtrees or ())]
    if not trees:
        yield "RFC 5280 §4.2.1.10: nameConstraints must not be empty"
    if any(isinstance(tree, x509.RegisteredID) for tree in trees):
        yield "RFC 5280 §4.2.1.10: nameConstraints must not have registeredID subtrees"
