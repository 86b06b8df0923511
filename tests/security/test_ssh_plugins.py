"""Evil SSH signers, policies and routes: no certificate comes of them, the log names them, and the CA lives on."""

import asyncio
import base64
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.security.sshorders import held, host, order, public, recorded_id

from mica import Exactly, Route, foundation, hookimpl, hooks, sshissuance
from mica.authority import Authority
from mica.clock import system_clock
from mica.errors import ConfigError, MicaError, Refused, Unauthorized
from mica.keyfiles import PrivateKey, dump_private_key, generate
from mica.records import CertificateKind, Query
from mica.requests import SSHRenewRequest
from mica.roles import SSHSignerContext, kind
from mica.sshcert import CertType, SSHCertificate
from mica.sshfoundation import HOST_KEY, USER_KEY
from mica.sshissuance import sign_ssh_token
from mica.sshkeys import SK_ED25519, KeyLine, SSHPublicKey
from mica.sshrenewal import renew_ssh
from mica.sshsignatures import encode
from mica.sshwire import string, text
from mica.testing.ca import TestCA, public_jwk
from mica.testing.line_requests import send
from mica.testing.plugins import append, enable, install
from mica.web.app import Application, create_app

KEY = generate("EC-P256")
OTHER_KEY = generate("EC-P256")
BODY = {"publicKey": base64.b64encode(public(KEY).blob).decode()}


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    return TestCA.found(tmp_path / "ca", ssh=True)


@asynccontextmanager
async def started(ca: TestCA, **plugins: object) -> AsyncIterator[Authority]:
    """``ca`` with these plugins besides its own."""
    enable(ca, *plugins)
    authority = ca.authority(plugins)
    try:
        await authority.start()
        yield authority
    finally:
        await authority.aclose()


async def on_record(authority: Authority) -> list[str]:
    """The key ids of all SSH certificates."""
    page = await authority.store.search(Query(now=authority.now(), kind=CertificateKind.SSH))
    return [row.issuance.subject for row in page.rows]


def edit(ca: TestCA, old: str, new: str) -> None:
    """``ca.toml`` says ``new`` where it said ``old``."""
    file = ca.directory / "ca.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


# Signers


def ecdsa(key: PrivateKey, octets: bytes) -> bytes:
    """The blob of a good signature by ``key``."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return encode(public(key), key.sign(octets, ec.ECDSA(hashes.SHA256())))


class Signer:
    """Signs as ``sshsigner`` does, until it is told to do something else."""

    def __init__(self, context: SSHSignerContext) -> None:
        self._context = context
        self.act: Callable[[Signer, bytes, CertType], Any] | None = None

    def authority_keys(self, cert_type: CertType) -> tuple[SSHPublicKey, ...]:
        key: Any = self.key(cert_type).public_key()
        return (SSHPublicKey.of(key),)

    def key(self, cert_type: CertType) -> Any:
        return self._context.keys[cert_type].key

    async def sign(self, tbs: bytes, cert_type: CertType) -> Any:
        if self.act is None:
            return ecdsa(self.key(cert_type), tbs)
        answer = self.act(self, tbs, cert_type)
        return await answer if asyncio.iscoroutine(answer) else answer


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """An empty table."""


class SignerPlugin:
    """Offers one signer as the kind ``evil``."""

    signer: Any

    def __init__(self, make: Callable[[SSHSignerContext], Any] = Signer) -> None:
        self.make = make

    @hookimpl
    def register_ssh_signers(self) -> Any:
        return [kind("evil", NoSettings, self._build)]

    def _build(self, config: NoSettings, context: SSHSignerContext) -> Any:
        self.signer = self.make(context)
        return self.signer


def failing(error: BaseException) -> Callable[[Signer, bytes, CertType], Any]:
    def act(signer: Signer, tbs: bytes, cert_type: CertType) -> Any:
        raise error

    return act


def other_type(cert_type: CertType) -> CertType:
    return CertType(3 - cert_type)


def der_signature(signer: Signer, tbs: bytes, cert_type: CertType) -> bytes:
    signature: bytes = signer.key(cert_type).sign(tbs, ec.ECDSA(hashes.SHA256()))
    return signature


def padded(signer: Signer, tbs: bytes, cert_type: CertType) -> bytes:
    """Numbers with a zero too many in front."""
    r, s = b"\0\0" + b"\1" * 32, b"\0\0" + b"\2" * 32
    return text("ecdsa-sha2-nistp256") + string(string(r) + string(s))


SIGNERS: dict[str, Callable[[Signer, bytes, CertType], Any]] = {
    "raises": failing(RuntimeError("the token is upside down")),
    "raises what a provisioner may": failing(Unauthorized("no")),
    "raises what a policy may": failing(Refused("no")),
    "raises LookupError": failing(KeyError("key")),
    "is cancelled from within": failing(TimeoutError()),
    "hangs": lambda signer, tbs, cert_type: asyncio.sleep(600),
    "signs with another key": lambda signer, tbs, cert_type: ecdsa(OTHER_KEY, tbs),
    "signs with the key of the other type": lambda signer, tbs, cert_type: ecdsa(
        signer.key(other_type(cert_type)), tbs
    ),
    "signs other octets": lambda signer, tbs, cert_type: ecdsa(signer.key(cert_type), tbs[:-1] + bytes([tbs[-1] ^ 1])),
    "signs a digest": lambda signer, tbs, cert_type: ecdsa(signer.key(cert_type), tbs[:32]),
    "gives a signature in DER": der_signature,
    "gives numbers that are not minimal": padded,
    "gives RSA with SHA-1": lambda signer, tbs, cert_type: text("ssh-rsa") + string(b"\1" * 256),
    "gives RSA with SHA-512": lambda signer, tbs, cert_type: text("rsa-sha2-512") + string(b"\1" * 256),
    "gives another curve": lambda signer, tbs, cert_type: text("ecdsa-sha2-nistp384") + string(b"\1" * 256),
    "gives a security key's": lambda signer, tbs, cert_type: text(SK_ED25519) + string(b"\1" * 64) + bytes(5),
    "gives nothing": lambda signer, tbs, cert_type: b"",
    "gives an empty signature": lambda signer, tbs, cert_type: text("ecdsa-sha2-nistp256") + string(b""),
    "gives an octet too many": lambda signer, tbs, cert_type: ecdsa(signer.key(cert_type), tbs) + b"\0",
    "gives half": lambda signer, tbs, cert_type: ecdsa(signer.key(cert_type), tbs)[:40],
    "gives a whole certificate": lambda signer, tbs, cert_type: tbs + string(ecdsa(signer.key(cert_type), tbs)),
    "gives 20 MB": lambda signer, tbs, cert_type: text("ecdsa-sha2-nistp256") + string(bytes(20_000_000)),
    "gives text": lambda signer, tbs, cert_type: "signature",
    "gives None": lambda signer, tbs, cert_type: None,
    "gives a number": lambda signer, tbs, cert_type: 7,
    "gives a certificate object": lambda signer, tbs, cert_type: public(KEY),
}


@pytest.mark.parametrize("case", SIGNERS)
async def test_of_an_evil_signer_comes_no_certificate_and_no_token_is_burnt(
    ca: TestCA, case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sshissuance, "SIGNING_DEADLINE", 0.05)
    edit(ca, 'type = "sshsigner"', 'type = "evil"')
    plugin = SignerPlugin()
    async with started(ca, evil=plugin) as authority:
        app, body = create_app(authority), BODY | {"ott": ca.ssh_token("alice", "user", ["alice"])}
        plugin.signer.act = SIGNERS[case]
        with caplog.at_level(logging.INFO):
            reply = await send(app, "POST", "/ssh/sign", body)
        assert reply.status == 503
        assert "signature" not in reply.json["message"]  # what is inside is the operator's business
        assert "signers.ssh: the signer gave no valid signature" in caplog_fields(caplog)
        assert await on_record(authority) == []
        plugin.signer.act = None
        assert (await send(app, "POST", "/ssh/sign", body)).status == 201
        assert await on_record(authority) == ["alice"]


def caplog_fields(caplog: pytest.LogCaptureFixture) -> str:
    """Messages and fields of everything that was logged."""
    return "\n".join(f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in caplog.records)


async def test_a_signer_that_fails_at_the_second_certificate_leaves_the_first_unrecorded(ca: TestCA) -> None:
    edit(ca, 'type = "sshsigner"', 'type = "evil"')
    plugin, calls = SignerPlugin(), []

    def second_time(signer: Signer, tbs: bytes, cert_type: CertType) -> bytes:
        calls.append(cert_type)
        return ecdsa(signer.key(cert_type), tbs) if len(calls) % 2 else b""

    async with started(ca, evil=plugin) as authority:
        app, adding = create_app(authority), BODY | {"addUserPublicKey": base64.b64encode(public(KEY).blob).decode()}
        body = adding | {"ott": ca.ssh_token("alice", "user", ["alice"])}
        plugin.signer.act = second_time
        for _ in range(3):
            assert (await send(app, "POST", "/ssh/sign", body)).status == 503
        assert len(calls) == 6 and await on_record(authority) == []
        plugin.signer.act = None
        assert (await send(app, "POST", "/ssh/sign", body)).status == 201
        assert sorted(await on_record(authority)) == ["alice", "alice-provisioner"]


@pytest.mark.parametrize("error", [RuntimeError("no such slot"), ConnectionError("nobody"), ConfigError(["x: y"])])
async def test_a_signer_that_cannot_prove_itself_stops_the_start(ca: TestCA, error: Exception) -> None:
    class Unproven(Signer):
        async def start(self) -> None:
            raise error

    edit(ca, 'type = "sshsigner"', 'type = "evil"')
    with pytest.raises(MicaError, match="x: y|Unproven could not be started"):
        async with started(ca, evil=SignerPlugin(Unproven)):
            pass


WEAK = SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key())
SECURITY_KEY = SSHPublicKey.decode(
    text(SK_ED25519) + string(bytes.fromhex("3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"))
    + text("ssh:")
)  # fmt: skip


NO_KEYS: dict[str, Any] = {
    "None": None, "a number": 7, "text": "key", "nothing": (), "text in a tuple": ("key",), "None in a tuple": (None,),
    "octets": (b"blob",), "a weak key": (WEAK,), "a security key": (SECURITY_KEY,), "raises": RuntimeError("no"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_KEYS)
def test_a_signer_whose_keys_are_none_of_a_ca_is_refused_before_the_start(ca: TestCA, case: str) -> None:
    answer = NO_KEYS[case]

    class Misleading(Signer):
        def authority_keys(self, cert_type: CertType) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    edit(ca, 'type = "sshsigner"', 'type = "evil"')
    enable(ca, "evil")
    with pytest.raises(ConfigError, match=r"signers\.ssh"):
        ca.authority({"evil": SignerPlugin(Misleading)})


# One key for two purposes


def write_key(ca: TestCA, path: Path, key: PrivateKey) -> None:
    (ca.directory / path).write_bytes(dump_private_key(key, None))


def line_of(key: PrivateKey) -> str:
    blob = public(key)
    return KeyLine(key_type=blob.key_type, blob=blob.blob).format() + "\n"


#: Purposes, each with a key that is known to the test: the private ones of SSH, and what they could be confused with.
SSH_PURPOSES = ["user_key", "host_key", "further_user_keys", "further_host_keys"]
OTHERS = ["root", "intermediate", "provisioner", "second provisioner"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(one, other) for number, one in enumerate(SSH_PURPOSES) for other in [*SSH_PURPOSES[number + 1 :], *OTHERS]],
)
def test_a_key_of_the_ssh_ca_has_no_other_purpose(ca: TestCA, one: str, other: str) -> None:
    key = generate("EC-P256")
    ca.authority()  # as it is, it is sound
    for purpose in (one, other):
        use(ca, purpose, key)
    with pytest.raises(ConfigError) as raised:
        ca.authority()
    assert len(raised.value.faults) == 1, raised.value.faults
    assert "signers.ssh" in str(raised.value) or "further" in str(raised.value)


def use(ca: TestCA, purpose: str, key: PrivateKey) -> None:
    """``ca`` has ``key`` for this purpose."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now, name = system_clock(), "Test"
    match purpose:
        case "user_key" | "host_key":
            write_key(ca, USER_KEY if purpose == "user_key" else HOST_KEY, key)
        case "further_user_keys" | "further_host_keys":
            (ca.directory / f"{purpose}.pub").write_text(line_of(key))
            edit(ca, 'type = "sshsigner"\n', f'type = "sshsigner"\n{purpose} = ["{purpose}.pub"]\n')
        case "root" | "intermediate":
            root = foundation.new_root(name, now)
            if purpose == "root":
                root = foundation.KeyPair(key=key, certificate=self_signed(root.certificate, key))
            intermediate = foundation.new_intermediate(name, root, now)
            if purpose == "intermediate":
                certificate = reissued(intermediate.certificate, key, root.key)
                intermediate = foundation.KeyPair(key=key, certificate=certificate)
            (ca.directory / foundation.ROOT).write_bytes(root.pem)
            (ca.directory / foundation.INTERMEDIATE).write_bytes(intermediate.pem)
            write_key(ca, foundation.INTERMEDIATE_KEY, intermediate.key)
        case "provisioner":
            old = public_jwk(ca.provisioner_key.public_key())
            new = public_jwk(key.public_key())
            for member in ("x", "y", "kid"):
                edit(ca, f'"{old[member]}"', f'"{new[member]}"')
        case _:
            members = ", ".join(f'{member} = "{value}"' for member, value in public_jwk(key.public_key()).items())
            append(ca, f'\n[[provisioners]]\ntype = "jwk"\nname = "second"\nkey = {{ {members} }}\n')


def self_signed(certificate: Any, key: Any) -> Any:
    return reissued(certificate, key, key)


def reissued(certificate: Any, key: Any, issuing_key: Any) -> Any:
    """The same certificate for another key."""
    builder = x509.CertificateBuilder(
        issuer_name=certificate.issuer,
        subject_name=certificate.subject,
        public_key=key.public_key(),
        serial_number=certificate.serial_number,
        not_valid_before=certificate.not_valid_before_utc,
        not_valid_after=certificate.not_valid_after_utc,
    )
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        if isinstance(value, x509.AuthorityKeyIdentifier):
            value = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing_key.public_key())
        builder = builder.add_extension(value, extension.critical)
    return builder.sign(issuing_key, hashes.SHA256())


@pytest.mark.parametrize("setting", ["federated_user_keys", "federated_host_keys"])
@pytest.mark.parametrize("own", CertType)
def test_a_key_of_the_ca_is_not_another_cas_as_well(ca: TestCA, setting: str, own: CertType) -> None:
    (ca.directory / "own.pub").write_text(line_of(ca.ssh_keys[own].key))
    append(ca, f'\n[plugin.sshsigner]\n{setting} = ["own.pub"]\n')
    with pytest.raises(ConfigError, match=setting):
        create_app(ca.authority())


# Policies


class Policy:
    """Does to SSH certificates as it is told."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self.act: Callable[..., Any] | None = act

    @hookimpl
    def refuse_ssh(self, request: Any, tbs: Any, grant: Any) -> Any:
        return self.act(request, tbs, grant) if self.act else None


def crash(*_: Any) -> Any:
    raise ZeroDivisionError("canary\n\x1b[31m")


async def crash_later(*_: Any) -> Any:
    await asyncio.sleep(0)
    raise MicaError("canary")


async def answer_wrongly(*_: Any) -> Any:
    return True


def overwrite(request: Any, tbs: Any, grant: Any) -> Any:
    tbs.valid_principals = ("root",)


POLICIES: dict[str, Callable[..., Any]] = {
    "raises": crash,
    "raises later": crash_later,
    "hangs": lambda *_: asyncio.sleep(600),
    "says yes": lambda *_: True,
    "says no": lambda *_: False,
    "says 0": lambda *_: 0,
    "says nothing in octets": lambda *_: b"",
    "says an empty list": lambda *_: [],
    "says so later": answer_wrongly,
    "gives a type": lambda *_: str,
    "refuses without a word": lambda *_: "",
    "changes what it was given": overwrite,
}


@pytest.mark.parametrize("case", POLICIES)
async def test_a_policy_that_does_not_plainly_agree_refuses_and_is_named(
    ca: TestCA, case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "DEADLINE", 0.05)
    policy = Policy(POLICIES[case])
    async with started(ca, evil=policy) as authority:
        app, body = create_app(authority), BODY | {"ott": ca.ssh_token("alice", "user", ["alice"])}
        with caplog.at_level(logging.INFO):
            reply = await send(app, "POST", "/ssh/sign", body)
        assert reply.status == 403
        assert "policy evil" in reply.json["message"] and "canary" not in reply.json["message"]
        assert "evil" in caplog_fields(caplog)
        assert await on_record(authority) == []
        policy.act = None
        assert (await send(app, "POST", "/ssh/sign", body)).status == 201


async def test_a_policy_that_changes_what_it_was_given_by_force_refuses_and_is_named(
    ca: TestCA, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a mistake any more, but no use either; and whoever is asked next sees what was composed."""

    def tamper(request: Any, tbs: Any, grant: Any) -> None:
        for name, value in {
            "valid_principals": ("root",), "key_id": "root", "serial": 1, "extensions": (), "cert_type": CertType.HOST,
            "public_key": public(OTHER_KEY), "signature_key": public(OTHER_KEY),
        }.items():  # fmt: skip
            object.__setattr__(tbs, name, value)
        tbs.__dict__["wire"] = b"anything"
        object.__setattr__(request, "public_key", public(OTHER_KEY))
        object.__setattr__(grant.permits[0], "principals", Exactly(names=("root",)))
        object.__setattr__(grant.permits[0], "key_id", "root")

    seen: list[Any] = []
    policy = Policy(tamper)
    witness = Policy(lambda request, tbs, grant: seen.append((tbs.key_id, tbs.valid_principals, request.public_key)))
    async with started(ca, evil=policy, witness=witness) as authority:
        app, adding = create_app(authority), base64.b64encode(public(KEY).blob).decode()
        body = BODY | {"ott": ca.ssh_token("alice", "user", ["alice"]), "addUserPublicKey": adding}
        reply = await send(app, "POST", "/ssh/sign", body)
        assert reply.status == 403 and "policy evil changed what it was given" in reply.json["message"]
        assert "plugin evil changed what refuse_ssh was given" in caplog.text
        assert seen == [("alice", ("alice",), public(KEY))]
        assert await on_record(authority) == []
        policy.act = None
        reply = await send(app, "POST", "/ssh/sign", body)
        assert reply.status == 201
        for member, key_id, principal in (
            ("crt", "alice", "alice"), ("addUserCrt", "alice-provisioner", "provisioner")
        ):  # fmt: skip
            certificate = SSHCertificate.decode(base64.b64decode(reply.json[member]))
            certificate.check_signature()
            tbs = certificate.tbs
            assert (tbs.key_id, tbs.valid_principals, tbs.public_key) == (key_id, (principal,), public(KEY))
            found = await authority.store.find(recorded_id(certificate))
            assert found is not None and found.certificate == certificate.blob
            assert (found.subject, found.names) == (key_id, (principal,))


async def test_a_policy_is_asked_for_every_ssh_certificate(ca: TestCA) -> None:
    """Renewal, rekeying and the certificate that makes the account included."""
    seen: list[tuple[str, bool]] = []
    policy = Policy(lambda request, tbs, grant: seen.append((tbs.key_id, request is None)))
    async with started(ca, evil=policy) as authority:
        old = await host(ca, authority, KEY)
        adding = order(KEY, add_user_public_key=public(OTHER_KEY))
        await sign_ssh_token(authority, adding, ca.ssh_token("alice", "user", ["alice"]))
        await renew_ssh(authority, SSHRenewRequest(), held(ca, old, KEY, "/ssh/renew"))
        rekeying = SSHRenewRequest(public_key=public(OTHER_KEY))
        await renew_ssh(authority, rekeying, held(ca, old, KEY, "/ssh/rekey"))
    name = "web.example"
    assert seen == [(name, False), ("alice", False), ("alice-provisioner", False), (name, True), (name, True)]


# Routes


async def serve_nothing(request: Any) -> Any:
    return None


ROUTES: dict[str, Any] = {
    "raises": ZeroDivisionError("no"),
    "nothing": None,
    "no routes": ["/evil"],
    "a path of the core": [Route("POST", "/sign", serve_nothing)],
    "a path of another plugin": [Route("POST", "/ssh/evil", serve_nothing)],
    "the path of an old client": [Route("POST", "/sign-ssh", serve_nothing)],
    "the version": [Route("GET", "/1.0/ssh/roots", serve_nothing)],
    "everything": [Route("GET", "/{}", serve_nothing)],
    "up and across": [Route("GET", "/evil/../ssh/sign", serve_nothing)],
    "one twice": [Route("GET", "/evil", serve_nothing), Route("GET", "/evil", serve_nothing)],
    "a strange method": [Route("CONNECT", "/evil", serve_nothing)],
}


@pytest.mark.parametrize("case", ROUTES)
def test_routes_that_cannot_be_served_stop_the_start_and_name_the_plugin(ca: TestCA, case: str) -> None:
    class Plugin:
        @hookimpl
        def routes(self, services: Any) -> Any:
            if isinstance(ROUTES[case], Exception):
                raise ROUTES[case]
            return ROUTES[case]

    enable(ca, "evil")
    authority = ca.authority({"evil": Plugin()})
    with pytest.raises(ConfigError, match="evil"):
        create_app(authority)


async def test_a_route_that_fails_or_answers_nothing_harms_nobody_else(ca: TestCA) -> None:
    async def fail(request: Any) -> Any:
        raise ZeroDivisionError("canary")

    class Plugin:
        @hookimpl
        def routes(self, services: Any) -> Any:
            return [Route("GET", "/evil/fail", fail)]

    async with started(ca, evil=Plugin()) as authority:
        app: Application = create_app(authority)
        reply = await send(app, "GET", "/evil/fail")
        assert reply.status == 500 and b"canary" not in reply.body
        body = BODY | {"ott": ca.ssh_token("alice", "user", ["alice"])}
        assert (await send(app, "POST", "/ssh/sign", body)).status == 201


SLOW_ROUTES = """
import time
from mica import hookimpl

@hookimpl
def routes(services):
    time.sleep(600)
    return []
"""
IMPATIENT = """
import sys
from pathlib import Path
from mica.web.supervisor import serve
from mica.web.timing import Timing

if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1]), workers=1, timing=Timing(start=4)))
"""


def test_routes_that_are_never_told_end_the_start_and_the_stack_names_them(ca: TestCA, tmp_path: Path) -> None:
    module = tmp_path / "slow_routes.py"
    module.write_text(SLOW_ROUTES)
    install(tmp_path / "site", module)
    enable(ca, module.stem)
    script = tmp_path / "serve.py"
    script.write_text(IMPATIENT)
    run = subprocess.run(
        [sys.executable, str(script), str(ca.directory / "ca.toml")],
        capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": str(tmp_path / "site")},
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (1, "")
    assert "a worker was not ready after 4 s" in run.stderr and "slow_routes.py" in run.stderr
