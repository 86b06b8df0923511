"""What an administrator's grant leaves to the request, the core resolves; what nobody may have, they do not get."""

from typing import Any

import pytest
from core.tests import sshorders

from mica.authority import Authority
from mica.errors import MalformedRequest, Refused
from mica.grants import RevokeAny, SignSSHAsRequested
from mica.keyfiles import generate
from mica.permits import frozen_permit, permit_fault
from mica.records import CertificateKind
from mica.sshcert import CertType, SSHCertificate
from mica.sshissuance import issue, ssh_issuer
from mica.sshkeys import SSHPublicKey

BOTH = SignSSHAsRequested(cert_types=frozenset(CertType))
WHOLE: dict[str, Any] = {"cert_type": CertType.USER, "key_id": "ann", "principals": ("ann", "ann@harbour.example")}


async def issued(authority: Authority, permit: SignSSHAsRequested = BOTH, **members: Any) -> Any:
    claims = authority.provisioners[0].claims
    request = sshorders.order(**{**WHOLE, **members})
    return await issue(authority, ssh_issuer(authority), request, sshorders.grant(authority, permit), claims)


async def test_type_key_id_and_principals_are_the_requests(authority: Authority) -> None:
    for cert_type in CertType:
        tbs = sshorders.decoded(await issued(authority, cert_type=cert_type)).tbs
        assert (tbs.cert_type, tbs.key_id, tbs.valid_principals) == (cert_type, "ann", WHOLE["principals"])


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({"cert_type": None}, MalformedRequest, "ssh certificate certType cannot be empty"),
        ({"key_id": ""}, MalformedRequest, "ssh certificate keyID cannot be empty"),
        ({"principals": ()}, MalformedRequest, "ssh certificate principals cannot be empty"),
        ({"key_id": "x" * 4097}, MalformedRequest, "keyID must have at most 4096 characters"),
        ({"key_id": "a\nb"}, Refused, "printable"),
        ({"principals": ("deploy,root",)}, Refused, "plain name"),
        ({"principals": ("*",)}, Refused, "plain name"),
        ({"cert_type": CertType.HOST}, Refused, "certType host is not permitted"),
    ],
)
async def test_a_request_that_does_not_say_it_all_or_says_too_much_is_refused(
    authority: Authority, members: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await issued(authority, SignSSHAsRequested(cert_types=frozenset({CertType.USER})), **members)


@pytest.mark.parametrize(
    ("members", "account"),
    [({}, "ann"), ({"principals": ("ann", "root")}, None), ({"cert_type": CertType.HOST}, None)],
)
async def test_an_account_is_made_for_one_user_alone(
    authority: Authority, members: dict[str, Any], account: str | None
) -> None:
    key = SSHPublicKey.of(generate("EC-P256").public_key())
    answer = await issued(authority, add_user_public_key=key, **members)
    if account is None:
        assert answer.add_user is None
    else:
        assert SSHCertificate.decode(answer.add_user).tbs.key_id == f"{account}-provisioner"


@pytest.mark.parametrize(
    ("permit", "fault"),
    [
        (BOTH, ""),
        (SignSSHAsRequested(cert_types=frozenset()), "cert_types"),
        (SignSSHAsRequested(cert_types=frozenset({1, 2, 3})), "cert_types"),  # type: ignore[arg-type]
        (SignSSHAsRequested(cert_types="user"), "cert_types"),  # type: ignore[arg-type]
        (RevokeAny(kind=CertificateKind.SSH), ""),
        (RevokeAny(kind="ssh"), "kind"),  # type: ignore[arg-type]
    ],
)
def test_a_permit_is_what_its_type_says_or_permits_nothing(permit: Any, fault: str) -> None:
    assert permit_fault(permit) == fault


def test_a_permit_that_is_believed_cannot_be_changed_any_more() -> None:
    mutable = {CertType.USER}
    frozen = frozen_permit(SignSSHAsRequested(cert_types=mutable))  # type: ignore[arg-type]
    assert permit_fault(frozen) == ""
    mutable.add(CertType.HOST)
    assert frozen == SignSSHAsRequested(cert_types=frozenset({CertType.USER}))
