"""A new SSH certificate: what was granted, nothing else, and on record before it leaves."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from core.tests.sshorders import HOST, decoded, grant, host, issued_by, order, permit, user
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_identity

from mica.authority import Authority
from mica.authorization import believed
from mica.errors import ConfigError, MalformedRequest, Refused, TokenReused, Unauthorized, Unsupported
from mica.grants import AddUser, Exactly, Operation, Within
from mica.hookspecs import hookimpl
from mica.keyfiles import generate
from mica.records import CertificateKind, Query
from mica.requests import SSHSignRequest
from mica.sshcert import CertType, SSHCertificate
from mica.sshissuance import sign_ssh_token
from mica.sshkeys import SSHPublicKey
from mica.testing.ca import TestCA
from mica.testing.keygen import SECURITY_KEYS, Keygen, security_key

MORE_THAN_A_NAME = [
    "deploy,root", "*", "web*", "a?", "a b", "a\tb", "a\nb", "root\0", "a\x1b[31m", "", "\u200b", "x" * 256,
]  # fmt: skip
USER_EXTENSIONS = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
]


async def test_ssh_keygen_reads_what_the_token_described(ca: TestCA, authority: Authority, tmp_path: Path) -> None:
    certificate = await user(ca, authority, "alice", "ops")
    (tmp_path / "id-cert.pub").write_text(_line(certificate.blob))
    (tmp_path / "ca.pub").write_bytes(ca.ssh_keys[CertType.USER].line)
    keygen = Keygen(tmp_path)
    text = keygen("-L", "-f", "id-cert.pub")
    assert "Type: ecdsa-sha2-nistp256-cert-v01@openssh.com user certificate" in text
    assert f"Signing CA: ECDSA {keygen('-l', '-f', 'ca.pub').split()[1]}" in text
    assert 'Key ID: "alice@example"' in text
    assert f"Serial: {certificate.tbs.serial}\n" in text
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("Principals:") + 1 :][:2] == ["alice", "ops"]
    assert "Critical Options: (none)" in lines
    assert lines[lines.index("Extensions:") + 1 :] == USER_EXTENSIONS


async def test_a_users_certificate_lasts_16_hours_and_a_hosts_30_days(ca: TestCA, authority: Authority) -> None:
    now = ca.clock().replace(microsecond=0)
    for certificate, lifetime in (
        (await user(ca, authority), timedelta(hours=16)),
        (await host(ca, authority, generate("EC-P256")), timedelta(days=30)),
    ):
        assert certificate.tbs.valid_after == now - timedelta(minutes=1)
        assert certificate.tbs.valid_before == now + lifetime


async def test_a_hosts_certificate_has_no_extensions_and_its_name_in_lower_case(
    ca: TestCA, authority: Authority
) -> None:
    certificate = await host(ca, authority, generate("EC-P256"), name="Web.Example")
    assert certificate.tbs.cert_type is CertType.HOST
    assert certificate.tbs.valid_principals == (HOST,)
    assert certificate.tbs.extensions == certificate.tbs.critical_options == ()
    assert certificate.tbs.signature_key == SSHPublicKey.of(ca.ssh_keys[CertType.HOST].key.public_key())


@pytest.mark.parametrize("algorithm", ["EC-P256", "EC-P384", "EC-P521", "Ed25519", "RSA-2048"])
async def test_pyca_reads_and_verifies_a_certificate_for_each_kind_of_key(
    ca: TestCA, authority: Authority, algorithm: str
) -> None:
    key = generate(algorithm)
    issued = await sign_ssh_token(authority, order(key), ca.ssh_token("alice@example", "user", ["alice"]))
    theirs: Any = load_ssh_public_identity(_line(issued.certificate).encode())
    theirs.verify_cert_signature()
    assert theirs.public_key() == key.public_key()
    assert theirs.valid_principals == [b"alice"]


@pytest.mark.parametrize("kind", SECURITY_KEYS)
async def test_a_security_key_keeps_its_application(
    ca: TestCA, authority: Authority, kind: str, tmp_path: Path
) -> None:
    key = SSHPublicKey.decode(security_key(kind, "ssh:work"))
    issued = await issued_by(authority, SSHSignRequest(public_key=key), permit())
    assert issued.tbs.public_key.application == "ssh:work"
    (tmp_path / "sk-cert.pub").write_text(_line(issued.blob))
    assert f"Public key: {key.kind}-CERT {key.fingerprint}" in Keygen(tmp_path)("-L", "-f", "sk-cert.pub")


async def test_a_weak_key_is_refused(ca: TestCA, authority: Authority) -> None:
    weak = SSHPublicKey.of(rsa.generate_private_key(65537, 1024).public_key())
    with pytest.raises(Refused, match="^ssh certificate key must be at least 2048 bits"):
        await issued_by(authority, SSHSignRequest(public_key=weak), permit())


async def test_a_key_of_the_authority_is_not_certified(ca: TestCA, authority: Authority) -> None:
    for key in ca.ssh_keys.values():
        with pytest.raises(Refused, match="is a key of the authority itself"):
            await issued_by(authority, order(key.key), permit())


async def test_the_certificate_is_on_record_with_its_provisioner(ca: TestCA, authority: Authority) -> None:
    issued = await sign_ssh_token(authority, order(), ca.ssh_token("alice@example", "user", ["alice", "ops"]))
    found = await authority.store.find(issued.issuance.id)
    assert found is not None and found.certificate == issued.certificate
    assert (found.id.kind, found.subject, found.names) == (CertificateKind.SSH, "alice@example", ("alice", "ops"))
    assert found.provisioner.name == "admin"


async def test_a_token_serves_once_and_a_refused_request_does_not_burn_it(ca: TestCA, authority: Authority) -> None:
    token = ca.ssh_token("alice@example", "user", ["alice"])
    with pytest.raises(Refused, match=r"principals does not match - got \[root\], want \[alice\]"):
        await sign_ssh_token(authority, order(principals=("root",)), token)
    await sign_ssh_token(authority, order(), token)
    with pytest.raises(TokenReused):
        await sign_ssh_token(authority, order(), token)


async def test_a_request_may_repeat_what_the_token_says_in_any_case(ca: TestCA, authority: Authority) -> None:
    certificate = await user(ca, authority, "alice", "ops", cert_type=CertType.USER, principals=("ALICE",))
    assert certificate.tbs.valid_principals == ("alice", "ops")  # the token's, not the subset


async def test_a_refusal_does_not_repeat_ten_thousand_names(ca: TestCA, authority: Authority) -> None:
    with pytest.raises(Refused, match=r"principals does not match - got \[n0 n1 .*…\], want \[alice\]") as refusal:
        await user(ca, authority, principals=tuple(f"n{number}" for number in range(10_000)))
    assert len(str(refusal.value)) < 1200


async def test_another_type_than_the_tokens_is_refused(ca: TestCA, authority: Authority) -> None:
    with pytest.raises(Refused, match="ssh certificate type does not match - got host, want user"):
        await user(ca, authority, cert_type=CertType.HOST)


async def test_another_validity_than_the_tokens_is_refused(ca: TestCA, authority: Authority) -> None:
    ends = permit(valid_before=timedelta(hours=2))
    with pytest.raises(Refused, match="ssh certificate validBefore does not match"):
        await issued_by(authority, order(valid_before=timedelta(hours=3)), ends)
    certificate = await issued_by(authority, order(valid_before=timedelta(hours=2)), ends)
    assert certificate.tbs.valid_before == ca.clock().replace(microsecond=0) + timedelta(hours=2)


async def test_durations_of_a_request_are_counted_from_now(ca: TestCA, authority: Authority) -> None:
    request = order(valid_after=timedelta(hours=1), valid_before=timedelta(hours=3))
    certificate = await issued_by(authority, request, permit())
    now = ca.clock().replace(microsecond=0)
    assert certificate.tbs.valid_after == now + timedelta(hours=1)  # who asks for a start gets that start
    assert certificate.tbs.valid_before == now + timedelta(hours=3)


@pytest.mark.parametrize(
    ("valid_before", "error", "message"),
    [
        (timedelta(hours=25), Refused, "requested duration of 25h1m0s is greater than maximum .* of 24h1m0s"),
        (timedelta(minutes=3), Refused, "requested duration of 4m0s is less than minimum .* of 5m0s"),
        (timedelta(minutes=-3), MalformedRequest, "validBefore cannot be in the past"),
    ],
)
async def test_the_claims_bound_the_validity(
    ca: TestCA, authority: Authority, valid_before: timedelta, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await user(ca, authority, valid_before=valid_before)


async def test_a_credentials_own_window_bounds_the_validity(ca: TestCA, authority: Authority) -> None:
    end = ca.clock().replace(microsecond=0) + timedelta(hours=1)
    certificate = await issued_by(authority, order(), permit(not_after=end))
    assert certificate.tbs.valid_before == end
    with pytest.raises(Refused, match="after the expiration of the provisioning credential"):
        await issued_by(authority, order(valid_before=timedelta(hours=2)), permit(not_after=end))
    with pytest.raises(Refused, match="before the active validity window"):
        await issued_by(authority, order(valid_after=timedelta(0)), permit(not_before=end))


@pytest.mark.parametrize("principal", MORE_THAN_A_NAME)
@pytest.mark.parametrize("cert_type", CertType)
async def test_a_principal_that_is_more_than_a_plain_name_is_never_certified(
    authority: Authority, principal: str, cert_type: CertType
) -> None:
    names = Exactly(names=("alice", principal))
    with pytest.raises((Refused, MalformedRequest), match="principal|must not contain NUL"):
        await issued_by(authority, order(), permit(principals=names, cert_type=cert_type))


@pytest.mark.parametrize("cert_type", CertType)
@pytest.mark.parametrize("rule", [Exactly(names=()), Within(names=())])
async def test_a_certificate_without_principals_is_never_issued(
    authority: Authority, cert_type: CertType, rule: Any
) -> None:
    with pytest.raises(Refused, match="principals cannot be empty"):
        await issued_by(authority, order(), permit(principals=rule, cert_type=cert_type))


async def test_of_a_choice_the_request_takes_some_or_by_default_all(authority: Authority) -> None:
    choice = permit(principals=Within(names=("alice", "ops", "root")))
    some = await issued_by(authority, order(principals=("ROOT", "alice")), choice)
    assert some.tbs.valid_principals == ("alice", "root")
    assert (await issued_by(authority, order(), choice)).tbs.valid_principals == ("alice", "ops", "root")
    with pytest.raises(Refused, match="principals does not match"):
        await issued_by(authority, order(principals=("mallory",)), choice)


async def test_granted_options_stand_in_the_certificate(authority: Authority, tmp_path: Path) -> None:
    options = (("force-command", "/bin/date -u"), ("source-address", "10.0.0.0/8,::1"))
    certificate = await issued_by(
        authority, order(), permit(critical_options=options, extensions=(("permit-pty", ""),))
    )
    (tmp_path / "id-cert.pub").write_text(_line(certificate.blob))
    lines = [line.strip() for line in Keygen(tmp_path)("-L", "-f", "id-cert.pub").splitlines()]
    start = lines.index("Critical Options:")
    assert lines[start + 1 :] == [
        "force-command /bin/date -u",
        "source-address 10.0.0.0/8,::1",
        "Extensions:",
        "permit-pty",
    ]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"critical_options": (("source-address", "10.0.0.1/8"),)}, "has host bits set"),
        ({"critical_options": (("source-address", "10.0.0.0/255.0.0.0"),)}, "is none that sshd reads"),
        ({"critical_options": (("source-address", "fe80::1%eth0"),)}, "is none that sshd reads"),
        ({"critical_options": (("source-address", "10.0.0.1,"),)}, "is none that sshd reads"),
        ({"critical_options": (("force-command", ""),)}, "must be one line of text"),
        ({"critical_options": (("force-command", "date\nreboot"),)}, "must be one line of text"),
        ({"critical_options": (("verify-required", "x"),)}, "has no value"),
        ({"critical_options": (("permit-pty", ""),)}, "sshd would refuse the certificate"),
        ({"extensions": (("force-command", "date"),)}, "ssh has none of that name"),
        ({"cert_type": CertType.HOST, "extensions": (("permit-pty", ""),)}, "none are defined for hosts"),
        ({"key_id": "alice\x1b[2J"}, "keyID must be printable"),
    ],
)
async def test_options_that_ssh_would_not_understand_are_refused(
    authority: Authority, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        await issued_by(authority, order(), permit(**members))


@pytest.mark.parametrize("member", ["critical_options", "extensions"])
async def test_a_provisioner_that_grants_options_out_of_order_or_twice_is_not_believed(
    authority: Authority, member: str
) -> None:
    entry = authority.registry.named("admin")
    assert entry is not None
    good = (("a@example", "1"), ("b@example", "2"))
    for options in (good, good[::-1], (good[0], good[0])):
        answer = grant(authority, permit(**{member: options}))
        if options == good:
            assert believed(answer, entry, Operation.SSH_SIGN, authority.now()).permits == answer.permits
        else:
            with pytest.raises(Unauthorized, match="provisioner admin is not believed"):
                believed(answer, entry, Operation.SSH_SIGN, authority.now())


async def test_the_second_certificate_can_do_nothing_but_make_the_account(ca: TestCA, authority: Authority) -> None:
    other = SSHPublicKey.of(generate("Ed25519").public_key())
    token = ca.ssh_token("alice@example", "user", ["alice", "alice@example"])
    issued = await sign_ssh_token(authority, order(add_user_public_key=other), token)
    assert issued.add_user is not None
    tbs, second = decoded(issued).tbs, SSHCertificate.decode(issued.add_user)
    second.check_signature()
    added = second.tbs
    assert added.public_key == other
    assert (added.key_id, added.valid_principals) == ("alice-provisioner", ("provisioner",))
    assert added.critical_options == (("force-command", "sudo useradd -m alice; nc -q0 localhost 22"),)
    assert added.extensions == ()
    assert (added.valid_after, added.valid_before) == (tbs.valid_after, tbs.valid_before)
    assert len((await authority.store.search(Query(now=ca.clock(), kind=CertificateKind.SSH))).rows) == 2


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ('add_user_principal = "a,root"', "add_user_principal: .* must be one plain name"),
        ('add_user_principal = ""', "add_user_principal: .* must not be empty"),
        ('add_user_command = ""', "add_user_command: .* must be one line of text"),
        ('add_user_command = "useradd <principal>\\nreboot"', "add_user_command: .* must be one line of text"),
    ],
)
def test_a_command_that_could_never_be_certified_is_noticed_at_start(ca: TestCA, setting: str, fault: str) -> None:
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text().replace("[signers.ssh]\n", f"[signers.ssh]\n{setting}\n"))
    with pytest.raises(ConfigError, match=rf"signers\.ssh\.{fault}"):
        ca.authority()


async def test_no_second_certificate_for_an_account_that_a_shell_would_misread(authority: Authority) -> None:
    request = order(add_user_public_key=SSHPublicKey.of(generate("Ed25519").public_key()))
    for account in ("a;reboot", "$(reboot)", "-m", "a b", "Alice", "x" * 33):
        with pytest.raises(Refused, match="cannot be made an account"):
            await issued_by(authority, request, permit(), AddUser(account=account))


async def test_without_a_permit_for_it_there_is_no_second_certificate(ca: TestCA, authority: Authority) -> None:
    other = SSHPublicKey.of(generate("Ed25519").public_key())
    token = ca.ssh_token("alice@example", "user", ["alice", "root"])
    assert (await sign_ssh_token(authority, order(add_user_public_key=other), token)).add_user is None


async def test_a_provisioner_without_the_claim_issues_nothing_for_ssh(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, ssh=True)
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text().replace("enable_ssh_ca = true", "enable_ssh_ca = false"))
    authority = ca.authority()
    await authority.start()
    with pytest.raises(Unauthorized, match="enable_ssh_ca is not set"):
        await user(ca, authority)
    await authority.aclose()


async def test_an_authority_without_ssh_says_that_it_has_none(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path)
    authority = ca.authority()
    await authority.start()
    with pytest.raises(Unsupported):
        await sign_ssh_token(authority, order(), ca.ssh_token("alice@example"))
    await authority.aclose()


@pytest.mark.parametrize("answer", ["not on this day", RuntimeError("crash"), True])
async def test_a_policy_that_objects_or_fails_refuses(ca: TestCA, answer: object) -> None:
    class Policy:
        @hookimpl
        def refuse_ssh(self, tbs: Any) -> Any:
            if tbs.valid_principals != ("alice",):
                return None
            if isinstance(answer, Exception):
                raise answer
            return answer

    authority = ca.authority({"policy": Policy()})
    await authority.start()
    with pytest.raises(Refused, match="not on this day|policy policy"):
        await user(ca, authority, "alice")
    await user(ca, authority, "bob")
    await authority.aclose()


async def test_serials_are_64_random_bits(ca: TestCA, authority: Authority) -> None:
    serials = [(await user(ca, authority)).tbs.serial for _ in range(8)]
    assert len(set(serials)) == 8
    assert all(0 < serial < 2**64 for serial in serials)
    assert max(serials) > 2**60  # eight times below it happens once in 2^32


def _line(blob: bytes) -> str:
    return f"{blob[4 : 4 + blob[3]].decode()} {base64.b64encode(blob).decode()} comment\n"
