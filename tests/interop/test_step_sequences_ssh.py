"""The SSH calls of step's clients, as its Go client sends them, and what it makes of the answers."""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificateType,
)
from tests.interop.stepssh import (
    BAD,
    GENERIC_401,
    GENERIC_404,
    GENERIC_501,
    HOST,
    HOST_CA,
    USER_CA,
    Go,
    Keygen,
    base64_of,
    blob,
    certificate,
    decoded,
    encoded,
    files,
    line,
    refused,
    signed,
)

from mica.keyfiles import generate
from mica.testing.ca import csr_pem, public_jwk
from mica.testing.exchange import ask, keep

USER_EXTENSIONS = [
    b"permit-X11-forwarding", b"permit-agent-forwarding", b"permit-port-forwarding", b"permit-pty", b"permit-user-rc",
]  # fmt: skip


# step ssh certificate


@pytest.mark.parametrize("path", ["/ssh/sign", "/1.0/ssh/sign", "/sign-ssh", "/1.0/sign-ssh"])
@pytest.mark.parametrize("audience", ["/1.0/ssh/sign", "/ssh/sign"])
def test_ssh_certificate_for_a_user(step: Go, path: str, audience: str) -> None:
    principals = ["alice", "alice@harbour.example"]
    key, begun = generate("EC-P256"), int(time.time())
    ott = step.sign_ott("alice@harbour.example", path=audience, principals=principals)
    order: dict[str, Any] = {"ott": ott, "publicKey": blob(key), "principals": principals}
    issued = signed(step.sign("alice@harbour.example", path=path, **order))
    assert (issued.type, issued.key_id) == (SSHCertificateType.USER, b"alice@harbour.example")
    assert issued.valid_principals == [b"alice", b"alice@harbour.example"]
    assert (issued.critical_options, issued.extensions) == ({}, dict.fromkeys(USER_EXTENSIONS, b""))
    assert issued.public_key() == key.public_key()
    assert issued.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() == line(
        step.ca, USER_CA
    )
    assert 0 <= issued.valid_after - (begun - 60) <= 5
    assert issued.valid_before - issued.valid_after == 16 * 3600 + 60
    assert 0 < issued.serial < 2**64 and len(issued.nonce) == 32


@pytest.mark.parametrize("algorithm", ["EC-P256", "EC-P384", "EC-P521", "Ed25519", "RSA-2048"])
def test_ssh_certificate_for_a_host(step: Go, algorithm: str) -> None:
    key = generate(algorithm)
    issued = signed(step.sign(HOST, "host", publicKey=blob(key)))
    assert (issued.type, issued.key_id) == (SSHCertificateType.HOST, HOST.encode())
    assert (issued.valid_principals, issued.critical_options, issued.extensions) == ([HOST.encode()], {}, {})
    assert issued.public_key() == key.public_key()
    assert issued.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() == line(
        step.ca, HOST_CA
    )
    assert issued.valid_before - issued.valid_after == 720 * 3600 + 60


def security_key(name: str) -> str:
    """The line of a new key as a security key would make it (OpenSSH PROTOCOL.u2f)."""
    if name.startswith("sk-ssh-ed25519"):
        parts = [ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()]
    else:
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        parts = [b"nistp256", public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
    return f"{name} {encoded(name.encode(), *parts, b'ssh:harbour')} alice\n"


@pytest.mark.parametrize("name", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_ssh_certificate_sign_for_a_security_key(step: Go, keygen: Keygen, tmp_path: Path, name: str) -> None:
    public = security_key(name)
    answer = step.sign("alice", publicKey=public.split()[1])
    assert answer.status == 201, answer
    octets = base64.b64decode(answer.json["crt"], validate=True)
    kind = octets[4 : 4 + int.from_bytes(octets[:4], "big")].decode()
    (tmp_path / "key.pub").write_text(public)
    (tmp_path / "key-cert.pub").write_text(f"{kind} {answer.json['crt']}\n")
    said = keygen("-L", "-f", "key-cert.pub")
    assert f"Type: {kind} user certificate" in said and "Principals: \n                alice\n" in said
    fingerprint = keygen("-l", "-f", "key.pub").split()[1]
    assert f"-SK-CERT {fingerprint}\n" in said  # that of the whole key, its application included


def test_ssh_certificate_add_user(step: Go) -> None:
    principals = ["alice", "alice@harbour.example"]
    second = generate("EC-P256")
    ott = step.sign_ott("alice@harbour.example", principals=principals)
    order: dict[str, Any] = {"ott": ott, "principals": principals, "addUserPublicKey": blob(second)}
    answer = step.sign("alice@harbour.example", **order)
    main, add_user = signed(answer, add_user=True), certificate(answer.json["addUserCrt"])
    assert (add_user.type, add_user.key_id) == (SSHCertificateType.USER, b"alice-provisioner")
    assert add_user.valid_principals == [b"provisioner"]
    assert add_user.critical_options == {b"force-command": b"sudo useradd -m alice; nc -q0 localhost 22"}
    assert add_user.extensions == {}
    assert (add_user.valid_after, add_user.valid_before) == (main.valid_after, main.valid_before)
    assert add_user.public_key() == second.public_key()


@pytest.mark.parametrize(
    ("cert_type", "principals"), [("host", [HOST]), ("user", ["alice", "bob"]), ("user", ["alice", "@b"])]
)
def test_add_user_is_silently_left_out_where_there_is_not_one_user(
    step: Go, cert_type: str, principals: list[str]
) -> None:
    ott = step.sign_ott("somebody", cert_type, principals=principals)
    order: dict[str, Any] = {"ott": ott, "principals": principals, "addUserPublicKey": blob(generate("EC-P256"))}
    signed(step.sign("somebody", cert_type, **order))


@pytest.mark.parametrize(
    "change",
    [
        {"identityCSR": ""},
        {"identityCSR": ..., "certType": ..., "keyID": ..., "principals": ..., "validAfter": ..., "validBefore": ...},
        {"principals": None, "keyID": None, "certType": None, "validAfter": None, "validBefore": None},
        {"addUserPublicKey": None, "templateData": None},
        {"templateData": {"a": [1, None, {"b": True}]}},
        {"addUserPublicKey": "", "certType": "", "keyID": "", "principals": []},
        {"keyID": "another"},
        {"principals": ["ALICE"]},
        {"fromALaterVersion": {"x": 1}},
    ],
)
def test_every_form_of_the_order_is_understood(step: Go, change: dict[str, Any]) -> None:
    issued = signed(step.sign("alice", **change))
    assert (issued.key_id, issued.valid_principals) == (b"alice", [b"alice"])


def test_an_identity_csr_is_read_and_left(step: Go) -> None:
    """requireClientAuthentication is never sent, so that step sends none; an answer without one is well-formed."""
    signed(step.sign("alice", identityCSR=csr_pem("alice")))


def test_names_of_members_match_in_any_case_and_what_follows_is_ignored(step: Go) -> None:
    body = {"PUBLICKEY": blob(generate("Ed25519")), "Ott": step.sign_ott("alice"), "certtype": "user"}
    signed(step.post("/ssh/sign", json.dumps(body).encode() + b"\n{trailing garbage"))


def test_of_the_tokens_principals_a_part_may_be_asked_for_and_all_are_given(step: Go) -> None:
    ott = step.sign_ott("alice", principals=["alice", "Alice.Lee", "ops"])
    issued = signed(step.sign("alice", ott=ott, principals=["OPS"]))
    assert issued.valid_principals == [b"alice", b"Alice.Lee", b"ops"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"certType": "", "keyID": "", "principals": None, "validAfter": "", "validBefore": ""},
        {"principals": []},
        {"certType": "user", "unknown": 1},
    ],
)
def test_what_a_token_leaves_out_is_a_user_named_by_its_subject(step: Go, options: dict[str, Any]) -> None:
    ott = step.ott("alice", "/1.0/ssh/sign", step={"ssh": options}, user={"team": "ops"}, sans=["alice"])
    issued = signed(step.sign("alice", ott=ott, certType=..., principals=..., keyID=...))
    assert (issued.type, issued.key_id, issued.valid_principals) == (SSHCertificateType.USER, b"alice", [b"alice"])


@pytest.mark.parametrize("cert_type", ["user", "host"])
def test_a_tokens_type_holds_where_the_order_names_none(step: Go, cert_type: str) -> None:
    issued = signed(step.sign(HOST, ott=step.sign_ott(HOST, cert_type), certType=...))
    assert issued.type is SSHCertificateType[cert_type.upper()]


@pytest.mark.parametrize("form", [str, lambda aud: [aud], lambda aud: ["https://other.example/x", aud]])
def test_the_audience_is_a_string_or_an_array_with_the_port_or_without(step: Go, form: Callable[[str], Any]) -> None:
    options = {"ssh": {"certType": "user", "keyID": "alice", "principals": ["alice"]}}
    port = step.service.port
    for authority in (f"localhost:{port}", "localhost", f"127.0.0.1:{port}", f"[::1]:{port}"):
        aud = form(f"https://{authority}/1.0/ssh/sign")
        signed(step.sign("alice", ott=step.ott("alice", "", aud=aud, step=options)))


@pytest.mark.parametrize("where", ["token", "order", "both"])
@pytest.mark.parametrize(
    ("after", "before", "length"),
    [
        ("", "1h", timedelta(hours=1, minutes=1)),
        ("", "1h30m0s", timedelta(hours=1, minutes=31)),
        ("", "5400000ms", timedelta(hours=1, minutes=31)),
        ("", "1.5h", timedelta(hours=1, minutes=31)),
        ("-1m", "1h", timedelta(hours=1, minutes=1)),
        ("10m0s", "2h10m0s", timedelta(hours=2)),
        ("10m", "", timedelta(hours=16)),
    ],
)
def test_validity_by_durations_from_now(step: Go, where: str, after: str, before: str, length: timedelta) -> None:
    bounds = {"validAfter": after, "validBefore": before}
    ott = step.sign_ott("alice", **(bounds if where != "order" else {}))
    issued = signed(step.sign("alice", ott=ott, **(bounds if where != "token" else {})))
    assert issued.valid_before - issued.valid_after == length.total_seconds()


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5, minutes=30))])
@pytest.mark.parametrize("fraction", ["", ".123456789"])
@pytest.mark.parametrize("where", ["token", "order", "both"])
def test_validity_by_moments(step: Go, where: str, fraction: str, zone: timezone) -> None:
    """time.Time in JSON: RFC 3339, nine digits of a second, the zone of the machine."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    end = start + timedelta(hours=3)
    texts = [
        re.sub(r"[+]00:00$", "Z", moment.astimezone(zone).isoformat()).replace(":00+", f":00{fraction}+")
        for moment in (start, end)
    ]
    texts = [re.sub(r"(T\d\d:\d\d:\d\d)(?=[Z+-])", rf"\g<1>{fraction}", text) for text in texts]
    bounds = dict(zip(("validAfter", "validBefore"), texts, strict=True))
    ott = step.sign_ott("alice", **(bounds if where != "order" else {}))
    issued = signed(step.sign("alice", ott=ott, **(bounds if where != "token" else {})))
    assert (issued.valid_after, issued.valid_before) == (int(start.timestamp()), int(end.timestamp()))


def test_what_the_token_says_of_validity_outweighs_the_default(clients: dict[str, Go]) -> None:
    tight = clients["tight"]
    assert tight.hold("alice", "user").length == 90 * 60 + 60
    assert tight.hold().length == 36 * 3600 + 60
    token = tight.sign_ott("alice", validBefore="2h")
    assert tight.hold("alice", "user", ott=token).length == 2 * 3600 + 60


# step ssh login, and the calls around it


def test_ssh_login(step: Go) -> None:
    roots = step.get("/ssh/roots")
    assert roots.status == 200
    assert list(step.get("/version").json) == ["version"]  # no requireClientAuthentication: no identity is asked for
    listed = step.get("/provisioners?limit=100").json["provisioners"]
    (kid,) = (each["key"]["kid"] for each in listed if each["name"] == "admin")
    assert kid == public_jwk(step.ca.provisioner_key.public_key())["kid"]
    issued = signed(step.sign("alice@harbour.example"))
    assert issued.valid_principals == [b"alice@harbour.example"]
    blob_of_ca = issued.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1].decode()
    assert blob_of_ca in roots.json["userKey"]  # how step ssh list and logout tell whose certificate it is


def test_provisioner_list(step: Go) -> None:
    answer = step.get("/provisioners?limit=100")
    assert (answer.status, answer.json["nextCursor"]) == (200, "")
    listed = {each["name"]: each for each in answer.json["provisioners"]}
    assert list(listed) == ["admin", "sshpop", "late", "never", "disabled", "tight", "plain", "stubborn"]
    assert (listed["admin"]["type"], listed["admin"]["claims"]) == ("JWK", {"enableSSHCA": True})
    assert listed["sshpop"] == {"type": "SSHPOP", "name": "sshpop", "claims": {"enableSSHCA": True}}
    assert listed["late"] == {
        "type": "SSHPOP",
        "name": "late",
        "claims": {"enableSSHCA": True, "allowRenewalAfterExpiry": True},
    }
    assert listed["tight"]["claims"] == {
        "minUserSSHCertDuration": "1h0m0s",
        "maxUserSSHCertDuration": "2h0m0s",
        "defaultUserSSHCertDuration": "1h30m0s",
        "minHostSSHCertDuration": "1s",
        "maxHostSSHCertDuration": "48h0m0s",
        "defaultHostSSHCertDuration": "36h0m0s",
        "enableSSHCA": True,
    }
    assert listed["disabled"] == {"type": "SSHPOP", "name": "disabled"}
    assert "claims" not in listed["plain"]
    names, cursor = [], ""
    while True:  # an old client pages, and skips the types that it does not know
        page = step.get(f"/provisioners?cursor={cursor}&limit=1").json
        names += [each["name"] for each in page["provisioners"]]
        if not (cursor := page["nextCursor"]):
            break
    assert names == list(listed)


# step ssh renew, rekey, revoke


@pytest.mark.parametrize("algorithm", ["EC-P256", "EC-P384", "EC-P521", "Ed25519", "RSA-2048"])
@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_ssh_renew_and_rekey(step: Go, algorithm: str, prefix: str) -> None:
    old = step.hold(key=generate(algorithm))
    new = signed(step.post(f"{prefix}/ssh/renew", {"ott": step.held(old, "/1.0/ssh/renew")}))
    assert new.serial != old.certificate.serial and new.nonce != old.certificate.nonce
    other = generate("EC-P256")
    order = {"ott": step.held(old, "/1.0/ssh/rekey"), "publicKey": blob(other)}
    rekeyed = signed(step.post(f"{prefix}/ssh/rekey", order))
    assert (new.public_key(), rekeyed.public_key()) == (old.key.public_key(), other.public_key())
    for made in (new, rekeyed):
        assert (made.type, made.key_id, made.extensions) == (SSHCertificateType.HOST, HOST.encode(), {})
        assert made.valid_principals == [HOST.encode()]
        assert made.valid_before - made.valid_after == old.length
        assert -5 <= made.valid_after - (time.time() - 60) <= 5


def test_ssh_renewal_shifts_the_old_length(step: Go) -> None:
    old = step.hold(validAfter="-10m", validBefore="50m")
    new = signed(step.post("/ssh/renew", {"ott": step.held(old, "/1.0/ssh/renew")}))
    assert new.valid_before - new.valid_after == 3600
    assert 55 <= time.time() - new.valid_after <= 65


@pytest.mark.parametrize("kid", ["ssh_host_ecdsa_key", "", None, "Rr3vXWfqqYkdvsMu7nDyrHqMjR2jxlrGkYoDpb1bDIs"])
@pytest.mark.parametrize("path", ["/1.0/ssh/renew", "/ssh/renew"])
def test_the_header_of_a_token_need_not_name_a_key(step: Go, kid: str | None, path: str) -> None:
    old = step.hold()
    signed(step.post("/ssh/renew", {"ott": step.held(old, path, header={"kid": kid})}))
    fragment = f"{step.ca.url}{path}#sshpop/sshpop"
    signed(step.post("/ssh/renew", {"ott": step.held(old, path, header={"kid": kid}, aud=[fragment], jti=None)}))


def test_a_client_certificate_on_the_connection_changes_nothing(step: Go, tmp_path: Path) -> None:
    """step-ca would renew that one too: ``docs/compatibility.md``."""
    key = generate("EC-P256")
    sign = step.post("/sign", {"csr": csr_pem("a.example", key=key), "ott": step.ott("a.example", "/1.0/sign")})
    credential = keep(tmp_path, "".join(sign.json["certChain"]), key)
    old = step.hold()
    signed(step.post("/ssh/renew", {"ott": step.held(old, "/1.0/ssh/renew")}, credential=credential))


@pytest.mark.parametrize("cert_type", ["user", "host"])
@pytest.mark.parametrize("by", ["jwk", "sshpop"])
def test_ssh_revoke(step: Go, cert_type: str, by: str) -> None:
    held = step.hold("somebody", cert_type)
    serial = held.certificate.serial
    ott = step.ott(str(serial), "/1.0/ssh/revoke") if by == "jwk" else step.held(held, "/1.0/ssh/revoke")
    answer = step.revoke(serial, ott, reasonCode=1, reason="lost")
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}\n')
    again = step.revoke(serial, step.ott(str(serial), "/1.0/ssh/revoke"))
    refused(again, 400, f"{BAD}certificate with serial number '{serial}' is already revoked.")
    if cert_type == "host":
        for path, more in (("/ssh/renew", {}), ("/ssh/rekey", {"publicKey": blob(generate("EC-P256"))})):
            refused(step.post(path, {"ott": step.held(held, f"/1.0{path}"), **more}), 401, GENERIC_401)


def test_ssh_revoke_of_a_serial_that_nobody_has_on_record(step: Go) -> None:
    assert step.revoke(4711, step.ott("4711", "/1.0/ssh/revoke")).status == 200


# step ssh config


DATA = {"GOOS": "linux", "StepPath": "/home/alice/.step", "StepBasePath": "/home/alice/.step"}
V2 = {"StepSSHTemplateVersion": "v2"}


def test_ssh_config_roots_and_federation(step: Go, rotated: Go) -> None:
    (user,), (host,) = base64_of(step.ca, USER_CA), base64_of(step.ca, HOST_CA)
    for path in ("/ssh/roots", "/1.0/ssh/roots", "/ssh/federation", "/1.0/ssh/federation"):
        answer = step.get(path)
        assert (answer.status, answer.json) == (200, {"userKey": [user], "hostKey": [host]})
    roots, federation = rotated.get("/ssh/roots"), rotated.get("/ssh/federation")
    expected = {"userKey": [USER_CA, "further_user.pub"], "hostKey": [HOST_CA, "further_host.pub"]}
    assert roots.json == {member: base64_of(rotated.ca, *names) for member, names in expected.items()}
    for member, name in (("userKey", "federated_user.pub"), ("hostKey", "federated_host.pub")):
        assert federation.json[member] == [*roots.json[member], *base64_of(rotated.ca, name)]


@pytest.mark.parametrize("goos", ["linux", "darwin", "freebsd"])
@pytest.mark.parametrize("path", ["/ssh/config", "/1.0/ssh/config", "/ssh/config/user", "/ssh/config/host"])
def test_ssh_config_for_a_user(step: Go, path: str, goos: str) -> None:
    answer = step.post(path, {"type": "user", "data": {**DATA, **V2, "GOOS": goos, "User": "alice"}})
    assert decoded(answer, "userTemplates") == {
        "config.tpl": 'Host *\n\tInclude "/home/alice/.step/ssh/includes"',
        "step_includes.tpl": 'Include "/home/alice/.step/ssh/config"',
        "step_config.tpl": 'Match exec "step ssh check-host %h"\n'
        "\tUser alice\n"
        '\tUserKnownHostsFile "/home/alice/.step/ssh/known_hosts"\n'
        "\tProxyCommand step ssh proxycommand %r %h %p\n",
        "known_hosts.tpl": f"@cert-authority * {line(step.ca, HOST_CA)}\n",
    }
    assert files(answer, "userTemplates") == [
        ("config.tpl", "snippet", "~/.ssh/config"),
        ("step_includes.tpl", "prepend-line", "${STEPPATH}/ssh/includes"),
        ("step_config.tpl", "file", "ssh/config"),
        ("known_hosts.tpl", "file", "ssh/known_hosts"),
    ]


def test_ssh_config_in_a_context_with_everything_set(step: Go) -> None:
    data = {
        **DATA, **V2, "StepPath": "/home/alice/.step/authorities/harbour", "Context": "harbour", "Console": "true",
        "User": "alice", "Provisioner": "ops", "Bastion": "b.example",
    }  # fmt: skip
    found = decoded(step.post("/ssh/config", {"type": "user", "data": data}), "userTemplates")
    assert found["config.tpl"] == 'Host *\n\tInclude "/home/alice/.step/ssh/includes"'
    assert found["step_includes.tpl"] == 'Include "/home/alice/.step/authorities/harbour/ssh/config"'
    assert found["step_config.tpl"] == (
        'Match exec "step ssh check-host --context harbour %h"\n'
        "\tUser alice\n"
        '\tUserKnownHostsFile "/home/alice/.step/authorities/harbour/ssh/known_hosts"\n'
        "\tProxyCommand step ssh proxycommand --context harbour --console --provisioner ops %r %h %p\n"
    )


def test_ssh_config_on_windows(step: Go) -> None:
    folder = "C:\\Users\\alice smith\\.step"
    data = {**V2, "GOOS": "windows", "StepPath": folder, "StepBasePath": folder, "User": "alice"}
    found = decoded(step.post("/ssh/config", {"type": "user", "data": data}), "userTemplates")
    assert found["config.tpl"] == 'Host *\n\tInclude "/Users/alice smith/.step/ssh/includes"'
    assert found["step_includes.tpl"] == 'Include "/Users/alice smith/.step/ssh/config"'
    assert found["step_config.tpl"] == (
        'Match exec "step ssh check-host %h"\n'
        "\tUser alice\n"
        f'\tUserKnownHostsFile "{folder}\\ssh\\known_hosts"\n'
        "\tProxyCommand C:\\Windows\\System32\\cmd.exe /c step ssh proxycommand %r %h %p\n"
    )


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ({}, ("step_includes.tpl", "file", "ssh/includes")),
        ({"StepSSHTemplateVersion": ""}, ("step_includes.tpl", "file", "ssh/includes")),
        ({"StepSSHTemplateVersion": "v2"}, ("step_includes.tpl", "prepend-line", "${STEPPATH}/ssh/includes")),
        ({"StepSSHTemplateVersion": "v3"}, ("step_includes.tpl", "prepend-line", "${STEPPATH}/ssh/includes")),
    ],
)
def test_ssh_config_of_an_old_client(step: Go, version: dict[str, str], expected: tuple[str, str, str]) -> None:
    """Before 0.18 it sends no version and no StepBasePath, and cannot put a line before others."""
    data = {"GOOS": "linux", "StepPath": "/home/alice/.step", "User": "alice", **version}
    answer = step.post("/ssh/config", {"type": "", "data": data})
    assert files(answer, "userTemplates")[1] == expected
    assert decoded(answer, "userTemplates")["config.tpl"] == 'Host *\n\tInclude "/home/alice/.step/ssh/includes"'


def test_ssh_config_for_a_host(step: Go) -> None:
    data = {**DATA, **V2, "Certificate": "ssh_host_ecdsa_key-cert.pub", "Key": "ssh_host_ecdsa_key"}
    answer = step.post("/ssh/config", {"type": "host", "data": data})
    assert decoded(answer, "hostTemplates") == {
        "sshd_config.tpl": "Match all\n"
        "\tTrustedUserCAKeys /etc/ssh/ca.pub\n"
        "\tHostCertificate /etc/ssh/ssh_host_ecdsa_key-cert.pub\n"
        "\tHostKey /etc/ssh/ssh_host_ecdsa_key",
        "ca.tpl": f"{line(step.ca, USER_CA)}\n",
    }
    assert files(answer, "hostTemplates") == [
        ("sshd_config.tpl", "snippet", "/etc/ssh/sshd_config"),
        ("ca.tpl", "snippet", "/etc/ssh/ca.pub"),
    ]


def test_ssh_config_has_every_key_that_may_sign(rotated: Go) -> None:
    found = decoded(rotated.post("/ssh/config", {"type": "user", "data": {**DATA, **V2}}), "userTemplates")
    keys = [line(rotated.ca, name) for name in (HOST_CA, "further_host.pub", "federated_host.pub")]
    assert found["known_hosts.tpl"] == "".join(f"@cert-authority * {key}\n" for key in keys)
    data = {**DATA, **V2, "Certificate": "c", "Key": "k"}
    found = decoded(rotated.post("/ssh/config", {"type": "host", "data": data}), "hostTemplates")
    keys = [line(rotated.ca, name) for name in (USER_CA, "further_user.pub", "federated_user.pub")]
    assert found["ca.tpl"] == "".join(f"{key}\n" for key in keys)


@pytest.mark.parametrize("data", [{"Key": "k"}, {"Key": "k", "Certificate": ""}, None, {}])
def test_ssh_config_asks_for_what_is_required(step: Go, data: dict[str, str] | None) -> None:
    text = "required variable 'Certificate' is missing, please use `--set <key=value>` flag"
    refused(step.post("/ssh/config", {"type": "host", "data": data}), 400, f"{BAD}{text}.")
    other = step.post("/ssh/config", {"type": "host", "data": {"Certificate": "c"}})
    refused(other, 400, f"{BAD}{text.replace('Certificate', 'Key')}.")


# step ssh check-host, hosts, proxycommand


@pytest.mark.parametrize("prefix", ["", "/1.0"])
@pytest.mark.parametrize("token", [{}, {"token": ""}, {"token": "a.b.c"}])
def test_ssh_check_host(step: Go, prefix: str, token: dict[str, str]) -> None:
    assert step.get("/version").status == 200
    name = f"{secrets.token_hex(4)}.example"
    body = {"type": "host", "principal": name, **token}
    answer = step.post(f"{prefix}/ssh/check-host", body)
    assert (answer.status, answer.body) == (200, b'{"exists":false}\n')
    signed(step.sign(name.upper(), "host"))
    for principal in (name, name.upper()):
        answer = step.post(f"{prefix}/ssh/check-host", {**body, "principal": principal})
        assert (answer.status, answer.body) == (200, b'{"exists":true}\n')


def test_ssh_check_host_remembers_what_has_expired(clients: dict[str, Go]) -> None:
    name = f"{secrets.token_hex(4)}.example"
    held = clients["tight"].hold(name, validAfter="-1s", validBefore="1s")
    time.sleep(max(0.0, held.certificate.valid_before - time.time()) + 1)
    answer = clients["tight"].post("/ssh/check-host", {"type": "host", "principal": name})
    assert answer.json == {"exists": True}
    assert name not in [each["hostname"] for each in clients["tight"].get("/ssh/hosts").json["hosts"]]


@pytest.mark.parametrize("path", ["/ssh/hosts", "/1.0/ssh/hosts", "/ssh/get-hosts", "/1.0/ssh/get-hosts"])
def test_ssh_hosts(step: Go, path: str) -> None:
    name = f"{secrets.token_hex(4)}.example"
    signed(step.sign(name, "host"))
    answer = step.get(path)
    assert (answer.status, list(answer.json)) == (200, ["hosts"])
    assert {"hid": "", "host_tags": None, "hostname": name} in answer.json["hosts"]
    assert all(list(each) == ["hid", "host_tags", "hostname"] for each in answer.json["hosts"])


def test_ssh_hosts_may_be_disabled(rotated: Go) -> None:
    refused(rotated.get("/ssh/hosts"), 404, "ssh hosts list api disabled")


def test_ssh_proxycommand(step: Go, rotated: Go) -> None:
    answer = step.post("/ssh/bastion", {"user": "", "hostname": HOST})
    assert (answer.status, answer.body) == (200, b'{"hostname":"web.example"}\n')
    answer = rotated.post("/1.0/ssh/bastion", {"user": "alice", "hostname": HOST})
    bastion = {"hostname": "bastion.example", "user": "ops", "port": "2222", "cmd": "nc %h %p", "flags": "-J"}
    assert (answer.status, answer.json) == (200, {"hostname": HOST, "bastion": bastion})
    answer = rotated.post("/ssh/bastion", {"user": "alice", "hostname": "BASTION.example"})
    assert (answer.status, answer.json) == (200, {"hostname": "BASTION.example"})
    test_ssh_login(step)  # what follows where the agent has no certificate


def test_head_is_answered_for_each_get(step: Go) -> None:
    for path in ("/ssh/roots", "/ssh/federation", "/ssh/hosts", "/ssh/get-hosts"):
        got, head = step.get(path), ask(step.service, "HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert (head.headers["Content-Type"], head.headers["Content-Length"]) == (
            got.headers["Content-Type"], str(len(got.body)),
        )  # fmt: skip


# A CA without SSH


def test_a_ca_without_ssh_is_not_configured_with_ssh(without: tuple[Go, Go]) -> None:
    for step in without:
        for path in ("/ssh/roots", "/ssh/federation", "/1.0/ssh/roots"):
            assert step.get(path).status == 404
        for path, body in (
            ("/ssh/config", {"type": "user", "data": {**DATA, **V2}}),
            ("/ssh/config/user", {"type": "user", "data": {**DATA, **V2}}),
            ("/ssh/bastion", {"user": "", "hostname": HOST}),
        ):
            assert step.post(path, body).status == 404


def test_a_ca_without_ssh_signs_and_revokes_nothing(without: tuple[Go, Go]) -> None:
    for step in without:
        for path in ("/ssh/sign", "/1.0/ssh/sign", "/sign-ssh"):
            refused(step.sign("alice", path=path), 501, GENERIC_501)
        ott = step.ott("4711", "/1.0/ssh/revoke")
        refused(step.revoke(4711, ott), 501, GENERIC_501)
        refused(step.post("/ssh/renew", {"ott": ott}), 501, GENERIC_501)
        refused(step.post("/ssh/rekey", {"ott": ott, "publicKey": blob(generate("EC-P256"))}), 501, GENERIC_501)


def test_a_ca_without_ssh_knows_no_hosts(without: tuple[Go, Go]) -> None:
    """To step's client a failure is as good as False; who looks for hosts is told why there are none."""
    bare, keyless = without
    question = {"type": "host", "principal": HOST}
    for path in ("/ssh/hosts", "/ssh/get-hosts"):
        refused(bare.get(path), 404, GENERIC_404)
        assert keyless.get(path).json == {"hosts": []}
    refused(bare.post("/ssh/check-host", question), 404, GENERIC_404)
    assert keyless.post("/ssh/check-host", question).json == {"exists": False}
