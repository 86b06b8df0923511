"""Every provisioner × operation × route × audience. Only what is declared is served.

The provisioners of type ``keyed`` are careless: they look at no audience, and grant whatever they are asked for.
"""

import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPSConnection
from itertools import product
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import jwt
import pytest
from cryptography import x509

from mica import audiences, hookimpl
from mica.authority import Authority
from mica.authorization import PERMITS
from mica.client import renewtoken
from mica.clock import system_clock
from mica.errors import MicaError, Refused, Unauthorized
from mica.grants import CSRNames, Exactly, Grant, OneTime, Operation, Renew, Reusable, Revoke, SignX509
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.names import dns
from mica.records import CertificateKind, ProvisionerRef
from mica.renewal import renew
from mica.requests import RenewRequest, RevokeRequest, SignRequest
from mica.revocation import revoke_by_token
from mica.roles import kind
from mica.testing.ca import TestCA, csr, csr_pem
from mica.testing.exchange import Answer, ask, keep, obtain
from mica.testing.exchange import token as make_token
from mica.testing.plugins import append, enable, install
from mica.testing.service import Service, free_port, served

KEYED = Path(__file__).parents[1] / "strangers/keyed.py"
PASSWORD = "not much of a secret, but a long one"
SIGN, RENEW, REKEY, REVOKE = Operation
#: Every provisioner of the CA, and what it declares.
DECLARED: dict[str, frozenset[Operation]] = {
    "admin": frozenset(Operation),
    "everything": frozenset(Operation),
    "nothing": frozenset(),
    **{f"only {operation}": frozenset({operation}) for operation in Operation},
    **{f"all but {operation}": frozenset(Operation) - {operation} for operation in Operation},
}
#: Every path at which something can be ordered, and what is ordered there.
ROUTES = {"/sign": SIGN, "/renew": RENEW, "/re-sign": RENEW, "/rekey": REKEY, "/revoke": REVOKE}
AUDIENCES = [
    "/sign", "/renew", "/re-sign", "/rekey", "/revoke", "/ssh/sign", "/ssh/renew", "/ssh/rekey", "/ssh/revoke",
    "/health", "/", "/x509-sign", "/admin/admins", "/acme/new-order",
]  # fmt: skip
NAME = "svc.example"
KEY = generate("EC-P256")
CSR = csr_pem(NAME, key=KEY)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port())
    enable(ca, "keyed")
    for name, operations in DECLARED.items():
        if name != "admin":
            listed = ", ".join(f'"{operation}"' for operation in sorted(operations))
            table = f'\n[[provisioners]]\ntype = "keyed"\nname = "{name}"\n'
            append(ca, table + f'password = "{PASSWORD}"\noperations = [{listed}]\n')
    return ca


@pytest.fixture(scope="module")
def service(ca: TestCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    site = tmp_path_factory.mktemp("site")
    install(site, KEYED)
    with served(ca, workers=1, site=site) as running:
        yield running


@pytest.fixture(scope="module")
def connection(service: Service) -> Iterator[HTTPSConnection]:
    with closing(service.connect()) as connection:
        yield connection


def post(connection: HTTPSConnection, path: str, ott: str, serial: str) -> Answer:
    """The order that suits the path, with the token in every place where one could stand."""
    body = json.dumps({"csr": CSR, "ott": ott, "serial": serial, "passive": True})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {ott}"}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def token(service: Service, provisioner: str, subject: str, audience: str) -> str:
    """A good token of the provisioner, for the audience."""
    if provisioner == "admin":
        return make_token(service, subject, audience, sans=[NAME])
    payload = {
        "iss": provisioner, "sub": subject, "aud": service.ca.url + audience, "exp": int(time.time()) + 60,
        "jti": uuid4().hex, "sans": [NAME],
    }  # fmt: skip
    return jwt.encode(payload, PASSWORD, "HS256")


def expected(provisioner: str, route: str, audience: str) -> bool:
    """Whether a token of the provisioner for the audience is served at the route."""
    operation = ROUTES[route]
    # A route for renewals takes no provisioner's token: it wants the certificate, or a token that its key signed.
    if operation not in (SIGN, REVOKE) or operation not in DECLARED[provisioner]:
        return False
    return provisioner != "admin" or audiences.PATHS.get(audience.removeprefix("/1.0")) is operation


@pytest.mark.parametrize("provisioner", DECLARED)
def test_only_declared_combinations_of_route_and_audience_are_served(
    connection: HTTPSConnection, service: Service, provisioner: str
) -> None:
    wrong = []
    for route, prefix, audience, version in product(ROUTES, ("", "/1.0"), AUDIENCES, ("", "/1.0")):
        number = str(uuid4().int)
        subject = number if ROUTES[route] is REVOKE else NAME
        ott = token(service, provisioner, subject, version + audience)
        answer = post(connection, prefix + route, ott, number)
        served_ = answer.status in (200, 201)
        as_expected = served_ is expected(provisioner, route, version + audience)
        if not as_expected or not (served_ or answer.status in (400, 401)):
            wrong.append((prefix + route, version + audience, answer))
    assert wrong == []


@pytest.mark.parametrize("provisioner", [name for name, declared in DECLARED.items() if SIGN in declared])
def test_renewal_and_rekey_are_served_where_the_provisioner_declares_them(
    service: Service, tmp_path: Path, provisioner: str
) -> None:
    ott = token(service, provisioner, NAME, "/1.0/sign")
    signed = ask(service, "POST", "/sign", {"csr": CSR, "ott": ott})
    assert signed.status == 201, signed
    credential = keep(tmp_path, "".join(signed.json["certChain"]), KEY)
    for route in ("/renew", "/re-sign", "/rekey"):
        answer = ask(service, "POST", route, {"csr": csr_pem()}, credential=credential)
        wanted = 201 if ROUTES[route] in DECLARED[provisioner] else 401
        assert answer.status == wanted, (route, answer)


def test_a_certificate_signs_nothing_and_revokes_nothing_but_itself(service: Service, tmp_path: Path) -> None:
    mine, other = obtain(service, tmp_path, NAME), obtain(service, tmp_path, NAME)
    assert ask(service, "POST", "/sign", {"csr": CSR}, credential=mine).status == 400
    assert ask(service, "POST", "/sign", {"csr": CSR, "ott": "x"}, credential=mine).status == 401
    order = {"serial": str(other.leaf.serial_number), "passive": True}
    assert ask(service, "POST", "/revoke", order, credential=mine).status == 403
    # A token that is no good is not made up for by a certificate that is.
    order = {"serial": str(mine.leaf.serial_number), "passive": True, "ott": "x"}
    assert ask(service, "POST", "/revoke", order, credential=mine).status == 401
    for credential in (mine, other):
        assert ask(service, "POST", "/renew", credential=credential).status == 201


def test_a_renew_token_is_of_no_use_elsewhere(service: Service, tmp_path: Path) -> None:
    credential = obtain(service, tmp_path, NAME)
    serial = str(credential.leaf.serial_number)
    made = renewtoken.make(service.ca.url, credential.chain, credential.private_key, not_before=system_clock())
    assert ask(service, "POST", "/sign", {"csr": CSR, "ott": made}).status == 401
    assert ask(service, "POST", "/revoke", {"serial": serial, "passive": True, "ott": made}).status == 401
    assert ask(service, "POST", "/rekey", {"csr": csr_pem()}, headers={"Authorization": f"Bearer {made}"}).status == 400
    for scheme in ("Basic", "Digest", "Token", "bearer-x", ""):
        answer = ask(service, "POST", "/renew", headers={"Authorization": f"{scheme} {made}".strip()})
        assert answer.status == 400, scheme
    assert ask(service, "POST", "/renew", headers={"Authorization": f"Bearer {made}"}).status == 201


@pytest.mark.parametrize(
    "method",
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "post", "PURGE", "LOCK"],
)
def test_no_route_answers_a_method_that_it_does_not_have(service: Service, method: str) -> None:
    """A method that the parser does not know is malformed; one that a route does not have is not allowed."""
    readable = ["/health", "/version", "/roots", "/federation", "/intermediates", "/provisioners", "/roots.pem"]
    for path in [*ROUTES, *readable]:
        status = ask(service, method, path).status
        own = ("POST",) if path in ROUTES else ("GET", "HEAD")
        assert (status in (200, 201, 400)) if method in own else (status in (400, 405)), (path, status)


# Unknown values


@pytest.mark.parametrize("code", [-1, 11, 255, 2**31, 2**63, 10**30, 1.5, "1", "keyCompromise", True, [1], {}])
def test_an_unknown_reason_of_revocation_is_refused(service: Service, code: Any) -> None:
    order = {"serial": "77", "passive": True, "reasonCode": code, "ott": make_token(service, "77", "/1.0/revoke")}
    assert ask(service, "POST", "/revoke", order).status == 400


@pytest.mark.parametrize("passive", [None, False, "true", 1, "yes", []])
def test_only_passive_revocation_is_served(service: Service, passive: Any) -> None:
    order = {"serial": "78", "passive": passive, "ott": make_token(service, "78", "/1.0/revoke")}
    assert ask(service, "POST", "/revoke", order).status in (400, 501)


def test_every_operation_has_its_one_kind_of_permit() -> None:
    assert {SIGN: SignX509, RENEW: Renew, REKEY: Renew, REVOKE: Revoke} == PERMITS
    assert set(audiences.PATHS.values()) <= set(Operation)


class Answering:
    """A provisioner that answers every question as told."""

    name = "answering"
    type = "Answering"
    operations = frozenset(Operation)

    def __init__(self) -> None:
        self.answer: Callable[[Operation], Any] = lambda operation: None

    def describe(self) -> dict[str, Any]:
        return {}

    def recognizes(self, token: Any) -> bool:
        return bool(token.issuer == self.name)

    async def authorize(self, token: Any, operation: Operation) -> Any:
        return self.answer(operation)

    async def authorize_renewal(self, issuance: Any, operation: Operation) -> Any:
        return self.answer(operation)


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
async def authority(tmp_path: Path, answering: Answering) -> AsyncIterator[Authority]:
    """An authority whose second provisioner is ``answering``."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        name: str

    class Plugin:
        @hookimpl
        def register_provisioners(self) -> Any:
            return [kind("answering", Config, lambda config, context: cast("Any", answering))]

    ca = TestCA.found(tmp_path / "ca")
    append(ca, '\n[[provisioners]]\ntype = "answering"\nname = "answering"\n')
    enable(ca, "answering")
    built = ca.authority({"answering": Plugin()})
    await built.start()
    yield built
    await built.aclose()


def grant(authority: Authority, operation: Operation, permit: Any, **changes: Any) -> Grant:
    now = authority.now()
    good = Grant(
        provisioner=ProvisionerRef(name="answering", type="Answering"),
        operation=operation,
        subject=NAME,
        spend=OneTime(id=uuid4().hex, until=now + timedelta(hours=1)),
        expires_at=now + timedelta(minutes=5),
        permits=(permit,),
    )
    return dataclasses.replace(good, **changes)


def own_token() -> str:
    return jwt.encode({"iss": "answering", "sub": NAME, "aud": "x", "exp": 2**33}, PASSWORD, "HS256")


PERMIT = SignX509(subject_common_name=NAME, names=Exactly(names=(dns(NAME),)), common_names=frozenset({NAME}))


class Unknown:
    """A value of no kind that the core knows."""

    names = (dns(NAME), dns("smuggled.example"))
    kinds = frozenset({x509.DNSName})
    reason = "because"
    id = "x"

    def __repr__(self) -> str:
        return "Unknown()"


@pytest.mark.parametrize(
    "permit",
    [
        None,
        "x509-sign",
        Unknown(),
        Revoke(kind=CertificateKind.X509, serial_numbers=(1,)),
        dataclasses.replace(PERMIT, names=cast("Any", Unknown())),
        dataclasses.replace(PERMIT, names=cast("Any", None)),
        dataclasses.replace(PERMIT, csr_names=cast("Any", "IGNORED")),
        dataclasses.replace(PERMIT, csr_names=cast("Any", None)),
        dataclasses.replace(PERMIT, signer="ssh"),
        dataclasses.replace(PERMIT, signer=cast("Any", None)),
        dataclasses.replace(PERMIT, ca=True),
        dataclasses.replace(PERMIT, ca=cast("Any", "no")),
        dataclasses.replace(PERMIT, extended_key_usages=cast("Any", ("serverAuth",))),
        dataclasses.replace(PERMIT, extended_key_usages=()),
        dataclasses.replace(PERMIT, subject_common_name=cast("Any", None)),
        dataclasses.replace(PERMIT, confirmation=cast("Any", "x" * 32)),
        dataclasses.replace(PERMIT, common_names=cast("Any", NAME)),
    ],
    ids=str,
)
async def test_a_permit_of_unknown_kind_or_content_permits_nothing(
    authority: Authority, answering: Answering, permit: Any
) -> None:
    """The CSR has a name of its own, which a rule that nobody knows must not let through."""
    answering.answer = lambda operation: grant(authority, operation, permit)
    wish = SignRequest(csr=csr("smuggled.example", common_name=""))
    if isinstance(permit, SignX509) and (permit.csr_names is CSRNames.MUST_MATCH and isinstance(permit.names, Exactly)):
        wish = SignRequest(csr=csr(NAME))
    with pytest.raises((Refused, Unauthorized)):
        await sign_token(authority, wish, own_token())


async def test_the_permit_that_those_were_made_from_is_good(authority: Authority, answering: Answering) -> None:
    answering.answer = lambda operation: grant(authority, operation, PERMIT)
    await sign_token(authority, SignRequest(csr=csr(NAME)), own_token())


@pytest.mark.parametrize(
    "changes",
    [{"operation": operation} for operation in (RENEW, REKEY, REVOKE, "x509-sign", "ssh-sign", None, "x509-frobnicate")]
    + [{"spend": spend} for spend in (None, "once", Unknown(), Reusable(reason=""))]
    + [{"permits": ()}, {"permits": (PERMIT, PERMIT)}, {"permits": None}, {"permits": PERMIT}]
    + [{"expires_at": None}, {"expires_at": "never"}, {"subject": None}, {"subject": ""}]
    + [{"provisioner": None}, {"provisioner": ProvisionerRef(name="admin", type="JWK")}],
    ids=str,
)
async def test_a_grant_of_unknown_kind_or_content_grants_nothing(
    authority: Authority, answering: Answering, changes: dict[str, Any]
) -> None:
    answering.answer = lambda operation: grant(authority, operation, PERMIT, **changes)
    with pytest.raises((Refused, Unauthorized)):
        await sign_token(authority, SignRequest(csr=csr(NAME)), own_token())


async def test_a_grant_for_one_operation_serves_no_other(authority: Authority, answering: Answering) -> None:
    revoke = Revoke(kind=CertificateKind.X509, serial_numbers=(5,))
    for operation, permit in product(Operation, (PERMIT, revoke)):
        answering.answer = lambda _, operation=operation, permit=permit: grant(authority, operation, permit)  # type: ignore[misc]
        if (operation, permit) != (SIGN, PERMIT):
            with pytest.raises((Refused, Unauthorized)):
                await sign_token(authority, SignRequest(csr=csr(NAME)), own_token())
        if (operation, permit) != (REVOKE, revoke):
            with pytest.raises((Refused, Unauthorized)):
                await revoke_by_token(authority, RevokeRequest(serial_number=5), own_token())


@pytest.mark.parametrize(
    "permit",
    [
        Revoke(kind=CertificateKind.SSH, serial_numbers=(5,)),
        Revoke(kind=cast("Any", "x509-and-ssh"), serial_numbers=(5,)),
        Revoke(kind=CertificateKind.X509, serial_numbers=(6,)),
        Revoke(kind=CertificateKind.X509, serial_numbers=()),
        Revoke(kind=CertificateKind.X509, serial_numbers=cast("Any", ("5",))),
    ],
    ids=str,
)
async def test_a_permit_to_revoke_another_certificate_revokes_nothing(
    authority: Authority, answering: Answering, permit: Revoke
) -> None:
    """Serial numbers of X.509 and of SSH are different namespaces: the same number is another certificate."""
    answering.answer = lambda operation: grant(authority, operation, permit)
    with pytest.raises((Refused, Unauthorized)):
        await revoke_by_token(authority, RevokeRequest(serial_number=5), own_token())
    assert await authority.store.revocation(authority.issuer.id_of(5)) is None


async def test_a_grant_to_renew_one_certificate_renews_no_other(authority: Authority, answering: Answering) -> None:
    answering.answer = lambda operation: grant(authority, operation, PERMIT)
    mine, other = [await sign_token(authority, SignRequest(csr=csr(NAME)), own_token()) for _ in range(2)]
    reusable = Reusable(reason="possession of the key")
    wish = RenewRequest(certificate=x509.load_der_x509_certificate(mine.certificate))
    wrong: list[tuple[Operation, Any]] = [
        (RENEW, Renew(certificate=other.issuance)),
        (
            RENEW,
            Renew(certificate=dataclasses.replace(mine.issuance, not_after=other.issuance.not_after + timedelta(1))),
        ),
        (REKEY, Renew(certificate=mine.issuance)),
        (SIGN, Renew(certificate=mine.issuance)),
        (RENEW, PERMIT),
        (RENEW, Unknown()),
    ]
    for operation, permit in wrong:
        answering.answer = lambda _, operation=operation, permit=permit: grant(  # type: ignore[misc]
            authority, operation, permit, spend=reusable
        )
        with pytest.raises((Refused, Unauthorized)):
            await renew(authority, wish)
    answering.answer = lambda operation: grant(authority, operation, Renew(certificate=mine.issuance), spend=reusable)
    await renew(authority, wish)


@pytest.mark.parametrize("answer", [None, True, 1, "granted", {}, [], Unknown(), Grant, PERMIT], ids=str)
async def test_an_answer_that_is_no_grant_grants_nothing(
    authority: Authority, answering: Answering, answer: Any
) -> None:
    answering.answer = lambda operation: answer
    with pytest.raises((Refused, Unauthorized)):
        await sign_token(authority, SignRequest(csr=csr(NAME)), own_token())
    with pytest.raises(MicaError):
        await revoke_by_token(authority, RevokeRequest(serial_number=5), own_token())
