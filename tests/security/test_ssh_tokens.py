"""Hostile tokens for SSH, at a served CA: of the wrong kind, stolen, forged, foreign; no certificate comes of any."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.client import HTTPSConnection
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType

from mica import sshsignatures
from mica.client import sshpoptoken
from mica.clock import system_clock
from mica.keyfiles import PrivateKey, generate
from mica.sshcert import CertType, SSHCertificate
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA, csr_pem, public_jwk
from mica.testing.exchange import Answer, ask
from mica.testing.service import Service, free_port, served
from mica.testing.tokens import Maker, hostile_tokens

NAME = "web.example"
KEY = generate("EC-P256")
OTHER_KEY = generate("EC-P256")
#: Hostile for a second only: the contract suite, whose clock stands still, has them.
AT_THE_EDGE = {"nbf in 61 seconds", "iat in 61 seconds"}
REFUSED = (400, 401, 403, 413)
#: The route of the other kind of certificate, X.509 or SSH, at which the same body could be sent.
OTHER_KIND = {
    "/ssh/sign": "/sign", "/ssh/revoke": "/revoke", "/ssh/renew": "/renew", "/ssh/rekey": "/rekey",
    "/sign": "/ssh/sign", "/revoke": "/ssh/revoke",
}  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A CA of one worker; whatever the tests of this module did, it is the same process in the end, and well."""
    ca = TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), ssh=True)
    with served(ca, workers=1) as running:
        workers = running.workers()
        yield running
        assert ask(running, "GET", "/health").status == 200
        assert running.workers() == workers
        log = running.log.read_text()
        assert "Traceback" not in log and "nobody foresaw" not in log


def blob_of(key: PrivateKey) -> str:
    return base64.b64encode(SSHPublicKey.of(key.public_key()).blob).decode()


def issue(service: Service, cert_type: str = "host", key: PrivateKey = KEY) -> SSHCertificate:
    """A certificate of the CA for ``NAME``."""
    service.ca.clock.moment = system_clock()
    ott = service.ca.ssh_token(NAME, cert_type, [NAME])
    answer = ask(service, "POST", "/ssh/sign", {"publicKey": blob_of(key), "ott": ott})
    assert answer.status == 201, answer
    return SSHCertificate.decode(base64.b64decode(answer.json["crt"]))


def held(service: Service, certificate: SSHCertificate, path: str, key: PrivateKey = KEY) -> str:
    """A token for ``path`` by whoever holds ``key``, which is the certificate's."""
    serial = str(certificate.tbs.serial)
    return sshpoptoken.make(f"{service.ca.url}/1.0{path}", "sshpop", certificate, key, serial, system_clock())


def body_of(path: str, ott: str, serial: int = 4711) -> dict[str, Any]:
    """What a request at ``path`` has that is wrong in nothing but its token."""
    bodies: dict[str, dict[str, Any]] = {
        "/sign": {"csr": csr_pem(NAME, key=KEY)},
        "/revoke": {"serial": str(serial), "passive": True},
        "/ssh/sign": {"publicKey": blob_of(KEY)},
        "/ssh/renew": {},
        "/ssh/rekey": {"publicKey": blob_of(OTHER_KEY)},
        "/ssh/revoke": {"serial": str(serial), "passive": True},
    }
    return bodies.get(path, {}) | {"ott": ott}


def send(connection: HTTPSConnection, path: str, body: dict[str, Any]) -> Answer:
    connection.request("POST", path, json.dumps(body).encode())
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def makers(service: Service) -> dict[str, tuple[Maker, int]]:
    """Who makes rightful tokens for each route, and the serial number that such a token concerns."""
    ca, now, certificate = service.ca, system_clock(), issue(service)
    seconds, serial = int(now.timestamp()), certificate.tbs.serial
    times = {"iat": seconds, "nbf": seconds, "exp": seconds + 300}

    def by_admin(path: str, **claims: Any) -> Maker:
        header = {"alg": "ES256", "typ": "JWT", "kid": public_jwk(ca.provisioner_key.public_key())["kid"]}
        payload = {"iss": "admin", "aud": f"{ca.url}/1.0{path}", "jti": f"admin {path}", **times, **claims}
        return Maker(key=ca.provisioner_key, header=header, payload=payload, now=now)

    def by_holder(path: str) -> Maker:
        header = {"alg": "ES256", "typ": "JWT", "sshpop": base64.b64encode(certificate.blob).decode()}
        aud = f"{ca.url}/1.0{path}#sshpop/sshpop"
        payload = {"iss": "sshpop", "aud": aud, "jti": f"holder {path}", "sub": str(serial), **times}
        return Maker(key=KEY, header=header, payload=payload, now=now)

    ssh = {"certType": "user", "keyID": NAME, "principals": [NAME]}
    return {
        "/ssh/sign": (by_admin("/ssh/sign", sub=NAME, step={"ssh": ssh}), 0),
        "/ssh/revoke": (by_admin("/ssh/revoke", sub="4711"), 4711),
        "/ssh/renew": (by_holder("/ssh/renew"), 0),
        "/ssh/rekey": (by_holder("/ssh/rekey"), 0),
        "/ssh/revoke#holder": (by_holder("/ssh/revoke"), serial),
    }


def test_every_hostile_token_is_refused_at_its_own_route_and_at_the_other_kinds(service: Service) -> None:
    wrong, count, good = [], 0, makers(service)
    with closing(service.connect()) as connection:
        for key, (maker, serial) in good.items():
            path = key.partition("#")[0]
            for name, raw in hostile_tokens(maker).items():
                if name in AT_THE_EDGE:
                    continue
                for route in (path, OTHER_KIND[path]):
                    answer = send(connection, route, body_of(route, raw, serial))
                    count += 1
                    if answer.status not in REFUSED:
                        wrong.append((key, name, route, answer))
    assert wrong == []
    assert count > 10 * 250
    # The same makers, honest: it was the tokens that were at fault.
    for key, (maker, serial) in good.items():
        path = key.partition("#")[0]
        assert ask(service, "POST", path, body_of(path, maker.good(), serial)).status in (200, 201), key


@pytest.mark.parametrize("path", ["/sign", "/ssh/sign", "/revoke", "/ssh/revoke"])
def test_a_token_of_one_kind_is_refused_for_the_other_and_is_not_spent_by_it(service: Service, path: str) -> None:
    ca = service.ca
    ca.clock.moment = system_clock()
    serial = 77_000 + len(path)
    ott = {
        "/sign": lambda: ca.token(NAME, sans=[NAME]),
        "/ssh/sign": lambda: ca.ssh_token(NAME, "user", [NAME]),
        "/revoke": lambda: ca.token(str(serial), "/1.0/revoke"),
        "/ssh/revoke": lambda: ca.token(str(serial), "/1.0/ssh/revoke"),
    }[path]()
    other = OTHER_KIND[path]
    assert ask(service, "POST", other, body_of(other, ott, serial)).status == 401
    assert ask(service, "POST", path, body_of(path, ott, serial)).status in (200, 201)


@pytest.mark.parametrize("path", ["/ssh/renew", "/ssh/rekey", "/ssh/revoke"])
def test_a_stolen_certificate_is_worth_nothing_without_its_key(service: Service, path: str) -> None:
    certificate = issue(service)
    header = {"alg": "ES256", "sshpop": base64.b64encode(certificate.blob).decode()}
    seconds, serial = int(system_clock().timestamp()), certificate.tbs.serial
    payload = {
        "iss": "sshpop", "sub": str(serial), "iat": seconds, "exp": seconds + 60,
        "aud": f"{service.ca.url}/1.0{path}#sshpop/sshpop",
    }  # fmt: skip
    thief = Maker(key=OTHER_KEY, header=header, payload=payload, now=system_clock())
    own = public_jwk(OTHER_KEY.public_key())  # type: ignore[arg-type]
    for raw in (thief.good(), thief.token({"jwk": own}), thief.token({"kid": own["kid"], "jwk": own})):
        assert ask(service, "POST", path, body_of(path, raw, serial)).status == 401
    rightful = replace(thief, key=KEY)
    assert ask(service, "POST", path, body_of(path, rightful.good(), serial)).status in (200, 201)


Forge = Callable[[TestCA, SSHCertificate], SSHCertificate]


def by_a_stranger(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """What pyca makes of the real one's serial number and names with a CA of the attacker's."""
    builder = (
        SSHCertificateBuilder()
        .public_key(OTHER_KEY.public_key())
        .serial(real.tbs.serial)
        .type(SSHCertificateType.HOST)
        .key_id(real.tbs.key_id.encode())
        .valid_principals([principal.encode() for principal in real.tbs.valid_principals])
        .valid_after(int(real.tbs.valid_after.timestamp()))
        .valid_before(int((real.tbs.valid_before or system_clock()).timestamp()))
    )
    blob = builder.sign(ec.generate_private_key(ec.SECP256R1())).public_bytes().split()[1]
    return SSHCertificate.decode(base64.b64decode(blob))


def under_the_cas_name(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """Its CA key is the real one; its signature is the attacker's."""
    return signed(replace(real.tbs, public_key=SSHPublicKey.of(OTHER_KEY.public_key())), OTHER_KEY)


def by_the_ca_behind_its_back(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """Signed by the CA's key, and never put on record: whoever could do that must not get a renewal as well."""
    tbs = replace(real.tbs, public_key=SSHPublicKey.of(OTHER_KEY.public_key()))
    return signed(tbs, ca.ssh_keys[CertType.HOST].key)


def by_the_cas_other_key(ca: TestCA, real: SSHCertificate) -> SSHCertificate:
    """A host's certificate, signed by the key for users."""
    key = ca.ssh_keys[CertType.USER].key
    tbs = replace(
        real.tbs,
        public_key=SSHPublicKey.of(OTHER_KEY.public_key()),
        signature_key=SSHPublicKey.of(key.public_key()),
    )
    return signed(tbs, key)


def signed(tbs: Any, key: PrivateKey) -> SSHCertificate:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = sshsignatures.encode(SSHPublicKey.of(key.public_key()), key.sign(tbs.wire, ec.ECDSA(hashes.SHA256())))
    return SSHCertificate.decode(tbs.assemble(signature))


@pytest.mark.parametrize("path", ["/ssh/renew", "/ssh/rekey", "/ssh/revoke"])
@pytest.mark.parametrize("forge", [by_a_stranger, under_the_cas_name, by_the_ca_behind_its_back, by_the_cas_other_key])
def test_a_forged_certificate_with_a_real_serial_number_is_refused(service: Service, forge: Forge, path: str) -> None:
    real = issue(service)
    forged = forge(service.ca, real)
    assert forged.tbs.serial == real.tbs.serial
    ott = held(service, forged, path, OTHER_KEY)
    assert ask(service, "POST", path, body_of(path, ott, real.tbs.serial)).status == 401
    # Nothing has happened to the real one.
    ott = held(service, real, "/ssh/renew")
    assert ask(service, "POST", "/ssh/renew", body_of("/ssh/renew", ott)).status == 201


def test_the_holder_of_one_certificate_revokes_no_other(service: Service) -> None:
    mine, yours = issue(service), issue(service, key=OTHER_KEY)
    answer = ask(
        service, "POST", "/ssh/revoke", body_of("/ssh/revoke", held(service, mine, "/ssh/revoke"), yours.tbs.serial)
    )
    assert answer.status == 403
    assert (
        f'request serial number "{yours.tbs.serial}" and token subject "{mine.tbs.serial}" do not match'
        in answer.message
    )
    swapped = Maker(
        key=KEY,
        header={"alg": "ES256", "sshpop": base64.b64encode(mine.blob).decode()},
        payload={
            "iss": "sshpop", "sub": str(yours.tbs.serial), "aud": f"{service.ca.url}/1.0/ssh/revoke#sshpop/sshpop",
            "exp": int(system_clock().timestamp()) + 60,
        },
        now=system_clock(),
    )  # fmt: skip
    answer = ask(service, "POST", "/ssh/revoke", body_of("/ssh/revoke", swapped.good(), yours.tbs.serial))
    assert answer.status == 403
    assert f'and sshpop certificate serial number "{mine.tbs.serial}" do not match' in answer.message
    for certificate, key in ((mine, KEY), (yours, OTHER_KEY)):
        ott = held(service, certificate, "/ssh/renew", key)
        assert ask(service, "POST", "/ssh/renew", body_of("/ssh/renew", ott)).status == 201


def test_a_users_certificate_is_ended_by_its_holder_and_never_continued(service: Service) -> None:
    certificate = issue(service, "user")
    for path in ("/ssh/renew", "/ssh/rekey"):
        answer = ask(service, "POST", path, body_of(path, held(service, certificate, path)))
        assert answer.status == 400
        assert (
            answer.message == "The request could not be completed: sshpop certificate must be a host ssh certificate."
        )
    ott = held(service, certificate, "/ssh/revoke")
    assert ask(service, "POST", "/ssh/revoke", body_of("/ssh/revoke", ott, certificate.tbs.serial)).status == 200


def test_of_many_uses_of_a_holders_token_one_wins(service: Service) -> None:
    ott = held(service, issue(service), "/ssh/renew")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(service, "POST", "/ssh/renew", {"ott": ott}), range(60)))
    assert sorted(answer.status for answer in answers) == [201] + [401] * 59


def test_a_revoked_certificate_is_continued_no_more(service: Service) -> None:
    certificate = issue(service)
    serial = certificate.tbs.serial
    ott = held(service, certificate, "/ssh/revoke")
    assert ask(service, "POST", "/ssh/revoke", body_of("/ssh/revoke", ott, serial)).status == 200
    for path in ("/ssh/renew", "/ssh/rekey"):
        assert ask(service, "POST", path, body_of(path, held(service, certificate, path))).status == 401
    again = ask(
        service, "POST", "/ssh/revoke", body_of("/ssh/revoke", held(service, certificate, "/ssh/revoke"), serial)
    )
    assert again.status == 400
    assert f"certificate with serial number '{serial}' is already revoked" in again.message
