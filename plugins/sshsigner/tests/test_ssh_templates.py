"""The configuration is step-ca's to the letter, ssh reads it as meant, and no value breaks out of its place."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mica import MalformedRequest
from mica.keyfiles import generate
from mica.sshkeys import SSHPublicKey
from mica_sshsigner.templates import Rendered, host_configuration, user_configuration

HOME = "/home/alice/.step"
V2 = {"GOOS": "linux", "StepPath": HOME, "StepSSHTemplateVersion": "v2"}
HOST_DATA = {"Certificate": "ssh_host_ecdsa_key-cert.pub", "Key": "ssh_host_ecdsa_key"}


@pytest.fixture(scope="module")
def keys() -> tuple[SSHPublicKey, ...]:
    return tuple(SSHPublicKey.of(generate(algorithm).public_key()) for algorithm in ("EC-P256", "Ed25519", "RSA-2048"))


def encoded(key: SSHPublicKey) -> str:
    return base64.b64encode(key.blob).decode()


def by_name(rendered: tuple[Rendered, ...]) -> dict[str, Rendered]:
    return {each.name: each for each in rendered}


def test_the_users_files_are_these_in_this_order(keys: tuple[SSHPublicKey, ...]) -> None:
    found = user_configuration({**V2, "User": "alice"}, keys)
    assert [(each.name, each.type, each.path) for each in found] == [
        ("config.tpl", "snippet", "~/.ssh/config"),
        ("step_includes.tpl", "prepend-line", "${STEPPATH}/ssh/includes"),
        ("step_config.tpl", "file", "ssh/config"),
        ("known_hosts.tpl", "file", "ssh/known_hosts"),
    ]
    assert [each.content for each in found] == [
        'Host *\n\tInclude "/home/alice/.step/ssh/includes"',
        'Include "/home/alice/.step/ssh/config"',
        'Match exec "step ssh check-host %h"\n'
        "\tUser alice\n"
        '\tUserKnownHostsFile "/home/alice/.step/ssh/known_hosts"\n'
        "\tProxyCommand step ssh proxycommand %r %h %p\n",
        f"@cert-authority * ecdsa-sha2-nistp256 {encoded(keys[0])}\n"
        f"@cert-authority * ssh-ed25519 {encoded(keys[1])}\n"
        f"@cert-authority * ssh-rsa {encoded(keys[2])}\n",
    ]


def test_a_context_has_its_own_folder_below_the_common_one(keys: tuple[SSHPublicKey, ...]) -> None:
    data = {
        **V2,
        "StepBasePath": HOME,
        "StepPath": f"{HOME}/authorities/harbour",
        "Context": "harbour",
        "Console": "true",
        "Provisioner": "Harbour",
        "Command": "mica",
    }
    found = by_name(user_configuration(data, keys))
    assert found["config.tpl"].content == 'Host *\n\tInclude "/home/alice/.step/ssh/includes"'
    assert found["step_includes.tpl"].content == 'Include "/home/alice/.step/authorities/harbour/ssh/config"'
    assert found["step_config.tpl"].content == (
        'Match exec "mica ssh check-host --context harbour %h"\n'
        '\tUserKnownHostsFile "/home/alice/.step/authorities/harbour/ssh/known_hosts"\n'
        "\tProxyCommand mica ssh proxycommand --context harbour --console --provisioner Harbour %r %h %p\n"
    )


def test_windows_has_its_own_form(keys: tuple[SSHPublicKey, ...]) -> None:
    data = {
        **V2,
        "GOOS": "windows",
        "StepPath": "C:\\Users\\alice smith\\.step",
        "StepBasePath": "C:\\base",
        "User": "alice",
    }
    found = by_name(user_configuration(data, keys))
    assert found["config.tpl"].content == 'Host *\n\tInclude "/base/ssh/includes"'
    assert found["step_includes.tpl"].content == 'Include "/Users/alice smith/.step/ssh/config"'
    assert found["step_config.tpl"].content == (
        'Match exec "step ssh check-host %h"\n'
        "\tUser alice\n"
        '\tUserKnownHostsFile "C:\\Users\\alice smith\\.step\\ssh\\known_hosts"\n'
        "\tProxyCommand C:\\Windows\\System32\\cmd.exe /c step ssh proxycommand %r %h %p\n"
    )


@pytest.mark.parametrize("version", [{}, {"StepSSHTemplateVersion": ""}])
def test_clients_that_name_no_version_get_the_includes_as_a_file(version: dict[str, str]) -> None:
    found = by_name(user_configuration({"StepPath": HOME, **version}, ()))
    assert (found["step_includes.tpl"].type, found["step_includes.tpl"].path) == ("file", "ssh/includes")


def test_clients_of_later_versions_get_what_those_of_the_second_get() -> None:
    second, later = (user_configuration({**V2, "StepSSHTemplateVersion": version}, ()) for version in ("v2", "v3"))
    assert second == later


def test_the_hosts_files_are_these_in_this_order(keys: tuple[SSHPublicKey, ...]) -> None:
    found = host_configuration(HOST_DATA, keys[:2])
    assert [(each.name, each.type, each.path) for each in found] == [
        ("sshd_config.tpl", "snippet", "/etc/ssh/sshd_config"),
        ("ca.tpl", "snippet", "/etc/ssh/ca.pub"),
    ]
    assert [each.content for each in found] == [
        "Match all\n"
        "\tTrustedUserCAKeys /etc/ssh/ca.pub\n"
        "\tHostCertificate /etc/ssh/ssh_host_ecdsa_key-cert.pub\n"
        "\tHostKey /etc/ssh/ssh_host_ecdsa_key",
        f"ecdsa-sha2-nistp256 {encoded(keys[0])}\nssh-ed25519 {encoded(keys[1])}\n",
    ]


def test_in_an_answer_the_content_is_base64(keys: tuple[SSHPublicKey, ...]) -> None:
    first = host_configuration(HOST_DATA, keys)[0].describe()
    assert list(first) == ["name", "type", "path", "comment", "content"]
    assert (first["comment"], base64.b64decode(first["content"])[:9]) == ("#", b"Match all")


@pytest.mark.parametrize("name", ["Certificate", "Key"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_variable_is_asked_for_in_the_words_of_step(name: str, value: str | None) -> None:
    data = {**HOST_DATA, name: value}
    present = {key: member for key, member in data.items() if member is not None}
    with pytest.raises(MalformedRequest) as caught:
        host_configuration(present, ())
    assert str(caught.value) == f"required variable '{name}' is missing, please use `--set <key=value>` flag"


def test_without_a_folder_nothing_is_included() -> None:
    with pytest.raises(MalformedRequest, match="^required variable 'StepPath' is missing"):
        user_configuration({}, ())


EVIL = ["a\nb", "a\rb", "a\tb", "a\0b", "a\x1b[0m", "a\u2028b", "a\u202eb", "x" * 2000]


@pytest.mark.parametrize("value", EVIL)
@pytest.mark.parametrize(
    "name", ["StepPath", "StepBasePath", "User", "Context", "Provisioner", "Console", "Command", "GOOS"]
)
def test_line_ends_and_control_characters_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(MalformedRequest, match=f"^variable '{name}' must "):
        user_configuration({**V2, name: value}, ())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("StepPath", ['/a" ProxyCommand', "/a'", "/a\\", "/%h", "/$HOME", "/${HOME}", "/*", "/?", "/[a]", "/`a`"]),
        ("User", ["alice bob", "-oProxyCommand=x", '"alice"', "alice'", "%r", "$USER", "a#b", "a=b", "a\\b", "a;b"]),
        ("Context", ["a b", "-v", "a;b", "$(a)", "`a`", "a|b", "a&b", '"', "'", "%h", "a/b", "..", "a\\b"]),
        ("Command", ["rm -rf", "/bin/sh", "./x", "..", "-c", "a;b", "$(a)", "a\\b", "%h", '"', "é"]),
        ("Provisioner", ["--ca-url=https://evil.example", "-v"]),
    ],
)
def test_what_could_be_more_than_a_value_is_refused_by_name(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(MalformedRequest, match=f"^variable '{name}' must be "):
            user_configuration({**V2, name: value}, ())


@pytest.mark.parametrize("value", ["a b", 'a"b', "a#b", "%h", "a\\b", "é", "$HOME"])
@pytest.mark.parametrize("name", ["Certificate", "Key"])
def test_a_hosts_file_is_one_plain_name(name: str, value: str) -> None:
    with pytest.raises(MalformedRequest, match=f"^variable '{name}' must be the plain name of a file$"):
        host_configuration({**HOST_DATA, name: value}, ())


@pytest.mark.parametrize("value", ["a b", "a&b", "%PATH%", 'a"b'])
def test_on_windows_a_provisioner_is_one_plain_word(value: str) -> None:
    with pytest.raises(MalformedRequest, match="^variable 'Provisioner' must be one plain word"):
        user_configuration({**V2, "GOOS": "windows", "Provisioner": value}, ())


class Reader:
    """ssh, which says what it has read; ``step`` is a program that finds a certificate for every host."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("ssh") is None:
            if os.environ.get("MICA_REQUIRE_ALL"):
                pytest.fail("ssh is not installed")
            pytest.skip("ssh is not installed")
        self.folder = folder
        (folder / "step").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/asked\n')
        (folder / "step").chmod(0o700)

    def read(self, content: str) -> dict[str, str]:
        """What ssh would do for ``host.example``."""
        (self.folder / "config").write_text(content)
        path = f"{self.folder}:{os.environ['PATH']}"
        done = subprocess.run(
            ["ssh", "-G", "-F", str(self.folder / "config"), "host.example"],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path},
            check=True,
        )
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@pytest.fixture
def ssh(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_ssh_reads_what_was_meant(ssh: Reader) -> None:
    data = {**V2, "StepPath": "/home/alice smith/ünïcode/.step", "User": "alice@harbour.example", "Context": "harbour"}
    read = ssh.read(by_name(user_configuration(data, ()))["step_config.tpl"].content)
    assert read["user"] == "alice@harbour.example"
    assert read["userknownhostsfile"] == "/home/alice smith/ünïcode/.step/ssh/known_hosts"
    assert read["proxycommand"] == "step ssh proxycommand --context harbour %r %h %p"
    asked = (ssh.folder / "asked").read_text().split()
    assert asked == ["ssh", "check-host", "--context", "harbour", "host.example"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=30))
def test_any_provisioner_is_one_argument_of_the_shell_or_refused(tmp_path: Path, name: str) -> None:
    try:
        rendered = by_name(user_configuration({**V2, "Provisioner": name}, ()))
    except MalformedRequest:
        return
    command = rendered["step_config.tpl"].content.splitlines()[-1].removeprefix("\tProxyCommand ")
    # As ssh does: what % stands for is put in, then a shell takes the line.
    line = command.replace("%%", "\0").replace("%r", "alice").replace("%h", "host").replace("%p", "22")
    (tmp_path / "step").write_text('#!/bin/sh\nfor each; do printf "%s\\0" "$each"; done\n')
    (tmp_path / "step").chmod(0o700)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {line}".replace("\0", "%")], capture_output=True, env=environment, check=True
    )
    arguments = done.stdout.decode().split("\0")[:-1]
    assert arguments == ["ssh", "proxycommand", "--provisioner", name, "alice", "host", "22"]
