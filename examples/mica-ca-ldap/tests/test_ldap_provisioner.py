"""Who is let in by a directory, what they may have, and what becomes of guesses."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mica import ConfigError, Grant, Operation, ProvisionerRef, Refused, Unauthorized, Unavailable
from mica.testing.contexts import Clock, make_context
from mica.testing.renewals import make_issuance
from mica.testing.verdicts import verdict
from mica_ldap import guesses, sealing, slapd
from mica_ldap.config import MapRule
from mica_ldap.contracts import Bearer, bearer, configure
from mica_ldap.provisioner import LDAPProvisioner

Build = Callable[..., LDAPProvisioner]
KEY = ec.generate_private_key(sealing.CURVE())
SIGN, SSH = Operation.X509_SIGN, Operation.SSH_SIGN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build(tmp_path: Path, directory: slapd.Slapd, clock: Clock) -> Build:
    """A provisioner with these settings besides the usual ones."""

    def built(**settings: Any) -> LDAPProvisioner:
        return LDAPProvisioner(configure(tmp_path, directory, KEY, **settings), make_context(clock, tmp_path))

    return built


def by(user: str, clock: Clock, operation: Operation = SIGN, password: str = slapd.PASSWORD) -> Bearer:
    return replace(bearer(KEY, operation, clock(), user), password=password)


def ordering(user: str, clock: Clock, *names: str) -> str:
    return by(user, clock).token(sub=names[0], sans=[*names])


async def refusal(provisioner: LDAPProvisioner, raw: str, operation: Operation = SIGN) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        await verdict(provisioner, raw, operation)
    return caught.value


def binds(directory: slapd.Slapd, user: str) -> int:
    """How many passwords of the user the directory has judged."""
    return directory.log().count(f'BIND dn="uid={user},ou=people,{slapd.SUFFIX}" method=128')


@pytest.mark.parametrize("place", ["url", "starttls_url"])
async def test_a_person_gets_their_own_names_and_their_groups(
    build: Build, directory: slapd.Slapd, clock: Clock, place: str
) -> None:
    provisioner = build(url=getattr(directory, place))
    await provisioner.start()
    ordered = ordering("alice", clock, "svc.harbour.example", "alice@harbour.example")
    grant = await verdict(provisioner, ordered, SIGN)
    assert grant.subject == grant.provisioner.credential_id == "alice"
    assert grant.permits[0].names.names == (  # type: ignore[union-attr]
        x509.DNSName("svc.harbour.example"),
        x509.RFC822Name("alice@harbour.example"),
    )
    step = {"ssh": {"certType": "user", "keyID": "root", "principals": ["alice", "deploy"]}}
    grant = await verdict(provisioner, by("alice", clock, SSH).token(step=step), SSH)
    (permit,) = grant.permits
    assert permit.principals.names == ("alice", "deploy")  # type: ignore[union-attr]
    assert permit.key_id == "alice"  # type: ignore[union-attr]


async def test_a_name_that_needs_escapes_is_found_in_its_groups(build: Build, clock: Clock) -> None:
    assert await verdict(build(), ordering("ann", clock, "svc.harbour.example"), SIGN)


@pytest.mark.parametrize(
    "names", [("svc.harbour.example",), ("bob@harbour.example", "svc.harbour.example"), ("alice@harbour.example",)]
)
async def test_names_of_groups_that_one_is_not_in_and_of_others_are_refused(
    build: Build, clock: Clock, names: tuple[str, ...]
) -> None:
    with pytest.raises(Refused, match="bob may not have (svc|alice)"):
        await verdict(build(), ordering("bob", clock, *names), SIGN)


async def test_a_common_name_of_another_is_refused(build: Build, clock: Clock) -> None:
    raw = by("bob", clock).token(sub="alice", sans=["bob@harbour.example"])
    with pytest.raises(Refused, match="bob may not have alice"):
        await verdict(build(), raw, SIGN)


@pytest.mark.parametrize(
    "ssh", [{"principals": ["deploy"]}, {"principals": ["alice"]}, {"principals": ["bob", "root"]}]
)
async def test_principals_of_others_are_refused(build: Build, clock: Clock, ssh: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="bob may not have (deploy|alice|root)"):
        await verdict(build(), by("bob", clock, SSH).token(step={"ssh": ssh}), SSH)


async def test_no_host_gets_an_ssh_certificate(build: Build, clock: Clock) -> None:
    step = {"ssh": {"certType": "host", "keyID": "alice", "principals": ["alice"]}}
    with pytest.raises(Refused, match="for no host"):
        await verdict(build(), by("alice", clock, SSH).token(step=step), SSH)


async def test_unknown_users_and_wrong_passwords_get_one_answer_after_one_time(build: Build, clock: Clock) -> None:
    provisioner, answers = build(), {}
    for user, password in (("alice", "wrong"), ("nobody", slapd.PASSWORD), ("twin", slapd.PASSWORD)):
        began = time.monotonic()
        error = await refusal(provisioner, by(user, clock, password=password).good())
        answers[user] = (str(error).replace(user, "X"), error.public, round(time.monotonic() - began, 1))
    assert len(set(answers.values())) == 1, answers
    assert answers["alice"][1] is None


async def test_an_empty_password_is_refused_before_the_directory_which_would_take_it(
    build: Build, directory: slapd.Slapd, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert directory.tool("ldapwhoami", f"uid=bob,ou=people,{slapd.SUFFIX}", "") == "anonymous\n"
    before = binds(directory, "bob")
    with pytest.raises(ValueError, match="1 to 255 octets"):
        by("bob", clock, password="").good()
    for password in (b"", b"\0", b"pass\0word"):
        sealed = password.ljust(255, b"\0")
        monkeypatch.setattr(
            "mica_ldap.contracts.seal",
            lambda _, key, text, sealed=sealed: sealing._SUITE.encrypt(sealed, key, sealing._PURPOSE + text),
        )
        assert "no password" in str(await refusal(build(), by("bob", clock).good()))
    assert binds(directory, "bob") == before


@pytest.mark.parametrize(
    "user",
    ["*", "*)(uid=*", "alice)(uid=*", "bob,dc=example", "alice\\2c", "a*", "", " alice", "alice ", "alice\n", "älice",
     "alice\x00", "\u212aate", "a" * 65, "uid=alice", "alice;bob", 7, ["alice"], None],
)  # fmt: skip
async def test_a_user_name_that_is_not_plain_never_reaches_the_directory(
    build: Build, directory: slapd.Slapd, clock: Clock, user: object
) -> None:
    before = directory.log()
    error = await refusal(build(), by("alice", clock).token(ldap_user=user))
    assert "no plain user name" in str(error)
    assert directory.log() == before


async def test_so_many_guesses_and_no_more(build: Build, directory: slapd.Slapd, clock: Clock) -> None:
    provisioner, before = build(), binds(directory, "alice")
    spellings = ["alice", "ALICE", "Alice", "aLICE"] * 10
    guessed = (by(user, clock, password=f"guess-{number}").good() for number, user in enumerate(spellings))
    errors = await asyncio.gather(*(refusal(provisioner, raw) for raw in guessed))
    assert {error.public for error in errors} == {None}
    assert binds(directory, "alice") - before == 5
    assert "have failed" in str(await refusal(provisioner, by("alice", clock).good()))
    assert await verdict(provisioner, by("ann", clock).good(), SIGN)
    clock.advance(timedelta(minutes=15))
    assert await verdict(provisioner, by("alice", clock).good(), SIGN)


async def test_who_logs_in_begins_anew(build: Build, clock: Clock) -> None:
    provisioner = build()
    for _ in range(2):
        await asyncio.gather(*(refusal(provisioner, by("bob", clock, password="guess").good()) for _ in range(4)))
        await verdict(provisioner, by("bob", clock).good(), SIGN)


def test_made_up_names_do_not_make_a_guessed_one_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MOST_NAMES", 10)
    counted = guesses.Guesses(5, timedelta(minutes=15))
    for _ in range(5):
        counted.begin("alice", clock())
    for number in range(100):
        counted.begin(f"name{number}", clock())
    with pytest.raises(Unauthorized, match="5 logins of alice have failed"):
        counted.begin("alice", clock())


async def test_a_directory_that_is_down_costs_no_attempt(build: Build, directory: slapd.Slapd, clock: Clock) -> None:
    provisioner = build()
    directory.stop()
    try:
        with pytest.raises(Unavailable):
            await provisioner.start()
        for _ in range(8):
            with pytest.raises(Unavailable):
                await verdict(provisioner, by("alice", clock).good(), SIGN)
    finally:
        directory.start()
    await provisioner.start()
    assert await verdict(provisioner, by("alice", clock).good(), SIGN)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_directory_that_talks_nonsense_is_none(build: Build) -> None:
    def answer(listener: socket.socket) -> None:
        for nonsense in ("300c70", "3003020101", "30840000000302010161", "ff" * 40, "30800000"):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(bytes.fromhex(nonsense))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = asyncio.create_task(asyncio.to_thread(answer, listener))
        for _ in range(5):
            with pytest.raises(Unavailable):
                await build(url=f"ldap://127.0.0.1:{listener.getsockname()[1]}").start()
        await answering


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_a_directory_that_says_nothing_is_given_up(build: Build, silent: int, scheme: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await build(url=f"{scheme}://127.0.0.1:{silent}").start()
    assert time.monotonic() - began < 9


async def test_a_directory_that_does_not_begin_tls_hears_no_password(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    heard = []

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            heard.append(connection.recv(4096))
            id = heard[0][heard[0].index(b"\x02", 2) :]
            # LDAPMessage with an extendedResp: protocolError (RFC 4511 §4.12, §4.14.2)
            message = id[: 2 + id[1]] + bytes.fromhex("78070a010204000400")
            connection.sendall(bytes([0x30, len(message)]) + message)
            heard.append(connection.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = asyncio.create_task(asyncio.to_thread(answer, listener))
        with pytest.raises(Unavailable):
            await build(url=f"ldap://127.0.0.1:{listener.getsockname()[1]}").start()
        await answering
    assert "startTLS failed - protocolError" in caplog.text
    assert b"1.3.6.1.4.1.1466.20037" in heard[0]
    assert b"mica" not in b"".join(heard)
    assert slapd.SERVICE_PASSWORD.encode() not in b"".join(heard)


async def test_a_directory_that_proves_itself_by_another_root_or_name_is_not_asked(
    build: Build, directory: slapd.Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    for settings in (
        {"roots": None},
        {"roots": None, "url": directory.starttls_url},
        {"url": directory.url.replace("localhost", "127.0.0.1")},
        {"url": directory.starttls_url.replace("localhost", "127.0.0.1")},
    ):
        before = directory.log().count("BIND")
        with pytest.raises(Unavailable, match="^the directory does not answer; the log says more$"):
            await build(**settings).start()
        assert "certificate verify failed" in caplog.messages[-1]
        assert directory.log().count("BIND") == before, settings


async def renewed(provisioner: LDAPProvisioner, clock: Clock, user: str, *names: str) -> Grant:
    ref = ProvisionerRef(name="corp", type="LDAP", credential_id=user)
    issuance = replace(make_issuance(ref, clock()), names=names)
    return await provisioner.authorize_renewal(issuance, Operation.X509_RENEW)


async def test_a_renewal_asks_the_directory_again(build: Build, directory: slapd.Slapd, clock: Clock) -> None:
    provisioner, trusting = build(filter="(!(title=gone))"), build(ask_at_renewal=False)
    await renewed(provisioner, clock, "ann", "svc.harbour.example", "ann@harbour.example")
    member = f"cn=Lee\\2C Ann,ou=people,{slapd.SUFFIX}"
    directory.modify(f"dn: {slapd.OPS}\nchangetype: modify\ndelete: member\nmember: {member}\n")
    with pytest.raises(Unauthorized, match="ann may not have svc.harbour.example any more"):
        await renewed(provisioner, clock, "ann", "svc.harbour.example", "ann@harbour.example")
    await renewed(provisioner, clock, "ann", "ann@harbour.example")
    directory.modify(f"dn: {member}\nchangetype: modify\nadd: title\ntitle: gone\n")
    for user in ("ann", "nobody", "", "*"):
        with pytest.raises(Unauthorized, match="may not log in any more"):
            await renewed(provisioner, clock, user, "ann@harbour.example")
    assert "does not let ann in" in str(await refusal(provisioner, by("ann", clock).good()))
    assert await renewed(trusting, clock, "ann", "svc.harbour.example")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"url": "http://localhost"}, "url: must be ldaps://"),
        ({"url": "ldaps://"}, "url: must be ldaps://"),
        ({"url": "ldaps://localhost:port"}, "url: must be ldaps://"),
        ({"url": "ldaps://mica@localhost"}, "url: must be ldaps://"),
        ({"bind_dn": ""}, "bind_dn: must not be empty"),
        ({"base": ""}, "base: must not be empty"),
        ({"filter": "uid=*"}, "filter: must be a filter in parentheses"),
        ({"user_attribute": "uid=a)(cn"}, "user_attribute: must be the name"),
        ({"email_attribute": "a b"}, "email_attribute: must be the name"),
        ({"member_attribute": "*"}, "member_attribute: must be the name"),
        ({"max_failures": 0}, "max_failures: must be at least 1"),
        ({"failure_window": timedelta()}, "failure_window: must be at least 1s"),
        ({"map": (MapRule(group="cn=a"),)}, r"map\[0\].principals: the rule gives no name"),
        ({"map": (MapRule(group="", dns=("a",)),)}, r"map\[0\].group: must not be empty"),
        ({"map": (MapRule(group="cn=a", principals=("a,root",)),)}, r"map\[0\].principals: .* must be one plain name"),
        ({"map": (MapRule(group="cn=a", dns=("a b",)),)}, r"map\[0\].dns: 'a b' is not a DNS name"),
        ({"map": (MapRule(group="cn=a", emails=("a",)),)}, r"map\[0\].emails: 'a' is not an e-mail address"),
        ({"key": Path("bind_password")}, "key: bind_password"),
        ({"roots": Path("bind_password")}, "roots: bind_password must hold certificates"),
        ({"key": Path("nothing")}, "nothing"),
    ],
)
def test_every_mistake_in_the_table_is_told(build: Build, settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        build(**settings)


@pytest.mark.parametrize("file", ["ldap_key", "bind_password"])
def test_a_secret_that_others_can_read_is_refused(build: Build, tmp_path: Path, file: str) -> None:
    build()
    copy = tmp_path / "copy"
    copy.write_bytes((tmp_path / file).read_bytes())
    copy.chmod(0o644)
    field = "key" if file == "ldap_key" else "bind_password_file"
    with pytest.raises(ConfigError, match="others can read this secret"):
        build(**{field: Path("copy")})
