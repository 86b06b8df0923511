"""An operator's own templates are sent as they are, with plain values in their places."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica import ConfigError, MalformedRequest
from mica.structuring import structure
from mica.testing.contexts import Clock, make_context
from mica_sshsigner.extension import SSHService, SSHServiceSettings
from mica_sshsigner.patterns import Pattern, render_all
from mica_sshsigner.templates import HOST_NAMES, USER_NAMES, host_configuration, user_configuration
from mica_sshsigner.variables import Variables

TABLE = {"name": "bastion.tpl", "type": "file", "path": "ssh/bastion", "file": "bastion.conf"}
TEXT = "Host *.${Zone:-example} # 100%\n\tProxyJump ${Bastion}\n\tIdentityAgent $${XDG_RUNTIME_DIR}/agent $1\n"


def service(folder: Path, *tables: dict[str, Any], text: str | bytes = TEXT, key: str = "user_templates") -> SSHService:
    (folder / "bastion.conf").write_bytes(text.encode() if isinstance(text, str) else text)
    settings = structure(SSHServiceSettings, {key: list(tables)}, "plugin.sshsigner")
    return SSHService(settings, make_context(Clock(), folder))


def render(text: str, **data: str) -> str:
    return Pattern(name="a", type="file", path="a", text=text).render(Variables(data)).content


def test_values_stand_in_their_places_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    (patterns, none) = service(tmp_path, TABLE).patterns.values()
    (rendered,) = render_all(patterns, {"Bastion": "ops@bastion.example:2222"})
    assert (rendered.name, rendered.type, rendered.path) == ("bastion.tpl", "file", "ssh/bastion")
    assert rendered.content == (
        "Host *.example # 100%\n\tProxyJump ops@bastion.example:2222\n\tIdentityAgent ${XDG_RUNTIME_DIR}/agent $1\n"
    )
    assert none == ()


def test_line_ends_and_marks_of_windows_do_not_reach_clients(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfProxyJump ${Bastion}\r\n"
    (pattern,) = next(iter(service(tmp_path, TABLE, text=text).patterns.values()))
    assert pattern.text == "ProxyJump ${Bastion}\n"


def test_a_variable_without_a_default_is_required_in_the_words_of_step() -> None:
    with pytest.raises(MalformedRequest) as caught:
        render("${Zone:-}${Bastion}")
    assert str(caught.value) == "required variable 'Bastion' is missing, please use `--set <key=value>` flag"


@pytest.mark.parametrize(
    "value", ["a b", "a\nb", "a\tb", '"', "'", "$HOME", "${A}", "-v", "%h", "a;b", "a\\", "é", "#"]
)
def test_a_value_that_is_no_plain_word_is_refused_by_name(value: str) -> None:
    with pytest.raises(MalformedRequest, match="^variable 'Bastion' must"):
        render("${Bastion:-x}", Bastion=value)


@given(st.text(max_size=40))
def test_no_value_adds_a_line_or_a_word(value: str) -> None:
    try:
        content = render("ProxyJump ${Bastion}\nUser x\n", Bastion=value)
    except MalformedRequest:
        return
    assert content.split() == ["ProxyJump", value, "User", "x"]


@pytest.mark.parametrize(
    ("change", "text", "fault"),
    [
        ({"name": "a b"}, TEXT, "name: must be letters"),
        ({"name": "config.tpl"}, TEXT, "name: config.tpl is taken"),
        ({"type": "directory"}, TEXT, "type: must be one of snippet, prepend-line, file"),
        ({"path": "../.bashrc"}, TEXT, "path: must name a file"),
        ({"path": "ssh/"}, TEXT, "path: must name a file"),
        ({"path": ""}, TEXT, "path: must name a file"),
        ({"path": "a\nb"}, TEXT, "path: must name a file"),
        ({"file": "absent"}, TEXT, "absent: cannot be read: No such file"),
        ({}, b"\xff", "file: bastion.conf: is no text in UTF-8"),
        ({}, "a\n${\n", "file: bastion.conf: line 2: ${ must begin ${Name}; write $${ for ${ itself"),
        ({}, "${Na me}", "file: bastion.conf: line 1: ${ must begin ${Name}"),
        ({}, "${A:-${B}}", "file: bastion.conf: line 1: ${ must begin ${Name}"),
        ({"type": "prepend-line"}, "a\nb\n", "file: bastion.conf: must be one line"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(
    tmp_path: Path, change: dict[str, str], text: str | bytes, fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        service(tmp_path, {**TABLE, **change}, text=text)
    assert str(caught.value).startswith("user_templates[0].")
    assert fault in str(caught.value)


def test_two_templates_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^host_templates\[1\].name: bastion.tpl is taken"):
        service(tmp_path, TABLE, TABLE, key="host_templates")


def test_the_names_that_are_taken_are_those_that_are_sent() -> None:
    assert tuple(each.name for each in user_configuration({"StepPath": "/a"}, ())) == USER_NAMES
    assert tuple(each.name for each in host_configuration({"Certificate": "c", "Key": "k"}, ())) == HOST_NAMES
