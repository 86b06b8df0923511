"""Editing ca.toml changes one table; every other octet stays, whatever the text around it looks like."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mica.cli.ca import documents
from mica.cli.errors import CLIError

NEW = {"type": "toy", "name": "new", "key": {"kty": "EC", "x": "é"}, "domains": ["a", "b"]}
ONE = '[[provisioners]]\ntype = "toy"\nname = "one"\n'

#: What looks like a header and is none, or is one and looks otherwise.
TEXTS = {
    "nothing": "",
    "no end of line": 'url = "x"',
    "carriage returns": f'# a\nurl = "x"\n\n{ONE}\n# b\n[plugin.x]\n'.replace("\n", "\r\n"),
    "a string of many lines": f'url = """\n[[provisioners]]\n# no "header"\n"""\n\n{ONE}',
    "quotation marks at a string's end": f'url = """a"""""\n\n{ONE}',
    "escaped quotation marks": f'url = """\\"""\n[[provisioners]]\n"""\n\n{ONE}',
    "a literal string of many lines": f"url = '''\n[[provisioners]]\n''''\n\n{ONE}",
    "an array of arrays": f"list = [\n[\n[1]],\n# [[provisioners]]\n[2]\n]\n\n{ONE}",
    "brackets in strings": f"url = \"[[\"\nurn = ']'\n\n{ONE}",
    "comments with quotation marks": f"# it's \"so\n{ONE}",
    "a quoted header": '[ "plugin" . "a]b" ]\nx = 1\n\n[[ "provisioners" ]] # they\nname = "one"\n',
    "tables between": f"{ONE}\n[claims]\n\n# two\n{ONE.replace('one', 'two')}\n# x\n[plugin.x]\n",
    "no empty lines": f"{ONE}# what follows\n[plugin.x]\ny = 1\n{ONE.replace('one', 'two')}[claims]\n",
    "sub-tables": f"{ONE}\n[provisioners.claims]\na = 1\n\n[[provisioners.list]]\nb = 1\n\n# c\n[claims]\n",
    "a comment at the end": f"{ONE}# inside\n\n# outside\n",
    "indented": '  [[provisioners]]\n    name = "one" # 1\n    type = "toy"\n\n  [claims]\n',
    "a value": 'provisioners = [{ name = "one" }, {name = "two"}]\n[claims]\n',
    "a value in lines": 'provisioners = [\n  { name = "one" }, # 1\n  # 2\n  { name = "two" },\n]\n[claims]\n',
    "an empty value": "provisioners = []\n[claims]\n",
}


def tables(text: str) -> list[dict[str, Any]]:
    return list(tomllib.loads(text).get("provisioners", []))


def rest(text: str) -> dict[str, Any]:
    return {name: value for name, value in tomllib.loads(text).items() if name != "provisioners"}


def octets(text: str) -> list[str]:
    """The lines of ``text`` that say something, in order."""
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_added_is_read_and_the_rest_is_as_it_was(text: str) -> None:
    result = documents.added(text, NEW)
    assert tables(result) == [*tables(text), NEW]
    assert rest(result) == rest(text)
    if "= [{" not in text:
        lines = iter(octets(result))
        assert all(line in lines for line in octets(text) if not line.startswith("provisioners"))


@pytest.mark.parametrize("text", [text for text in TEXTS.values() if tables(text)])
def test_what_is_added_can_be_removed_again(text: str) -> None:
    assert octets(documents.removed(documents.added(text, NEW), len(tables(text)))) == octets(text)


@pytest.mark.parametrize("text", [text for text in TEXTS.values() if tables(text)])
def test_every_provisioner_can_be_removed(text: str) -> None:
    for index, _ in enumerate(tables(text)):
        result = documents.removed(text, index)
        left = tables(text)
        del left[index]
        assert tables(result) == left
        assert rest(result) == rest(text)


@pytest.mark.parametrize("text", [text for text in TEXTS.values() if tables(text)])
def test_every_provisioner_can_be_changed_and_changed_back(text: str) -> None:
    for index, before in enumerate(tables(text)):
        after = {**before, "name": "else", "claims": {"a": 2, "b": "24h"}}
        result = documents.changed(text, index, after)
        assert tables(result)[index] == after
        assert rest(result) == rest(text)
        assert tables(documents.changed(result, index, before)) == tables(text)


def test_comments_outside_a_removed_table_stay() -> None:
    result = documents.removed(f"# above\n{ONE}# within\n\n# below\n[claims]\n", 0)
    assert result == "# above\n\n# below\n[claims]\n"


def test_line_ends_stay_what_they_are() -> None:
    result = documents.added(TEXTS["carriage returns"], NEW)
    assert result.count("\n") == result.count("\r\n")


def test_what_cannot_be_edited_safely_is_refused() -> None:
    scattered = f"{ONE}\n[claims]\n\n[provisioners.claims]\na = 1\n"
    with pytest.raises(CLIError, match="edit it by hand"):
        documents.removed(scattered, 0)


PLUGINS = {
    "one line": 'plugins = ["a", "b"] # these\n',
    "many lines": 'plugins = [\n  "a", # the first\n  # and\n  "b"\n]\n',
    "a comma at the end": 'plugins = [\n  "a",\n  "b",\n]\n',
    "literal strings": "plugins = ['a', 'b']\n",
    "none yet": "plugins = []\n",
}
SIGNER = {"type": "ssh", "user_key": "file:a"}


@pytest.mark.parametrize("text", PLUGINS.values(), ids=PLUGINS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plugins_that_lack_are_enabled_after_the_others(text: str, end: str) -> None:
    whole = f'# the CA\nurl = "x"\n{text}\n# who\n{ONE}'.replace("\n", end)
    result = documents.enabled(whole, ["b", "c", "d"])
    before = tomllib.loads(whole)
    assert tomllib.loads(result) == {**before, "plugins": list(dict.fromkeys([*before["plugins"], "b", "c", "d"]))}
    assert result.count("#") == whole.count("#")
    assert result.startswith(f'# the CA{end}url = "x"{end}plugins = [')
    assert result.endswith(f"\n# who\n{ONE}".replace("\n", end))
    assert documents.enabled(result, ["d", "c"]) == result


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_signer_stands_after_the_others_and_the_rest_is_as_it_was(text: str) -> None:
    end = "\r\n" if "\r\n" in text else "\n"
    whole = '# one\n[signers.x509]\ntype = "x" # the usual\n\n# two\n[x]\n'.replace("\n", end)
    if text and not text.startswith(("url", "list", "prov")):
        whole = f"{whole}{end}{text}"
    result = documents.with_signer(whole, "ssh", SIGNER)
    before = tomllib.loads(whole)
    assert tomllib.loads(result) == {**before, "signers": {**before["signers"], "ssh": SIGNER}}
    lines = iter(octets(result))
    assert all(line in lines for line in octets(whole))
    assert result.index("[signers.ssh]") < result.index("# two")
    assert result.count("\n") == result.count(end)


def test_signers_that_are_no_tables_are_left_alone() -> None:
    with pytest.raises(CLIError, match="edit it by hand"):
        documents.with_signer('signers = { x509 = { type = "x" } }\n', "ssh", SIGNER)


_VALUES = st.recursive(
    st.text(max_size=8) | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), _VALUES, max_size=4), st.sampled_from(sorted(TEXTS)))
def test_whatever_a_table_holds_it_is_written_exactly_or_not_at_all(table: dict[str, Any], which: str) -> None:
    text = TEXTS[which]
    try:
        result = documents.added(text, table)
    except CLIError:
        return
    assert tables(result) == [*tables(text), table]
    assert rest(result) == rest(text)
