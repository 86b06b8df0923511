"""Every provisioner × operation × route × audience, X.509 and SSH. Only what is declared, and meant, is served.

The provisioners of type ``keyed`` are careless: they look at no audience, and grant whatever they are asked for. An ID
token has no operation in its audience: what it serves follows from who its bearer is, and never from where it is shown.
"""

import asyncio
import base64
import dataclasses
import importlib.util
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from http.client import HTTPSConnection
from itertools import product
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import jwt
import pytest
from cryptography import x509
from tests.security.bearers import WHO, Strangers, strangers
from tests.security.sshorders import held, host, order

from mica import audiences, hookimpl
from mica.authority import Authority
from mica.authorization import PERMITS
from mica.client import renewtoken
from mica.clock import system_clock
from mica.errors import MalformedRequest, MicaError, Refused, Unauthorized
from mica.grants import (
    AddUser,
    CSRNames,
    Exactly,
    Grant,
    OneTime,
    Operation,
    Permit,
    Renew,
    RenewSSH,
    Reusable,
    Revoke,
    RevokeAny,
    RevokeHeld,
    RevokeKeyId,
    SignSSH,
    SignSSHAsRequested,
    SignX509,
    Within,
)
from mica.issuance import sign_token
from mica.keyfiles import generate
from mica.names import dns
from mica.records import CertificateKind, ProvisionerRef, Query
from mica.renewal import renew
from mica.requests import RenewRequest, RevokeRequest, SignRequest, SSHRenewRequest, SSHRevokeRequest
from mica.revocation import revoke_by_token
from mica.roles import kind
from mica.sshcert import CertType, SSHCertificate
from mica.sshissuance import sign_ssh_token
from mica.sshissuers import id_of
from mica.sshkeys import SSHPublicKey
from mica.sshrenewal import renew_ssh
from mica.sshrevocation import revoke_ssh
from mica.testing.ca import TestCA, csr, csr_pem
from mica.testing.exchange import Answer, ask, keep, obtain
from mica.testing.exchange import token as make_token
from mica.testing.line_requests import Reply, send
from mica.testing.plugins import append, enable, install
from mica.testing.service import Service, free_port, served
from mica.web.app import Application, create_app

KEYED = Path(__file__).parents[1] / "strangers/keyed.py"
PASSWORD = "not much of a secret, but a long one"
SIGN, RENEW, REKEY, REVOKE, SSH_SIGN, SSH_RENEW, SSH_REKEY, SSH_REVOKE = Operation
#: Every provisioner of the CA, and what it declares.
DECLARED: dict[str, frozenset[Operation]] = {
    "admin": frozenset(Operation) - {SSH_RENEW, SSH_REKEY},
    "sshpop": frozenset({SSH_RENEW, SSH_REKEY, SSH_REVOKE}),
    "edge": frozenset({SIGN, RENEW, REKEY, REVOKE, SSH_SIGN}),
    "dry": frozenset({SIGN, RENEW, REKEY, REVOKE}),
    "everything": frozenset(Operation),
    "nothing": frozenset(),
    **{f"only {operation}": frozenset({operation}) for operation in Operation},
    **{f"all but {operation}": frozenset(Operation) - {operation} for operation in Operation},
}
CAREFUL = ("admin", "sshpop", "edge", "dry")
#: Those whose tokens say themselves, in their claims, of which kind the certificate is to be.
TELLING = ("admin", "edge", "dry")
#: Every path at which something can be ordered, and what is ordered there.
ROUTES = {
    "/sign": SIGN, "/renew": RENEW, "/re-sign": RENEW, "/rekey": REKEY, "/revoke": REVOKE,
    "/ssh/sign": SSH_SIGN, "/sign-ssh": SSH_SIGN, "/ssh/renew": SSH_RENEW, "/ssh/rekey": SSH_REKEY,
    "/ssh/revoke": SSH_REVOKE,
}  # fmt: skip
AUDIENCES = [
    "/sign", "/renew", "/re-sign", "/rekey", "/revoke", "/ssh/sign", "/sign-ssh", "/ssh/renew", "/ssh/rekey",
    "/ssh/revoke", "/health", "/", "/x509-sign", "/admin/admins", "/acme/new-order",
]  # fmt: skip
NAME = "svc.example"
KEY = generate("EC-P256")
CSR = csr_pem(NAME, key=KEY)
SSH_KEY = base64.b64encode(SSHPublicKey.of(KEY.public_key()).blob).decode()
#: What a token of ``admin`` says of SSH; without it, it is about X.509.
STEP = {"step": {"ssh": {"certType": "host", "principals": [NAME]}}}


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestCA, Strangers]]:
    """A CA with every provisioner there is, and those who have no key in its configuration."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True)
    enable(ca, "keyed")
    for name, operations in DECLARED.items():
        if name not in CAREFUL:
            listed = ", ".join(f'"{operation}"' for operation in sorted(operations))
            table = f'\n[[provisioners]]\ntype = "keyed"\nname = "{name}"\nclaims = {{ enable_ssh_ca = true }}\n'
            append(ca, table + f'password = "{PASSWORD}"\noperations = [{listed}]\n')
    with strangers(ca, tmp_path_factory.mktemp("provider")) as others:
        yield ca, others


@pytest.fixture(scope="module")
def ca(founded: tuple[TestCA, Strangers]) -> TestCA:
    return founded[0]


@pytest.fixture(scope="module")
def others(founded: tuple[TestCA, Strangers]) -> Strangers:
    return founded[1]


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


@asynccontextmanager
async def started(ca: TestCA, plugins: Mapping[str, object]) -> AsyncIterator[Authority]:
    """``ca`` in this process."""
    ca.clock.moment = system_clock()
    authority = ca.authority(plugins)
    await authority.start()
    try:
        yield authority
    finally:
        await authority.aclose()


@pytest.fixture(scope="module")
def keyed() -> object:
    """The stranger's plugin, as a module."""
    spec = importlib.util.spec_from_file_location("keyed", KEYED)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One order: by whom, where, with a token for what, and whether it is to be served."""

    provisioner: str
    path: str
    audience: str
    claims: Mapping[str, Any]
    served: bool

    def token(self, ca: TestCA, others: Strangers, certificate: SSHCertificate, subject: str) -> str:
        """A good token of the provisioner, for the audience."""
        if self.provisioner in ("edge", "dry"):
            return getattr(others, self.provisioner).token(ca, subject, self.audience, sans=[NAME], **self.claims)
        if self.provisioner == "admin":
            return ca.token(subject, self.audience, sans=[NAME], **self.claims)
        if self.provisioner == "sshpop":
            return held(ca, certificate, KEY, self.audience.removeprefix("/1.0"))
        payload = {
            "iss": self.provisioner, "sub": subject, "aud": ca.url + self.audience, "exp": int(time.time()) + 60,
            "jti": uuid4().hex, "sans": [NAME], **self.claims,
        }  # fmt: skip
        header = {"sshpop": base64.b64encode(certificate.blob).decode()}
        return jwt.encode(payload, PASSWORD, "HS256", header)

    @property
    def operation(self) -> Operation:
        """What the path is for."""
        return ROUTES[self.path.removeprefix("/1.0")]


def cases(provisioner: str) -> Iterator[Case]:
    """Every order of the provisioner. Those who look at no audience are asked with half of the ways to write them."""
    versions = product(("", "/1.0"), repeat=2) if provisioner in CAREFUL else (("", "/1.0"), ("/1.0", ""))
    for (prefix, version), route, audience in product(versions, ROUTES, AUDIENCES):
        for claims in ({}, STEP) if provisioner in TELLING else ({},):
            yield Case(
                provisioner=provisioner,
                path=prefix + route,
                audience=version + audience,
                claims=claims,
                served=expected(provisioner, ROUTES[route], audience, about_ssh=bool(claims)),
            )


def expected(provisioner: str, operation: Operation, audience: str, *, about_ssh: bool) -> bool:
    """Whether a token of the provisioner for the audience is served where ``operation`` is ordered."""
    # A route for X.509 renewals takes no provisioner's token: it wants the certificate, or a token that its key signed.
    if operation in (RENEW, REKEY) or operation not in DECLARED[provisioner]:
        return False
    if provisioner in CAREFUL and audiences.PATHS.get(audience) is not operation:
        return False
    # A serial number is one of SSH's by the audience alone.
    return provisioner not in TELLING or operation is SSH_REVOKE or about_ssh is (operation is SSH_SIGN)


@pytest.mark.parametrize("provisioner", [name for name in DECLARED if name not in ("admin", "sshpop", "edge")])
async def test_only_declared_combinations_of_route_and_audience_are_served(
    ca: TestCA, others: Strangers, keyed: object, provisioner: str
) -> None:
    async with started(ca, {"keyed": keyed}) as authority:
        app, certificate = create_app(authority), await host(ca, authority, KEY)

        async def wrong(case: Case) -> object:
            number = str(secrets.randbits(63) + 1)
            own = certificate
            if provisioner == "sshpop" and case.operation is SSH_REVOKE:
                own = await host(ca, authority, KEY) if case.served else certificate
                number = str(own.tbs.serial)
            ott = case.token(ca, others, own, number if case.operation in (REVOKE, SSH_REVOKE) else NAME)
            reply = await post(app, case.path, ott, number)
            is_served = reply.status in (200, 201)
            as_expected = is_served is case.served and (is_served or reply.status in (400, 401))
            return None if as_expected else (case, reply)

        found = [await asyncio.gather(*map(wrong, batch)) for batch in batches(list(cases(provisioner)), 50)]
        assert [each for batch in found for each in batch if each is not None] == []


def batches(orders: list[Case], size: int) -> Iterator[list[Case]]:
    return (orders[start : start + size] for start in range(0, len(orders), size))


async def post(app: Application, path: str, ott: str, number: str, **more: object) -> Reply:
    """An order that would suit every path, with the token in every place where one could stand."""
    body = {"csr": CSR, "publicKey": SSH_KEY, "ott": ott, "serial": number, "passive": True, **more}
    return await send(app, "POST", path, body, {"Authorization": f"Bearer {ott}"})


def details(who: str, path: str) -> dict[str, Any]:
    """What an administrator says of an SSH certificate at ``path``, and an ID token does not."""
    orders_ssh = ROUTES[path.removeprefix("/1.0")] is SSH_SIGN
    return {"certType": "host", "keyID": NAME, "principals": [NAME]} if WHO[who].is_admin and orders_ssh else {}


def id_token_cases(who: str, ca: TestCA) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Paths, claims of an ID token about its audience, and whether its bearer is to be served with them there."""
    login = WHO[who]
    client = login.client
    for prefix, route in product(("", "/1.0"), ROUTES):
        url, may = f"{ca.url}/1.0{route}", ROUTES[route] in login.may
        yield prefix + route, {}, may
        yield prefix + route, {"aud": [client]}, may
        yield prefix + route, {"aud": [client, url], "azp": client}, may
        for aud in (url, f"{url}#oidc/corp", [url], f"{client}x", client.upper(), [client, url], [client, "other"]):
            yield prefix + route, {"aud": aud}, False
        for azp in (url, "plain-2", f"{client} ", client.upper()):
            yield prefix + route, {"azp": azp}, False
            yield prefix + route, {"aud": [client, azp], "azp": azp}, False


@pytest.mark.parametrize("who", WHO)
async def test_an_id_token_serves_what_its_bearer_may_order_and_nothing_else_anywhere(
    ca: TestCA, others: Strangers, keyed: object, who: str
) -> None:
    async with started(ca, {"keyed": keyed}) as authority:
        app, wrong = create_app(authority), []
        for path, claims, served_ in id_token_cases(who, ca):
            ott = others.login(ca, who, **claims)
            reply = await post(app, path, ott, str(secrets.randbits(63) + 1), **details(who, path))
            is_served = reply.status in (200, 201)
            if is_served is not served_ or not (is_served or reply.status in (400, 401)):
                wrong.append((path, claims, reply))
        assert wrong == []


@pytest.mark.parametrize("who", [who for who, login in WHO.items() if login.may])
async def test_one_login_serves_one_order_of_all_that_its_bearer_may_have(
    ca: TestCA, others: Strangers, keyed: object, who: str
) -> None:
    async with started(ca, {"keyed": keyed}) as authority:
        app = create_app(authority)
        for first in [route for route, operation in ROUTES.items() if operation in WHO[who].may]:
            ott, statuses = others.login(ca, who), []
            for route in (first, *ROUTES):
                number = str(secrets.randbits(63) + 1)
                statuses.append((await post(app, route, ott, number, **details(who, route))).status)
            assert statuses[0] in (200, 201), first
            assert set(statuses[1:]) <= {400, 401}, (first, statuses)


@pytest.mark.parametrize("provisioner", ["admin", "everything", "edge"])
def test_over_https_the_matrix_is_the_same(
    connection: HTTPSConnection, service: Service, others: Strangers, provisioner: str
) -> None:
    wrong = []
    certificate = SSHCertificate.decode(base64.b64decode(obtain_ssh(service).json["crt"]))
    for route, audience in product(ROUTES, audiences.PATHS):
        about_ssh = audience == "/ssh/sign"
        claims = STEP if about_ssh else {}
        served_ = expected(provisioner, ROUTES[route], audience, about_ssh=about_ssh)
        case = Case(provisioner=provisioner, path=route, audience=audience, claims=claims, served=served_)
        number = str(secrets.randbits(63) + 1)
        ott = case.token(service.ca, others, certificate, number if case.operation in (REVOKE, SSH_REVOKE) else NAME)
        answer = over_https(connection, route, ott, number)
        if (answer.status in (200, 201)) is not served_:
            wrong.append((case, answer))
    assert wrong == []


def over_https(connection: HTTPSConnection, path: str, ott: str, number: str) -> Answer:
    body = json.dumps({"csr": CSR, "publicKey": SSH_KEY, "ott": ott, "serial": number, "passive": True})
    connection.request("POST", path, body, {"Authorization": f"Bearer {ott}"})
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def obtain_ssh(service: Service) -> Answer:
    """A host's certificate for ``KEY``."""
    service.ca.clock.moment = system_clock()
    ott = service.ca.ssh_token(NAME, "host", [NAME])
    return ask(service, "POST", "/ssh/sign", {"publicKey": SSH_KEY, "ott": ott})


def token(service: Service, others: Strangers, provisioner: str, subject: str, audience: str) -> str:
    """A good token of the provisioner, for an X.509 certificate."""
    if provisioner in ("edge", "dry"):
        service.ca.clock.moment = system_clock()
        return str(getattr(others, provisioner).token(service.ca, subject, audience, sans=[NAME]))
    if provisioner == "admin":
        return make_token(service, subject, audience, sans=[NAME])
    payload = {
        "iss": provisioner, "sub": subject, "aud": service.ca.url + audience, "exp": int(time.time()) + 60,
        "jti": uuid4().hex, "sans": [NAME],
    }  # fmt: skip
    return jwt.encode(payload, PASSWORD, "HS256")


async def test_a_token_that_speaks_of_both_kinds_serves_one_at_most(ca: TestCA, keyed: object) -> None:
    """``sans`` beside ``step.ssh``, an audience for each kind, and both: never does one token give two things."""
    both_audiences = [f"{ca.url}/1.0/sign", f"{ca.url}/1.0/ssh/sign"]
    orders: dict[str, tuple[dict[str, Any], set[str]]] = {
        "both claims, for SSH": ({"aud": f"{ca.url}/ssh/sign", "sans": [NAME], **STEP}, {"/ssh/sign"}),
        "both claims, for X.509": ({"aud": f"{ca.url}/sign", "sans": [NAME], **STEP}, set()),
        "both audiences, for SSH": ({"aud": both_audiences, **STEP}, set()),
        "both audiences, for X.509": ({"aud": both_audiences, "sans": [NAME]}, set()),
        "both of both": ({"aud": both_audiences[::-1], "sans": [NAME], **STEP}, set()),
        "one audience twice": ({"aud": [both_audiences[1], f"{ca.url}/ssh/sign"], **STEP}, {"/ssh/sign"}),
        "an audience elsewhere": ({"aud": ["https://evil.example/sign", both_audiences[1]], **STEP}, {"/ssh/sign"}),
    }
    async with started(ca, {"keyed": keyed}) as authority:
        app = create_app(authority)
        for name, (claims, wanted) in orders.items():
            ott = ca.token(NAME, **claims)
            paths = ["/sign", "/ssh/sign"] * 2
            replies = [(path, await post(app, path, ott, "4711")) for path in paths]
            assert {path for path, reply in replies if reply.status == 201} == wanted, name
            assert sum(reply.status == 201 for _, reply in replies) == len(wanted), name


async def test_a_careless_provisioners_token_is_spent_for_both_kinds(
    ca: TestCA, others: Strangers, keyed: object
) -> None:
    """It would grant everything to everybody; that one token serves once is the core's promise."""
    async with started(ca, {"keyed": keyed}) as authority:
        app, certificate = create_app(authority), await host(ca, authority, KEY)
        for first, second in (("/sign", "/ssh/sign"), ("/ssh/sign", "/sign"), ("/ssh/renew", "/ssh/sign")):
            case = Case(provisioner="everything", path=first, audience="/", claims={}, served=True)
            ott = case.token(ca, others, certificate, NAME)
            assert (await post(app, first, ott, "4711")).status == 201
            assert (await post(app, second, ott, "4711")).status == 401


@pytest.mark.parametrize("provisioner", [name for name, declared in DECLARED.items() if SIGN in declared])
def test_renewal_and_rekey_are_served_where_the_provisioner_declares_them(
    service: Service, others: Strangers, tmp_path: Path, provisioner: str
) -> None:
    ott = token(service, others, provisioner, NAME, "/1.0/sign")
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
    readable = [
        "/health", "/version", "/roots", "/federation", "/intermediates", "/provisioners", "/roots.pem",
        "/ssh/roots", "/ssh/federation", "/ssh/hosts", "/ssh/get-hosts", "/ssh/krl",
    ]  # fmt: skip
    asked = ["/ssh/config", "/ssh/config/user", "/ssh/check-host", "/ssh/bastion"]
    for path in [*ROUTES, *asked, *readable]:
        status = ask(service, method, path).status
        own = ("GET", "HEAD") if path in readable else ("POST",)
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


def test_every_operation_has_its_own_kinds_of_permit() -> None:
    assert {
        SIGN: ((SignX509,),),
        RENEW: ((Renew,),),
        REKEY: ((Renew,),),
        REVOKE: ((Revoke,), (RevokeAny,)),
        SSH_SIGN: ((SignSSH,), (SignSSH, AddUser), (SignSSHAsRequested,)),
        SSH_RENEW: ((RenewSSH,),),
        SSH_REKEY: ((RenewSSH,),),
        SSH_REVOKE: ((Revoke,), (RevokeAny,), (RevokeKeyId,), (RevokeHeld,)),
    } == PERMITS
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

    ca = TestCA.found(tmp_path / "ca", ssh=True)
    table = 'type = "answering"\nname = "answering"\nclaims = { enable_ssh_ca = true }'
    append(ca, f"\n[[provisioners]]\n{table}\n")
    enable(ca, "answering")
    async with started(ca, {"answering": Plugin()}) as built:
        yield built


def grant(authority: Authority, operation: Operation, *permits: Any, **changes: Any) -> Grant:
    now = authority.now()
    good = Grant(
        provisioner=ProvisionerRef(name="answering", type="Answering"),
        operation=operation,
        subject=NAME,
        spend=OneTime(id=uuid4().hex, until=now + timedelta(hours=1)),
        expires_at=now + timedelta(minutes=5),
        permits=permits,
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


Verb = Callable[[Authority], Awaitable[object]]
#: Everything that a token can order.
VERBS: dict[Operation, Verb] = {
    SIGN: lambda authority: sign_token(authority, SignRequest(csr=csr(NAME)), own_token()),
    REVOKE: lambda authority: revoke_by_token(authority, RevokeRequest(serial_number=5), own_token()),
    SSH_SIGN: lambda authority: sign_ssh_token(authority, order(), own_token()),
    SSH_RENEW: lambda authority: renew_ssh(authority, SSHRenewRequest(), own_token()),
    SSH_REKEY: lambda authority: renew_ssh(authority, SSHRenewRequest(public_key=order().public_key), own_token()),
    SSH_REVOKE: lambda authority: revoke_ssh(authority, SSHRevokeRequest(serial_number=5), own_token()),
}
SSH_PERMIT = SignSSH(cert_type=CertType.USER, key_id=NAME, principals=Exactly(names=("alice",)))


async def test_a_grant_for_one_operation_serves_no_other(authority: Authority, answering: Answering) -> None:
    answering.answer = lambda operation: grant(
        authority, operation, dataclasses.replace(SSH_PERMIT, cert_type=CertType.HOST)
    )
    blob = (await sign_ssh_token(authority, order(), own_token())).certificate
    add = AddUser(account="alice")
    permits: list[tuple[Permit, ...]] = [
        (PERMIT,), (SSH_PERMIT,), (SSH_PERMIT, add), (add,), (add, SSH_PERMIT), (PERMIT, add), (PERMIT, SSH_PERMIT),
        (RenewSSH(certificate=blob),), (RevokeHeld(certificate=blob),), (RevokeKeyId(key_id=NAME),),
        (Revoke(kind=CertificateKind.X509, serial_numbers=(5,)),),
        (Revoke(kind=CertificateKind.SSH, serial_numbers=(5,)),),
    ]  # fmt: skip
    good = {
        (SIGN, SIGN, 0), (REVOKE, REVOKE, 10), (SSH_SIGN, SSH_SIGN, 1), (SSH_SIGN, SSH_SIGN, 2),
        (SSH_RENEW, SSH_RENEW, 7), (SSH_REKEY, SSH_REKEY, 7), (SSH_REVOKE, SSH_REVOKE, 11),
    }  # fmt: skip
    granted = set()
    for (asked, verb), operation, number in product(VERBS.items(), Operation, range(len(permits))):
        answering.answer = lambda _, operation=operation, number=number: grant(  # type: ignore[misc]
            authority, operation, *permits[number]
        )
        try:
            await verb(authority)
        except (Refused, Unauthorized):
            continue
        granted.add((asked, operation, number))
    assert granted == good


@pytest.mark.parametrize(
    "changes",
    [
        {"cert_type": 1}, {"cert_type": "user"}, {"cert_type": None}, {"cert_type": 3},
        {"key_id": ""}, {"key_id": None}, {"key_id": b"alice"}, {"key_id": "a\nb"}, {"key_id": "a\x00b"},
        {"key_id": "\ud800"}, {"key_id": "\u202eroot"},
        {"principals": None}, {"principals": ("alice",)}, {"principals": Exactly(names=())},
        {"principals": Within(names=())}, {"principals": Exactly(names=cast("Any", "alice"))},
        {"principals": Exactly(names=cast("Any", (b"alice",)))}, {"principals": Exactly(names=cast("Any", (None,)))},
        {"principals": Exactly(names=cast("Any", (dns(NAME),)))}, {"principals": Exactly(names=("alice", ""))},
        {"principals": Exactly(names=("\ud800",))}, {"principals": Unknown()},
        {"valid_after": "now"}, {"valid_before": 5}, {"valid_before": timedelta(days=400000)},
        {"valid_before": timedelta(hours=25)}, {"valid_before": timedelta(minutes=-1)},
        {"valid_after": timedelta(days=9)},
        {"not_after": "never"}, {"not_before": 0},
        {"critical_options": None}, {"critical_options": {"force-command": "date"}},
        {"critical_options": ("force-command",)}, {"critical_options": (("force-command", None),)},
        {"critical_options": (("verify-required", ""), ("force-command", "date"))},
        {"critical_options": (("force-command", "date"), ("force-command", "sh"))},
        {"critical_options": (("permit-pty", ""),)}, {"critical_options": (("", ""),)},
        {"critical_options": (("force-command", "\ud800"),)}, {"critical_options": (("source-address", ""),)},
        {"extensions": {"permit-pty": ""}}, {"extensions": "permit-pty"}, {"extensions": (("permit-everything", ""),)},
        {"extensions": (("permit-pty", ""), ("permit-pty", ""))}, {"extensions": (("", ""),)},
        {"extensions": (("login\x1b@example", ""),)}, {"extensions": (("\x00@example", ""),)},
        {"cert_type": CertType.HOST, "critical_options": (("force-command", "date"),)},
        {"cert_type": CertType.HOST, "extensions": (("permit-pty", ""),)},
    ],
    ids=ascii,
)  # fmt: skip
async def test_an_ssh_permit_of_unknown_kind_or_content_permits_nothing(
    authority: Authority, answering: Answering, changes: dict[str, Any]
) -> None:
    permit = dataclasses.replace(SSH_PERMIT, **changes)
    answering.answer = lambda operation: grant(authority, operation, permit)
    with pytest.raises((Refused, Unauthorized, MalformedRequest)):
        await sign_ssh_token(authority, order(), own_token())
    assert not (await authority.store.search(Query(now=authority.now(), kind=CertificateKind.SSH))).rows


async def test_an_account_is_made_for_a_user_alone_and_never_without_a_plain_name(
    authority: Authority, answering: Answering
) -> None:
    wish = order(add_user_public_key=order().public_key)
    host_permit = dataclasses.replace(SSH_PERMIT, cert_type=CertType.HOST)
    good, bad = AddUser(account="alice"), ("", "Alice", "a;b", "root\n", "-m", "\u0430lice", "a" * 33, None, b"alice")
    orders: list[tuple[Any, ...]] = [(SSH_PERMIT, AddUser(account=cast("Any", account))) for account in bad]
    for permits in [*orders, (host_permit, good), (SSH_PERMIT, good, good), (SSH_PERMIT, SSH_PERMIT)]:
        answering.answer = lambda operation, permits=permits: grant(authority, operation, *permits)  # type: ignore[misc]
        with pytest.raises((Refused, Unauthorized)):
            await sign_ssh_token(authority, wish, own_token())
    assert not (await authority.store.search(Query(now=authority.now(), kind=CertificateKind.SSH))).rows
    answering.answer = lambda operation: grant(authority, operation, SSH_PERMIT, good)
    assert (await sign_ssh_token(authority, wish, own_token())).add_user is not None


@pytest.mark.parametrize(
    "permit",
    [
        Revoke(kind=CertificateKind.X509, serial_numbers=(5,)),
        Revoke(kind=cast("Any", "both"), serial_numbers=(5,)),
        Revoke(kind=CertificateKind.SSH, serial_numbers=(6,)),
        Revoke(kind=CertificateKind.SSH, serial_numbers=()),
        Revoke(kind=CertificateKind.SSH, serial_numbers=cast("Any", ("5",))),
        RevokeKeyId(key_id="5"), RevokeKeyId(key_id=""), RevokeKeyId(key_id=cast("Any", 5)),
        RevokeHeld(certificate=b""), RevokeHeld(certificate=cast("Any", "5")), RevokeHeld(certificate=b"\0" * 100),
        RenewSSH(certificate=b""),
    ],
    ids=str,
)  # fmt: skip
async def test_a_permit_to_end_another_ssh_certificate_ends_nothing(
    authority: Authority, answering: Answering, permit: Any
) -> None:
    answering.answer = lambda operation: grant(authority, operation, permit)
    with pytest.raises((Refused, Unauthorized)):
        await VERBS[SSH_REVOKE](authority)
    assert authority.ssh is not None
    ids = [id_of(key, 5) for _, key in authority.ssh.all_keys()] + [authority.issuer.id_of(5)]
    assert [await authority.store.revocation(id) for id in ids] == [None] * 3


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
    for verb in VERBS.values():
        with pytest.raises(MicaError):
            await verb(authority)
