"""Holders of certificates (X5C) and users of a provider (OIDC): what they may not have, they do not get."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from tests.security.bearers import CLIENT_ID, USER, Strangers, strangers

from mica.authority import Authority
from mica.clock import system_clock
from mica.keyfiles import generate
from mica.records import CertificateKind, Query
from mica.sshcert import SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA, csr_pem
from mica.testing.csr_contents import NAME
from mica.testing.exchange import ask, keep
from mica.testing.line_requests import send
from mica.testing.openid import KEYS
from mica.testing.service import Service, free_port, served
from mica.testing.webserver import Reply
from mica.web.app import Application, create_app

KEY = generate("EC-P256")
CSR = csr_pem(NAME, key=KEY)
SSH_KEY = base64.b64encode(SSHPublicKey.of(KEY.public_key()).blob).decode()
STEP = {"step": {"ssh": {"certType": "host", "keyID": NAME, "principals": [NAME]}}}
REFUSED = (400, 401, 403)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestCA, Strangers]]:
    """A CA, and those who come to it from elsewhere."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True)
    with strangers(ca, tmp_path_factory.mktemp("provider")) as others:
        yield ca, others


@pytest.fixture(scope="module")
def others(founded: tuple[TestCA, Strangers]) -> Strangers:
    return founded[1]


@pytest.fixture(scope="module")
def service(founded: tuple[TestCA, Strangers]) -> Iterator[Service]:
    """The CA served by two workers; whatever the tests did, they are the same processes in the end, and well."""
    with served(founded[0]) as running:
        workers = running.workers()
        yield running
        assert ask(running, "GET", "/health").status == 200
        assert running.workers() == workers
        log = running.log.read_text()
        assert "Traceback" not in log and "please report" not in log


@pytest.fixture
def ca(founded: tuple[TestCA, Strangers]) -> TestCA:
    """The CA at the present time."""
    founded[0].clock.moment = system_clock()
    return founded[0]


@pytest.fixture
def app(authority: Authority) -> Application:
    return create_app(authority)


def order(ott: str, serial: str = "4711", **more: object) -> dict[str, Any]:
    """An order that would suit every route."""
    return {"csr": CSR, "publicKey": SSH_KEY, "ott": ott, "serial": serial, "passive": True, **more}


# Authorised for A, acts on B


async def test_a_holders_token_ends_the_certificate_that_it_names_and_no_other(
    ca: TestCA, others: Strangers, authority: Authority, app: Application
) -> None:
    serials = [await serial_of_new(ca, others, app) for _ in range(2)]
    ott = others.edge.token(ca, serials[0], "/1.0/revoke")
    for serial in (serials[1], f"0{serials[0]}", f"-{serials[0]}", f"{serials[0]}0", hex(int(serials[0]))):
        reply = await send(app, "POST", "/revoke", order(ott, serial))
        assert serial == hex(int(serials[0])) or reply.status in REFUSED, (serial, reply)
        assert await authority.store.revocation(authority.issuer.id_of(int(serials[1]))) is None
    await send(app, "POST", "/revoke", order(ott, serials[0]))
    assert await authority.store.revocation(authority.issuer.id_of(int(serials[0]))) is not None
    assert (await send(app, "POST", "/revoke", order(ott, serials[1]))).status in REFUSED
    assert await authority.store.revocation(authority.issuer.id_of(int(serials[1]))) is None


async def test_a_user_ends_nothing_not_even_a_certificate_of_their_own(
    ca: TestCA, others: Strangers, authority: Authority, app: Application
) -> None:
    own = await send(app, "POST", "/sign", order(others.login(ca)))
    serial = x509.load_pem_x509_certificate(own.json["crt"].encode()).serial_number
    ssh = await send(app, "POST", "/ssh/sign", order(others.login(ca)))
    ssh_serial = SSHCertificate.decode(base64.b64decode(ssh.json["crt"])).tbs.serial
    for path, number in (("/revoke", serial), ("/ssh/revoke", ssh_serial)):
        reply = await send(app, "POST", path, order(others.login(ca), str(number)))
        assert reply.status in REFUSED
    by_key_id = {"keyID": USER, "passive": True, "ott": others.login(ca)}
    assert (await send(app, "POST", "/ssh/revoke", by_key_id)).status in REFUSED
    assert await authority.store.revocation(authority.issuer.id_of(serial)) is None
    found = await authority.store.search(Query(now=ca.clock(), kind=CertificateKind.SSH, subject=USER))
    assert [row.revocation for row in found.rows if row.issuance.id.serial_number == ssh_serial] == [None]


async def test_a_token_for_one_provisioner_is_none_for_its_neighbour(
    ca: TestCA, others: Strangers, app: Application
) -> None:
    """The two X5C provisioners believe the same root, the OIDC provisioners the same provider."""
    for name, neighbour in (("edge", "dry"), ("dry", "edge")):
        holder = getattr(others, name)
        aud = f"{ca.url}/1.0/sign#x5c/{neighbour}"
        for claims in ({"aud": aud}, {"iss": neighbour}, {"iss": "admin"}, {"iss": "admin", "aud": f"{ca.url}/sign"}):
            reply = await send(app, "POST", "/sign", order(holder.token(ca, NAME, sans=[NAME], **claims)))
            assert reply.status == 401, (name, claims)
    ssh = others.dry.token(ca, NAME, "/1.0/ssh/sign", **STEP)
    assert (await send(app, "POST", "/ssh/sign", order(ssh))).status == 401
    crossed = others.login(ca, aud=["strict", CLIENT_ID])
    assert (await send(app, "POST", "/sign", order(crossed))).status == 401
    for azp in ("strict", "plain"):  # made for this one, readable by that one: this one's rules are to hold
        reply = await send(app, "POST", "/ssh/sign", order(others.login(ca, aud=[CLIENT_ID, azp], azp=azp)))
        assert reply.status == 401, azp


async def serial_of_new(ca: TestCA, others: Strangers, app: Application) -> str:
    reply = await send(app, "POST", "/sign", order(others.edge.token(ca, NAME, sans=[NAME])))
    return str(x509.load_pem_x509_certificate(reply.json["crt"].encode()).serial_number)


# A provider in trouble


def test_a_provider_that_keeps_the_ca_waiting_keeps_nobody_else_waiting(
    ca: TestCA, service: Service, others: Strangers, make_client: Any
) -> None:
    client, good = make_client(service), others.provider.server.replies[KEYS]
    others.provider.server.replies[KEYS] = Reply(body=good.body, pause=3)
    unknown = others.provider.maker(ca.clock()).token({"kid": "unheard of"})
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(closing(each)) for each in client.connect_to_both(10)]
            waiting = [client.hold_back(connection, "/sign", order(unknown)) for connection in opened]
            for request in waiting:
                request.let_go()
            begun = time.monotonic()
            with closing(client.connect()) as connection:
                for ott in (others.login(ca), others.edge.token(ca, NAME, sans=[NAME]), ca.token(NAME)):
                    assert client.ask(connection, "POST", "/sign", order(ott))[0] == 201
            assert time.monotonic() - begun < 2.5
            assert {request.status() for request in waiting} <= {401, 503}
    finally:
        others.provider.server.replies[KEYS] = good


# Renewal and its end


@pytest.mark.parametrize("who", ["holder", "user"])
def test_what_was_obtained_is_renewed_by_its_holder_until_it_is_revoked(
    ca: TestCA, service: Service, others: Strangers, tmp_path: Path, who: str
) -> None:
    ott = others.login(ca) if who == "user" else others.edge.token(ca, NAME, sans=[NAME])
    signed = ask(service, "POST", "/sign", order(ott))
    credential = keep(tmp_path, "".join(signed.json["certChain"]), KEY)
    # The token that ordered it, in the place of one that renews, is worth nothing.
    assert ask(service, "POST", "/renew", headers={"Authorization": f"Bearer {ott}"}).status in REFUSED
    assert ask(service, "POST", "/renew", credential=credential).status == 201
    serial = str(credential.leaf.serial_number)
    end = others.login(ca, "an administrator")
    assert ask(service, "POST", "/revoke", {"serial": serial, "passive": True, "ott": end}).status == 200
    for path, body in (("/renew", None), ("/rekey", {"csr": csr_pem(key=generate("EC-P256"))})):
        assert ask(service, "POST", path, body, credential=credential).status == 401


def test_the_listing_tells_roots_and_logins_and_no_reason_of_a_provider_that_is_down(service: Service) -> None:
    listed = {each["name"]: each for each in json.loads(ask(service, "GET", "/provisioners").body)["provisioners"]}
    assert {"edge", "dry", "corp", "plain", "strict", "work", "shut"} <= listed.keys()
    assert listed["edge"]["roots"] and listed["corp"]["clientID"] == CLIENT_ID
    assert listed["shut"]["state"] == "Uninitialized"
    assert isinstance(KEY, ec.EllipticCurvePrivateKey)
    assert [name for name, each in listed.items() if "state" in each] == ["shut"]
