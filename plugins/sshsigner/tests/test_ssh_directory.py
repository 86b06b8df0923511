"""What anybody may ask of ``/ssh``: keys, configuration, hosts, the bastion, and the list of what is revoked."""

import base64
from pathlib import Path

import pytest
from plugins.sshsigner.tests.conftest import SSHService, ca_blob, write_certificate

from mica.keyfiles import dump_private_key, generate
from mica.krl import KRL
from mica.sshcert import CertType
from mica.testing.ca import TestCA
from mica.testing.keygen import Keygen, blob_of
from mica.testing.service import free_port, served

BAD_REQUEST = "The request could not be completed: {}."
USER_DATA = {"GOOS": "linux", "StepPath": "/home/alice/.step", "StepSSHTemplateVersion": "v2"}


def blobs(ssh: SSHService, *names: str) -> list[str]:
    """The keys in ``<name>.pub`` of the CA's folder, in base64."""
    return [base64.b64encode(blob_of(ssh.service.ca.directory / f"{name}.pub")).decode() for name in names]


def own(ssh: SSHService, cert_type: CertType) -> str:
    return base64.b64encode(ca_blob(ssh, cert_type)).decode()


def contents(ssh: SSHService, cert_type: str, data: dict[str, str]) -> dict[str, str]:
    """The rendered configuration by the names of its templates."""
    answer = ssh.post("/ssh/config", {"type": cert_type, "data": data})
    assert answer.status == 200, answer
    rows = answer.json[f"{cert_type}Templates"]
    return {row["name"]: base64.b64decode(row["content"]).decode() for row in rows}


def exists(ssh: SSHService, principal: str) -> bool:
    answer = ssh.post("/ssh/check-host", {"type": "host", "principal": principal, "token": ""})
    assert answer.status == 200, answer
    found = answer.json["exists"]
    assert isinstance(found, bool)
    return found


def hosts(ssh: SSHService, path: str = "/ssh/hosts") -> list[str]:
    rows = ssh.get(path).json["hosts"]
    assert all(row["hid"] == "" and row["host_tags"] is None for row in rows)
    return [row["hostname"] for row in rows]


def test_the_roots_are_the_cas_own_keys_and_the_federation_has_the_others(rotating: SSHService) -> None:
    user, host = own(rotating, CertType.USER), own(rotating, CertType.HOST)
    assert rotating.get("/ssh/roots").json == {
        "userKey": [user, *blobs(rotating, "further_user")],
        "hostKey": [host, *blobs(rotating, "further_host")],
    }
    assert rotating.get("/ssh/federation").json == {
        "userKey": [user, *blobs(rotating, "further_user", "federated_user")],
        "hostKey": [host, *blobs(rotating, "further_host", "federated_host")],
    }


def test_the_configuration_has_every_key_so_that_keys_can_be_rotated(rotating: SSHService) -> None:
    known_hosts = contents(rotating, "user", {**USER_DATA, "Jump": "b"})["known_hosts.tpl"].splitlines()
    assert [line.split()[-1] for line in known_hosts] == rotating.get("/ssh/federation").json["hostKey"]
    data = {"Certificate": "ssh_host_ecdsa_key-cert.pub", "Key": "ssh_host_ecdsa_key"}
    ca_pub = contents(rotating, "host", data)["ca.tpl"].splitlines()
    assert [line.split()[-1] for line in ca_pub] == rotating.get("/ssh/federation").json["userKey"]


def test_an_operators_own_templates_come_after_the_usual_ones(rotating: SSHService) -> None:
    found = contents(rotating, "user", {**USER_DATA, "Jump": "bastion.example"})
    assert list(found)[-2:] == ["known_hosts.tpl", "jump.tpl"]
    assert found["jump.tpl"] == "Host *.example\n\tProxyJump bastion.example\n"
    assert contents(rotating, "host", {"Certificate": "c", "Key": "k"})["audit.tpl"] == "LogLevel VERBOSE\n"
    answer = rotating.post("/ssh/config", {"type": "user", "data": USER_DATA})
    assert (answer.status, "required variable 'Jump' is missing" in answer.message) == (400, True)


@pytest.mark.parametrize("path", ["/ssh/config", "/ssh/config/host", "/1.0/ssh/config/anything"])
def test_only_the_body_says_whose_configuration_is_asked_for(ssh: SSHService, path: str) -> None:
    answer = ssh.post(path, {"type": "", "data": USER_DATA})
    assert list(answer.json) == ["userTemplates"]
    first = answer.json["userTemplates"][0]
    assert (first["name"], first["type"], first["path"], first["comment"]) == (
        "config.tpl",
        "snippet",
        "~/.ssh/config",
        "#",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "root"}, "invalid type 'root'"),
        (
            {"type": "host", "data": {"Key": "k"}},
            "required variable 'Certificate' is missing, please use `--set <key=value>` flag",
        ),
        ({"type": "host"}, "required variable 'Certificate' is missing, please use `--set <key=value>` flag"),
        (
            {"type": "user", "data": {**USER_DATA, "User": "a\nProxyCommand evil"}},
            "variable 'User' must not contain line ends or control characters",
        ),
        ({"type": "user", "data": {"StepPath": 1}}, "error decoding json: data must be an object of strings"),
        ({"type": "user", "data": [1]}, "error decoding json: data must be an object of strings"),
    ],
)
def test_a_configuration_that_cannot_be_rendered_is_refused_by_name(
    ssh: SSHService, body: dict[str, object], message: str
) -> None:
    answer = ssh.post("/ssh/config", body)
    assert (answer.status, answer.message) == (400, BAD_REQUEST.format(message))


def test_a_host_is_known_as_soon_as_it_is_certified_whatever_the_case(ssh: SSHService) -> None:
    assert not exists(ssh, "db.example")
    ssh.issue("DB.example", "host")
    assert exists(ssh, "db.example") and exists(ssh, "Db.Example")
    ssh.issue("ÄPFEL.example", "host")  # of capitals, ssh knows those of ASCII
    assert exists(ssh, "ÄPFEL.EXAMPLE") and not exists(ssh, "äpfel.example")
    ssh.issue("kiwi.example", "host")
    assert exists(ssh, "KIWI.example") and not exists(ssh, "\u212aiwi.example")  # the sign of Kelvin
    assert hosts(ssh).count("db.example") == 1
    assert hosts(ssh, "/ssh/get-hosts") == hosts(ssh) == sorted(hosts(ssh))


def test_a_user_is_no_host(ssh: SSHService) -> None:
    ssh.issue("mallory.example", "user")
    assert not exists(ssh, "mallory.example")
    assert "mallory.example" not in hosts(ssh)


def test_a_revoked_host_is_not_listed_but_known(ssh: SSHService) -> None:
    serial = str(ssh.issue("gone.example", "host").tbs.serial)
    assert "gone.example" in hosts(ssh)
    token = ssh.ca.token(serial, "/1.0/ssh/revoke")
    assert ssh.post("/ssh/revoke", {"serial": serial, "passive": True, "ott": token}).status == 200
    assert "gone.example" not in hosts(ssh)
    assert exists(ssh, "gone.example")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "user", "principal": "x"}, "unsupported type 'user'"),
        ({"principal": "x"}, "unsupported type ''"),
        ({"type": "host"}, "missing or empty principal"),
        ({"type": "host", "principal": ["x"]}, "error decoding json: principal must be a string"),
    ],
)
def test_a_wrong_question_about_a_host_is_refused(ssh: SSHService, body: dict[str, object], message: str) -> None:
    answer = ssh.post("/ssh/check-host", body)
    assert (answer.status, answer.message) == (400, BAD_REQUEST.format(message))


@pytest.mark.parametrize("principal", ["\0", "%", "*", "' OR 1=1 --", "x" * 100_000, "\u2028"])
def test_no_strange_name_is_a_host(ssh: SSHService, principal: str) -> None:
    assert not exists(ssh, principal)


def test_hosts_are_not_listed_where_the_operator_says_so(rotating: SSHService) -> None:
    for path in ("/ssh/hosts", "/ssh/get-hosts"):
        answer = rotating.get(path)
        assert (answer.status, answer.message) == (404, "ssh hosts list api disabled")


def test_a_host_is_reached_through_the_bastion_but_not_the_bastion_itself(rotating: SSHService) -> None:
    bastion = {"hostname": "Bastion.example", "user": "ops", "port": "2222", "cmd": "nc %h %p", "flags": "-J"}
    answer = rotating.post("/ssh/bastion", {"user": "alice", "hostname": "web.example"})
    assert answer.json == {"hostname": "web.example", "bastion": bastion}
    answer = rotating.post("/ssh/bastion", {"hostname": "bastion.EXAMPLE"})
    assert answer.json == {"hostname": "bastion.EXAMPLE"}


def test_without_a_bastion_hosts_are_reached_directly(ssh: SSHService) -> None:
    assert ssh.post("/ssh/bastion", {"user": "", "hostname": "web.example"}).json == {"hostname": "web.example"}
    answer = ssh.post("/ssh/bastion", {"user": "alice"})
    assert (answer.status, answer.message) == (400, BAD_REQUEST.format("missing or empty hostname"))


def test_a_ca_without_ssh_keys_says_so(without: SSHService) -> None:
    for path in ("/ssh/roots", "/ssh/federation", "/ssh/krl"):
        assert without.get(path).status == 404
    assert without.post("/ssh/config", {"type": "user", "data": USER_DATA}).status == 404
    assert without.post("/ssh/bastion", {"hostname": "x"}).status == 404
    assert without.get("/ssh/hosts").json == {"hosts": []}
    assert not exists(without, "web.example")


def test_wrong_methods_and_unknown_paths_are_refused(ssh: SSHService) -> None:
    answer = ssh.post("/ssh/roots", {})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert ssh.get("/ssh/sign").status == 405
    for path in ("/ssh", "/ssh/", "/ssh/roots/", "/ssh/Roots", "/ssh/config/a/b", "/ssh/%6brl"):
        assert ssh.get(path).status == 404


def revoke(ssh: SSHService, serial: int) -> None:
    token = ssh.ca.token(str(serial), "/1.0/ssh/revoke")
    answer = ssh.post("/ssh/revoke", {"serial": str(serial), "passive": True, "ott": token})
    assert answer.status == 200, answer


def test_the_list_holds_what_is_revoked_by_the_key_that_signed_it(ssh: SSHService, keygen: Keygen) -> None:
    good, bad, host = ssh.issue("alice"), ssh.issue("alice"), ssh.issue("web.example", "host")
    before = ssh.get("/ssh/krl")
    assert before.headers["content-type"] == "application/octet-stream"
    for certificate in (bad, host):
        revoke(ssh, certificate.tbs.serial)
    after = ssh.get("/ssh/krl")
    (keygen.folder / "krl").write_bytes(after.body)
    keygen("-Q", "-f", "krl", write_certificate(keygen.folder, good))
    for certificate in (bad, host):
        keygen("-Q", "-f", "krl", write_certificate(keygen.folder, certificate), code=1)
    said = keygen("-Q", "-l", "-f", "krl")
    assert f"serial: {bad.tbs.serial}" in said and f"serial: {host.tbs.serial}" in said
    old, new = KRL.decode(before.body), KRL.decode(after.body)
    assert (old.revokes(bad), new.revokes(bad)) == (False, True)
    assert new.version > old.version
    assert new.comment == ssh.service.ca.url
    assert {section.signature_key for section in new.certificates} <= {bad.tbs.signature_key, host.tbs.signature_key}


def test_who_has_the_list_is_not_sent_it_again(ssh: SSHService) -> None:
    revoke(ssh, ssh.issue("alice").tbs.serial)
    first = ssh.get("/ssh/krl")
    assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
    same = ssh.get("/ssh/krl", **{"if-none-match": f'"other", {first.headers["etag"]}'})
    assert (same.status, same.body) == (304, b"")
    revoke(ssh, ssh.issue("alice").tbs.serial)
    changed = ssh.get("/ssh/krl", **{"if-none-match": first.headers["etag"]})
    assert changed.status == 200
    assert changed.headers["etag"] != first.headers["etag"]


def test_a_list_of_many_is_complete(tmp_path: Path, keygen: Keygen) -> None:
    ca = TestCA.found(tmp_path / "ca", port=free_port(), ssh=True)
    with served(ca, workers=1) as service:
        ssh = SSHService(service)
        (keygen.folder / "krl").write_bytes(ssh.get("/ssh/krl").body)
        assert "# KRL version" in keygen("-Q", "-l", "-f", "krl")  # an empty list is a list
        key = generate("EC-P256")
        certificates = [ssh.issue(f"h{number}.example", "host", key=key) for number in range(12)]
        for certificate in certificates:
            revoke(ssh, certificate.tbs.serial)
        krl = KRL.decode(ssh.get("/ssh/krl").body)
    assert all(map(krl.revokes, certificates))


def test_after_a_rotation_the_old_keys_certificates_are_known_and_revoked(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path, port=free_port(), ssh=True)
    with served(ca, workers=1) as service:
        old = SSHService(service).issue("old.example", "host")
    _rotate(ca)
    with served(ca, workers=1) as service:
        ssh = SSHService(service)
        assert exists(ssh, "old.example") and "old.example" in hosts(ssh)
        new = ssh.issue("new.example", "host")
        assert new.tbs.signature_key != old.tbs.signature_key
        revoke(ssh, old.tbs.serial)
        krl = KRL.decode(ssh.get("/ssh/krl").body)
        assert (krl.revokes(old), krl.revokes(new)) == (True, False)
        assert "old.example" not in hosts(ssh)


def _rotate(ca: TestCA) -> None:
    """The host key is a new one; its public half remains as a further key."""
    key = generate("Ed25519")
    settings, public = ca.directory / "ca.toml", ca.ssh_keys[CertType.HOST].public_path
    (ca.directory / "secrets/new_host_key").write_bytes(dump_private_key(key, None))
    (ca.directory / "secrets/new_host_key").chmod(0o600)
    text = settings.read_text().replace("ssh_host_ca_key", "new_host_key")
    further = f'type = "sshsigner"\nfurther_host_keys = ["{public}"]\n'
    settings.write_text(text.replace('type = "sshsigner"\n', further))
