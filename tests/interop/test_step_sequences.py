"""The calls of step's clients, as its Go client sends them, and the failures that it knows."""

import base64
import hashlib
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mica.keyfiles import PrivateKey, generate
from mica.names import classify
from mica.testing.ca import TestCA, csr_pem, public_jwk
from mica.testing.exchange import Answer, Credential, ask, keep
from mica.testing.plugins import add_jwk_provisioner, enable, install
from mica.testing.service import Service, free_port, served

KEYED = Path(__file__).parents[1] / "strangers/keyed.py"
PASSWORD = "not much of a secret, but a long one"
TAIL = " Please see the certificate authority logs for more info."
GENERIC_401 = f"The request lacked necessary authorization to be completed.{TAIL}"
BAD, FORBIDDEN = "The request could not be completed: ", "The request was forbidden by the certificate authority: "
JWE = "eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1cifQ.a.b.c.d"
PROVISIONERS = f"""
encrypted_key = "{JWE}"
claims = {{ min_tls_cert_duration = "1m" }}

[[provisioners]]
type = "keyed"
name = "subset"
password = "{PASSWORD}"
within = ["a.example", "b.example"]
lifetime = "1h"

[[provisioners]]
type = "keyed"
name = "down"
password = "{PASSWORD}"
ready = false
"""
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/=]{1,64}\n-----END CERTIFICATE-----\n"
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA.found(tmp_path_factory.mktemp("ca"), port=free_port(), more=PROVISIONERS)


@pytest.fixture(scope="module")
def stubborn(ca: TestCA) -> TestCA:
    """The CA with the key of a provisioner whose certificates are not renewed."""
    return add_jwk_provisioner(ca, "stubborn", "{ disable_renewal = true }")


@pytest.fixture(scope="module")
def service(ca: TestCA, stubborn: TestCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    site = tmp_path_factory.mktemp("site")
    install(site, KEYED)
    enable(ca, "keyed")
    with served(ca, workers=1, site=site) as running:
        yield running


# The Go client


def call(
    service: Service,
    method: str,
    path: str,
    body: object = None,
    *,
    credential: Credential | None = None,
    bare: bool = False,
    bearer: str = "",
) -> Answer:
    """One call of the Go client; a bare one is that of its HTTP library alone. Checks what holds for every answer."""
    identifier = str(uuid4())
    headers = {"User-Agent": "Go-http-client/1.1"} if bare else {
        "User-Agent": "step-http-client/1.0", "X-Request-Id": identifier
    }  # fmt: skip
    if method == "POST" and not (bare and body is None):
        headers["Content-Type"] = "application/json"
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    data = b"" if bare and body is None else body
    answer = ask(service, method, path, data, credential=credential, headers=headers | {"Accept-Encoding": "gzip"})
    returned = answer.headers["X-Request-Id"]
    assert UUID4.fullmatch(returned) if bare else returned == identifier
    if answer.headers["Content-Type"] == "application/json":
        assert answer.body.endswith(b"}\n") and answer.body.count(b"\n") == 1
    if answer.status >= 400 and answer.body:
        check_error(answer)
    return answer


def check_error(answer: Answer) -> None:
    """``{"status":<int>,"message":"<text>"}``; only a path that is not there is plain text."""
    if answer.headers["Content-Type"].startswith("text/plain"):
        assert (answer.status, answer.body) == (404, b"404 page not found\n")
        return
    assert list(answer.json) == ["status", "message"]
    assert answer.json["status"] == answer.status
    assert isinstance(answer.message, str)


def token(ca: TestCA, subject: str, path: str = "/1.0/sign", **claims: Any) -> str:
    """A token as step's CLI makes it; a claim of None is left out."""
    now = int(time.time())
    sans = [subject] if path.endswith("/sign") else None
    root = ca.root.fingerprint(hashes.SHA256()).hex()
    payload = {
        "aud": ca.url + path, "exp": now + 300, "iat": now, "iss": "admin", "jti": secrets.token_hex(32),
        "nbf": now, "sans": sans, "sha": root, "sub": subject, **claims,
    }  # fmt: skip
    header = {"alg": "ES256", "kid": public_jwk(ca.provisioner_key.public_key())["kid"], "typ": "JWT"}
    present = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(present, ca.provisioner_key, "ES256", header)


def keyed_token(issuer: str, subject: str, **claims: Any) -> str:
    payload = {"iss": issuer, "sub": subject, "aud": "x", "exp": int(time.time()) + 60, "jti": uuid4().hex, **claims}
    return jwt.encode(payload, PASSWORD, "HS256")


def renew_token(ca: TestCA, credential: Credential, *, key: PrivateKey | None = None, **claims: Any) -> str:
    """A renew token as step's CLI makes it, signed by the key of the certificate in its header."""
    now = int(time.time())
    common_name = credential.leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    payload = {
        "aud": f"{ca.url}/renew", "exp": now + 300, "iat": now, "iss": "step-ca-client/1.0", "nbf": now,
        "sub": common_name, **claims,
    }  # fmt: skip
    chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in credential.chain]
    header = {"typ": "JWT", "kid": "svc.key", "x5cInsecure": chain}
    signing_key = key or credential.private_key
    assert isinstance(signing_key, ec.EllipticCurvePrivateKey)
    return jwt.encode(payload, signing_key, "ES256", header)


def obtain(
    service: Service, folder: Path, name: str = "svc.example", *, ca: TestCA | None = None, **more: Any
) -> Credential:
    key = generate("EC-P256")
    claims = more.pop("claims", {})
    order = {
        "csr": csr_pem(name, key=key),
        "ott": token(ca or service.ca, name, **claims),
        "notBefore": "",
        "notAfter": "",
    }
    answer = call(service, "POST", "/sign", order | more)
    assert answer.status == 201, answer
    return keep(folder, "".join(answer.json["certChain"]), key)


@pytest.fixture(scope="module")
def credential(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Credential:
    return obtain(service, tmp_path_factory.mktemp("credential"))


def check_certificates(answer: Answer) -> list[x509.Certificate]:
    """Leaf, issuer, chain, TLS options; and the PEM to the letter."""
    assert answer.status == 201
    assert list(answer.json) == ["crt", "ca", "certChain", "tlsOptions"]
    assert answer.json["certChain"] == [answer.json["crt"], answer.json["ca"]]
    assert all(PEM.fullmatch(pem) for pem in answer.json["certChain"])
    options = answer.json["tlsOptions"]
    assert list(options) == ["cipherSuites", "minVersion", "maxVersion", "renegotiation"]
    assert (options["minVersion"], options["maxVersion"], options["renegotiation"]) == (1.2, 1.3, False)
    return [x509.load_pem_x509_certificate(pem.encode()) for pem in answer.json["certChain"]]


# The sequences of calls


@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_bootstrap_finds_the_root_by_any_spelling_of_its_fingerprint(service: Service, prefix: str) -> None:
    digest = hashlib.sha256(service.ca.root.public_bytes(Encoding.DER)).hexdigest()
    dashed = "-".join(re.findall("..", digest.upper()))
    for spelling in (digest, digest.upper(), dashed):
        answer = call(service, "GET", f"{prefix}/root/{spelling}")
        assert (answer.status, list(answer.json)) == (200, ["ca"])
        assert PEM.fullmatch(answer.json["ca"])
        assert answer.json["ca"] == service.root_file.read_text()
    unknown = call(service, "GET", f"{prefix}/root/{'0' * 63}F")
    assert (unknown.status, unknown.message) == (404, f'root certificate with fingerprint "{"0" * 63}f" was not found')


@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_health_and_version(service: Service, prefix: str) -> None:
    assert call(service, "GET", f"{prefix}/health").body == b'{"status":"ok"}\n'
    version = call(service, "GET", f"{prefix}/version")
    assert (version.status, list(version.json)) == (200, ["version"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.json["version"])


@pytest.mark.parametrize("prefix", ["", "/1.0"])
@pytest.mark.parametrize("path", ["/roots", "/federation", "/intermediates"])
def test_lists_of_certificates_are_201(service: Service, prefix: str, path: str) -> None:
    answer = call(service, "GET", prefix + path)
    assert (answer.status, list(answer.json)) == (201, ["crts"])
    (pem,) = answer.json["crts"]
    assert PEM.fullmatch(pem)
    expected = service.ca.intermediate.certificate if path == "/intermediates" else service.ca.root
    assert x509.load_pem_x509_certificate(pem.encode()) == expected
    if path != "/federation":
        bundle = call(service, "GET", f"{prefix}{path}.pem")
        assert (bundle.status, bundle.headers["Content-Type"]) == (200, "application/x-pem-file")
        assert bundle.body.decode() == pem


def test_provisioner_list_pages_and_jwe_key(service: Service) -> None:
    answer = call(service, "GET", "/provisioners?limit=100")
    assert (answer.status, list(answer.json)) == (200, ["provisioners", "nextCursor"])
    assert answer.json["nextCursor"] == ""
    admin, *others = answer.json["provisioners"]
    assert (admin["type"], admin["name"], admin["encryptedKey"]) == ("JWK", "admin", JWE)
    assert admin["key"].keys() == {"use", "kty", "kid", "crv", "alg", "x", "y"}
    assert admin["claims"] == {"minTLSCertDuration": "1m0s"}
    assert [other["name"] for other in others] == ["subset", "down", "stubborn"]
    assert others[1]["state"] == "Uninitialized" and "nobody answers" in others[1]["stateReason"]
    names, cursor = [], ""
    while True:
        page = call(service, "GET", f"/provisioners?cursor={cursor}&limit=1").json
        names += [provisioner["name"] for provisioner in page["provisioners"]]
        if not (cursor := page["nextCursor"]):
            break
    assert names == ["admin", "subset", "down", "stubborn"]
    key = call(service, "GET", f"/provisioners/{admin['key']['kid']}/encrypted-key")
    assert (key.status, key.json) == (200, {"key": JWE})
    unknown = call(service, "GET", "/provisioners/nobody/encrypted-key")
    assert (unknown.status, unknown.message) == (404, f"The requested resource could not be found.{TAIL}")
    wrong = call(service, "GET", "/provisioners?limit=many")
    assert (wrong.status, wrong.message) == (400, f"{BAD}limit 'many' is not an integer.")


@pytest.mark.parametrize("path", ["/sign", "/1.0/sign"])
@pytest.mark.parametrize("audience", ["/1.0/sign", "/sign"])
def test_ca_certificate(service: Service, path: str, audience: str) -> None:
    key = generate("EC-P256")
    order = {"csr": csr_pem("svc.example", key=key), "ott": token(service.ca, "svc.example", audience)}
    leaf, issuer = check_certificates(call(service, "POST", path, order | {"notBefore": "", "notAfter": ""}))
    leaf.verify_directly_issued_by(issuer)
    assert issuer == service.ca.intermediate.certificate
    assert leaf.public_key() == key.public_key()


def test_ca_sign_confirms_the_csr(service: Service) -> None:
    pem = csr_pem("svc.example")
    digest = hashlib.sha256(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)).digest()
    cnf = {"x5rt#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
    check_certificates(call(service, "POST", "/sign", {"csr": pem, "ott": token(service.ca, "svc.example", cnf=cnf)}))
    other = {"csr": csr_pem("svc.example"), "ott": token(service.ca, "svc.example", cnf=cnf)}
    answer = call(service, "POST", "/sign", other)
    assert (answer.status, answer.message.partition(' "')[0]) == (
        403,
        f"{FORBIDDEN}certificate request fingerprint does not match",
    )


def test_a_step_issuer_orders_by_duration(service: Service) -> None:
    assert call(service, "GET", "/health").status == 200
    order = {"csr": csr_pem("svc.example"), "ott": token(service.ca, "svc.example"), "notAfter": "2h30m0s"}
    leaf, _ = check_certificates(call(service, "POST", "/sign", order))
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=2, minutes=31)


def test_ca_renew_over_mutual_tls_and_by_token(service: Service, credential: Credential) -> None:
    for path in ("/renew", "/1.0/renew", "/re-sign"):
        check_certificates(call(service, "POST", path, credential=credential, bare=True))
    bearer = renew_token(service.ca, credential)
    check_certificates(call(service, "POST", "/renew", bare=True, bearer=bearer))
    older = renew_token(service.ca, credential, iss="admin", aud=[f"{service.ca.url}/1.0/renew"])
    check_certificates(call(service, "POST", "/renew", bare=True, bearer=older))
    again = call(service, "POST", "/renew", bare=True, bearer=bearer)
    assert (again.status, again.message) == (401, GENERIC_401)


def test_ca_rekey(service: Service, credential: Credential) -> None:
    key = generate("EC-P256")
    order = {"csr": csr_pem(key=key)}
    leaf, _ = check_certificates(call(service, "POST", "/rekey", order, credential=credential, bare=True))
    assert leaf.public_key() == key.public_key()
    assert leaf.subject == credential.leaf.subject
    names = (c.extensions.get_extension_for_class(x509.SubjectAlternativeName) for c in (leaf, credential.leaf))
    assert next(names) == next(names)


def test_ca_revoke_by_token_and_by_certificate(service: Service, tmp_path: Path) -> None:
    first, second = obtain(service, tmp_path), obtain(service, tmp_path)
    serial = str(first.leaf.serial_number)
    order = {
        "serial": serial,
        "ott": token(service.ca, serial, "/1.0/revoke"),
        "reasonCode": 0,
        "reason": "",
        "passive": True,
    }
    answer = call(service, "POST", "/revoke", order)
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}\n')
    order = {"serial": str(second.leaf.serial_number), "ott": "", "reasonCode": 9, "reason": "x", "passive": True}
    assert call(service, "POST", "/revoke", order, credential=second, bare=True).body == b'{"status":"ok"}\n'
    for revoked in (first, second):
        for attempt in ({"credential": revoked}, {"bearer": renew_token(service.ca, revoked)}):
            refused = call(service, "POST", "/renew", bare=True, **attempt)
            assert (refused.status, refused.message) == (401, GENERIC_401)


def test_an_autocert_pod_boots_and_renews(service: Service, tmp_path: Path) -> None:
    """Also what Go's ca.Bootstrap does."""
    root = call(service, "GET", f"/root/{service.ca.root.fingerprint(hashes.SHA256()).hex()}")
    assert PEM.fullmatch(root.json["ca"])
    assert call(service, "GET", "/version").status == 200
    pod = obtain(service, tmp_path, "pod.default.svc.cluster.local")
    assert call(service, "GET", "/roots", credential=pod).status == 201
    assert call(service, "GET", "/federation", credential=pod).status == 201
    check_certificates(call(service, "POST", "/renew", credential=pod, bare=True))


@pytest.mark.parametrize("path", ["/admin/admins", "/crl", "/acme/x/directory", "/health/", "/nothing"])
def test_what_is_not_offered_is_plainly_not_found(service: Service, path: str) -> None:
    answer = call(service, "GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_handshake_carries_the_intermediate(service: Service, tool: Callable[[str], str]) -> None:
    """step-issuer and autocert derive the root's fingerprint from the verified chain."""

    shown = subprocess.run(
        [tool("openssl"), "s_client", "-connect", f"127.0.0.1:{service.port}", "-showcerts"],
        input=b"", capture_output=True, check=False,
    ).stdout.decode()  # fmt: skip
    chain = x509.load_pem_x509_certificates(shown.encode())
    assert chain[1:] == [service.ca.intermediate.certificate]
    assert "Requested Signature Algorithms" in shown  # A client certificate is asked for; none is required.


# The failures


def refused(answer: Answer, status: int, message: str) -> None:
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize(("path", "member"), [("/sign", "csr"), ("/revoke", "serial")])
def test_a_body_that_is_not_json_or_of_wrong_types(service: Service, path: str, member: str) -> None:
    bodies: list[Any] = [[], "x", 1, {member: 1}, {member: ["x"]}, {member: {}}]
    for body in bodies:
        answer = call(service, "POST", path, body)
        assert answer.status == 400 and answer.message.startswith(f"{BAD}error decoding json")


def test_what_is_missing_is_named(service: Service, credential: Credential) -> None:
    refused(call(service, "POST", "/sign", {"ott": token(service.ca, "a")}), 400, f"{BAD}missing csr.")
    refused(call(service, "POST", "/sign", {"csr": csr_pem("a.example"), "ott": None}), 400, f"{BAD}missing ott.")
    refused(call(service, "POST", "/revoke", {"passive": True}), 400, f"{BAD}missing serial.")
    refused(call(service, "POST", "/renew", bare=True), 400, f"{BAD}missing client certificate.")
    refused(call(service, "POST", "/rekey", {"csr": csr_pem()}, bare=True), 400, f"{BAD}missing client certificate.")
    refused(call(service, "POST", "/rekey", {}, credential=credential, bare=True), 400, f"{BAD}missing csr.")


def test_a_csr_whose_signature_is_bad(service: Service, credential: Credential) -> None:
    der = bytearray(x509.load_pem_x509_csr(csr_pem("a.example").encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    refused(
        call(service, "POST", "/sign", {"csr": forged, "ott": token(service.ca, "a.example")}),
        400,
        f"{BAD}invalid csr.",
    )
    answer = call(service, "POST", "/rekey", {"csr": forged}, credential=credential, bare=True)
    refused(answer, 400, f"{BAD}invalid csr.")


def test_a_token_that_is_not_good_is_refused_without_a_reason(service: Service, stubborn: TestCA) -> None:
    now = int(time.time())
    name = "svc.example"
    bad = {
        "malformed": "a.b.c",
        "bad signature": token(stubborn, name, iss="admin"),
        "expired": token(service.ca, name, exp=now - 61),
        "not yet valid": token(service.ca, name, nbf=now + 120),
        "wrong aud": token(service.ca, name, "/1.0/revoke"),
        "wrong host": token(service.ca, name, aud="https://evil.example/1.0/sign"),
        "wrong iss": token(service.ca, name, iss="nobody"),
        "empty sub": token(service.ca, "", sans=[name]),
    }
    for case, ott in bad.items():
        answer = call(service, "POST", "/sign", {"csr": csr_pem(name), "ott": ott})
        assert (case, answer.status, answer.message) == (case, 401, GENERIC_401)
    good = {"csr": csr_pem(name), "ott": token(service.ca, name)}
    assert call(service, "POST", "/sign", good).status == 201
    refused(call(service, "POST", "/sign", good), 401, GENERIC_401)


def test_a_provisioner_that_failed_to_start(service: Service) -> None:
    order = {"csr": csr_pem("a.example"), "ott": keyed_token("down", "a.example")}
    text = 'provisioner "down" is disabled due to an initialization error'
    refused(call(service, "POST", "/sign", order), 401, text)


@pytest.mark.parametrize(
    ("noun", "asked", "granted"),
    [
        ("DNS names", ["a", "b"], ["a"]),
        ("IP addresses", ["10.0.0.1", "10.0.0.2"], ["10.0.0.1"]),
        ("email addresses", ["a@b.example", "c@b.example"], ["a@b.example"]),
        ("URIs", ["https://a.example/x", "https://a.example/y"], ["https://a.example/x"]),
        ("DNS names", ["a"], ["10.0.0.1"]),
    ],
)
def test_names_that_differ_from_the_tokens(service: Service, noun: str, asked: list[str], granted: list[str]) -> None:
    common = granted[0]
    order = {"csr": csr_pem(*asked, common_name=common), "ott": token(service.ca, common, sans=granted)}
    want = [name for name in granted if type(classify(name)) is type(classify(asked[0]))]
    text = f"certificate request does not contain the valid {noun} - got [{' '.join(asked)}], want [{' '.join(want)}]"
    refused(call(service, "POST", "/sign", order), 403, f"{FORBIDDEN}{text}.")


def test_a_common_name_that_is_not_allowed(service: Service) -> None:
    order = {"csr": csr_pem("a", "b", common_name="x"), "ott": token(service.ca, "a", sans=["a", "b"])}
    text = "certificate request does not contain the valid common name - got x, want [a b]"
    refused(call(service, "POST", "/sign", order), 403, f"{FORBIDDEN}{text}.")


def test_names_outside_the_allowed_subset(service: Service) -> None:
    order = {"csr": csr_pem("a.example", "c.example"), "ott": keyed_token("subset", "a.example")}
    got, allowed = "[a.example c.example]", "[a.example b.example]"
    text = f"certificate request contains unauthorized DNS names - got {got}, allowed {allowed}"
    refused(call(service, "POST", "/sign", order), 403, f"{FORBIDDEN}{text}.")


def test_a_validity_outside_the_credentials_window(service: Service) -> None:
    order = {"csr": csr_pem("a.example"), "ott": keyed_token("subset", "a.example"), "notAfter": "2h"}
    answer = call(service, "POST", "/sign", order)
    moment = r"\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)"
    text = f"requested certificate notAfter {moment} is after the expiration of the provisioning credential {moment}"
    assert answer.status == 403 and re.fullmatch(rf"{FORBIDDEN}{text}\.", answer.message)


def test_keys_that_are_too_weak_or_of_another_kind(service: Service, credential: Credential) -> None:
    kinds: dict[str, Any] = {
        "DSA": dsa.generate_private_key(2048),
        "Ed448": ed448.Ed448PrivateKey.generate(),
        "RSA": rsa.generate_private_key(65537, 1024),
    }
    for kind, key in kinds.items():
        digest = None if kind == "Ed448" else hashes.SHA256()
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
        pem = request.public_bytes(Encoding.PEM).decode()
        for answer in (
            call(service, "POST", "/sign", {"csr": pem, "ott": token(service.ca, "a.example")}),
            call(service, "POST", "/rekey", {"csr": pem}, credential=credential, bare=True),
        ):
            if kind == "RSA":
                text = "certificate request RSA key must be at least 2048 bits (256 bytes)"
                refused(answer, 403, f"{FORBIDDEN}{text}.")
            else:
                refused(answer, 400, f"{BAD}certificate request key of type '{kind}' is not supported.")


@pytest.mark.parametrize(
    ("validity", "status", "pattern"),
    [
        (
            {"notAfter": "48h"},
            403,
            "requested duration of 48h1m0s is more than the authorized maximum certificate duration of 24h1m0s",
        ),
        (
            {"notBefore": "1m", "notAfter": "30s"},
            403,
            "requested duration of 30s is less than the authorized minimum certificate duration of 1m0s",
        ),
        ({"notAfter": "-1h"}, 400, r"notAfter cannot be in the past; na=\S+Z"),
        ({"notBefore": "2h", "notAfter": "-1h"}, 400, r"notAfter cannot be before notBefore; na=\S+Z, nb=\S+Z"),
    ],
)
def test_a_validity_that_is_not_allowed(
    service: Service, validity: Mapping[str, str], status: int, pattern: str
) -> None:
    order = {"csr": csr_pem("a.example"), "ott": token(service.ca, "a.example"), **validity}
    answer = call(service, "POST", "/sign", order)
    prefix = re.escape(FORBIDDEN if status == 403 else BAD)
    assert answer.status == status and re.fullmatch(rf"{prefix}{pattern}\.", answer.message), answer.message


def test_a_renewal_that_is_disabled_or_too_early(
    service: Service, stubborn: TestCA, credential: Credential, tmp_path: Path
) -> None:
    never = obtain(service, tmp_path, ca=stubborn, claims={"iss": "stubborn"})
    for attempt in ({"credential": never}, {"bearer": renew_token(service.ca, never)}):
        refused(call(service, "POST", "/renew", bare=True, **attempt), 401, GENERIC_401)
    refused(call(service, "POST", "/rekey", {"csr": csr_pem()}, credential=never, bare=True), 401, GENERIC_401)
    early = obtain(service, tmp_path, notBefore="1h", notAfter="1h")
    refused(call(service, "POST", "/renew", bare=True, bearer=renew_token(service.ca, early)), 401, GENERIC_401)


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"exp": -61, "nbf": -120, "iat": -120}, ": token is expired (exp)"),
        ({"nbf": 120}, ": token not valid yet (nbf)"),
        ({"iat": 120}, ": token issued in the future (iat)"),
        ({"sub": "other.example"}, ": invalid subject claim (sub)"),
        ({"aud": "https://localhost/sign"}, ": invalid audience claim (aud)"),
        ({"iss": "nobody"}, ": invalid issuer claim (iss)"),
    ],
)
def test_a_renew_token_that_is_not_good(
    service: Service, credential: Credential, claims: Mapping[str, Any], detail: str
) -> None:
    now = int(time.time())
    values: dict[str, Any] = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    answer = call(service, "POST", "/renew", bare=True, bearer=renew_token(service.ca, credential, **values))
    refused(answer, 401, f"error validating renew token{detail}")


def test_a_renew_token_that_another_key_signed(service: Service, credential: Credential) -> None:
    forged = renew_token(service.ca, credential, key=generate("EC-P256"))
    answer = call(service, "POST", "/renew", bare=True, bearer=forged)
    assert answer.status == 401 and answer.message.startswith("error validating renew token")


def test_revocations_that_are_not_good(service: Service, credential: Credential, tmp_path: Path) -> None:
    def revoke(serial: str, ott: str = "", by: Credential | None = None, **more: Any) -> Answer:
        order = {"serial": serial, "ott": ott, "reasonCode": 0, "reason": "", "passive": True, **more}
        return call(service, "POST", "/revoke", order, credential=by, bare=by is not None)

    own = str(credential.leaf.serial_number)
    text = 'request serial number "1" and token subject "2" do not match'
    refused(revoke("1", token(service.ca, "2", "/1.0/revoke")), 403, f"{FORBIDDEN}{text}.")
    text = f'request serial number "1" and certificate serial number "{own}" do not match'
    refused(revoke("1", by=credential), 403, f"{FORBIDDEN}{text}.")
    refused(revoke("1"), 400, f"{BAD}missing ott or client certificate.")
    refused(revoke("1", reasonCode=11), 400, f"{BAD}reasonCode out of bounds.")
    refused(revoke("1", reasonCode=-1), 400, f"{BAD}reasonCode out of bounds.")
    text = (
        "'xyz' is not a valid serial number - use a base 10 representation or a base 16 representation with '0x' prefix"
    )
    refused(revoke("xyz"), 400, f"{BAD}{text}.")
    text = "The requested method is not implemented by the certificate authority."
    refused(revoke("1", passive=False), 501, text + TAIL)
    gone = str(obtain(service, tmp_path).leaf.serial_number)
    assert revoke(gone, token(service.ca, gone, "/1.0/revoke")).status == 200
    text = f"certificate with serial number '{gone}' is already revoked"
    refused(revoke(gone, token(service.ca, gone, "/1.0/revoke")), 400, f"{BAD}{text}.")
    hexadecimal = hex(int(gone))
    refused(revoke(hexadecimal, token(service.ca, gone, "/1.0/revoke")), 400, f"{BAD}{text}.")


def test_a_known_path_with_a_wrong_method(service: Service) -> None:
    for method, path, allowed in (
        ("GET", "/sign", "POST"),
        ("POST", "/roots", "GET"),
        ("DELETE", "/1.0/renew", "POST"),
    ):
        answer = call(service, method, path)
        assert (answer.status, answer.body) == (405, b"")
        assert allowed in answer.headers["Allow"]
