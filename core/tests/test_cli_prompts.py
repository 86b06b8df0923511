"""Questions, asked on a real terminal (a pty), and not asked where there is none."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

ASK = """
import sys
from pathlib import Path
from mica.cli import console, files
from mica.cli.endings import conclude

def text(answer):
    if not answer.isascii():
        raise ValueError("only ASCII")

def choice(options):
    return console.ask_choice("What key?", options, flag="--issuer", name="Provisioner")

questions = {
    "text": lambda: console.ask_text("What name?", flag="--name", default="svc", check=text),
    "bare": lambda: console.ask_text("What name?", flag="--name"),
    "yes": lambda: console.ask_yes_no("Go on?", flag="--yes"),
    "password": lambda: console.ask_password("Password", flag="--password-file"),
    "new": lambda: console.ask_password("Password", flag="--password-file", new=True),
    "menu": lambda: choice(["one (JWK)", "two (OIDC)", "three"]),
    "only": lambda: choice(["one (JWK)"]),
    "none": lambda: choice([]),
    "overwrite": lambda: files.settle([Path(sys.argv[2])], force=False),
}
try:
    print("answer:", questions[sys.argv[1]]())
except (Exception, KeyboardInterrupt) as failure:
    sys.exit(conclude(failure, console.settings()))
"""
UP, DOWN = "\x1b[A", "\x1b[B"


@contextmanager
def asked(*arguments: str, term: str = "xterm", **environment: str) -> Iterator[pexpect.spawn]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MICA", "NO_COLOR"))}
    child = pexpect.spawn(
        sys.executable,
        ["-c", ASK, *arguments],
        env={**clean, "TERM": term, **environment},
        encoding="utf-8",
        timeout=20,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def end(child: pexpect.spawn) -> tuple[int, str]:
    """The exit code, and what was written since the last match, without escape sequences."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before).replace("\r", "")


def test_a_text_is_asked_again_until_it_is_accepted() -> None:
    with asked("text") as child:
        child.expect(r"What name\? \[svc\]:")
        child.sendline("höhö")
        child.expect(">> only ASCII")
        child.expect(r"What name\? \[svc\]:")
        child.sendline(" ca ")
        code, said = end(child)
    assert code == 0
    assert "✔ What name? [svc]: ca\n" in said
    assert said.endswith("answer: ca\n")


def test_an_empty_answer_is_the_default_and_asked_again_without_one() -> None:
    with asked("text") as child:
        child.expect(":")
        child.sendline("")
        assert end(child)[1].endswith("answer: svc\n")
    with asked("bare") as child:
        child.expect(":")
        child.sendline("")
        child.expect(">> an answer is needed")
        child.sendline("x")
        assert end(child)[1].endswith("answer: x\n")


@pytest.mark.parametrize(("typed", "answer"), [("y", True), ("YES", True), ("n", False), ("No", False)])
def test_yes_and_no_are_the_only_answers(typed: str, answer: bool) -> None:
    with asked("yes") as child:
        child.expect(r"Go on\? \[y/n\]:")
        child.sendline("")
        child.expect(">> y or n")
        child.sendline(typed)
        assert end(child)[1].endswith(f"answer: {answer}\n")


def test_a_password_is_not_shown_and_loses_white_space_at_its_end() -> None:
    with asked("password") as child:
        child.expect("Password: ")
        child.sendline("")
        child.expect("cannot be empty")
        child.expect("Password: ")
        child.sendline("s3cret \t")
        code, said = end(child)
    assert (code, said) == (0, "\nanswer: b's3cret'\n")


def test_a_new_password_is_typed_twice() -> None:
    with asked("new") as child:
        for first, second in (("one", "two"), ("three", "three")):
            child.expect("Password: " if first == "one" else "the two are not the same\r\nPassword: ")
            child.sendline(first)
            child.expect("once more: ")
            child.sendline(second)
        assert end(child)[1].endswith("answer: b'three'\n")


@pytest.mark.parametrize(
    ("keys", "answer"),
    [("", "one (JWK)"), (DOWN, "two (OIDC)"), (UP, "three"), ("jj", None), ("x", "one (JWK)")],
)
def test_a_menu_is_moved_through_with_arrow_keys_and_leaves_a_line(keys: str, answer: str | None) -> None:
    with asked("menu") as child:
        child.expect("three")
        if keys == "jj":
            child.send("j")
            child.expect("three")
            child.send("j")
            child.expect("three")
            answer = "three"
        else:
            child.send(keys)
        child.send("\r")
        code, said = end(child)
    assert code == 0
    assert said.endswith(f"✔ Provisioner: {answer}\nanswer: {answer}\n")


def test_the_terminal_is_as_before_after_a_menu_that_was_left() -> None:
    with asked("menu") as child:
        child.expect("three")
        child.sendintr()
        code, said = end(child)
        assert (code, said.endswith("error: cancelled\n")) == (6, True)
        assert "\x1b[?25h" in child.before


def test_a_plain_terminal_gets_a_numbered_menu() -> None:
    with asked("menu", term="dumb") as child:
        child.expect(r"2\. two \(OIDC\)")
        child.sendline("4")
        child.expect(">> a number from 1 to 3")
        child.sendline("2")
        _, said = end(child)
    assert said.endswith("Provisioner: two (OIDC)\nanswer: two (OIDC)\n")


def test_a_menu_with_one_item_is_not_shown() -> None:
    with asked("only") as child:
        assert end(child) == (0, "✔ Provisioner: one (JWK)\nanswer: one (JWK)\n")


def test_a_menu_without_items_is_an_error() -> None:
    with asked("none") as child:
        assert end(child) == (1, "error: What key?: there is nothing to choose from\n")


@pytest.mark.parametrize("question", ["text", "yes", "password", "menu"])
def test_control_c_and_the_end_of_input_cancel_with_exit_code_6(question: str) -> None:
    for leave in ("sendintr", "sendeof"):
        with asked(question) as child:
            child.expect("three" if question == "menu" else ": ?")
            getattr(child, leave)()
            code, said = end(child)
        assert code == 6
        assert said.endswith("error: cancelled\n")


def test_colour_is_for_terminals_and_not_when_no_color_is_set() -> None:
    with asked("only") as child:
        child.expect(pexpect.EOF)
        assert "\x1b[32m✔" in child.before
    with asked("only", NO_COLOR="1") as child:
        child.expect(pexpect.EOF)
        assert "\x1b" not in child.before


def test_an_overwrite_is_asked_for_and_no_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "svc.crt"
    file.write_text("old")
    with asked("overwrite", str(file)) as child:
        child.expect(re.escape(f"Would you like to overwrite {file} [y/n]:"))
        child.sendline("n")
        code, said = end(child)
    assert code == 6
    assert said.endswith(f"error: {file}: exists, and is left as it is\n")
    with asked("overwrite", str(file)) as child:
        child.expect("y/n")
        child.sendline("y")
        assert end(child)[0] == 0


def without_a_terminal(question: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ASK, question], capture_output=True, text=True, start_new_session=True, check=False
    )


@pytest.mark.parametrize(
    ("question", "flag"),
    [("text", "--name"), ("yes", "--yes"), ("password", "--password-file"), ("new", "--password-file")],
)
def test_without_a_terminal_the_flag_that_answers_is_named(question: str, flag: str) -> None:
    result = without_a_terminal(question)
    assert result.returncode == 6
    assert "there is no terminal to ask on" in result.stderr
    assert f"hint: answer it with {flag}\n" in result.stderr


def test_without_a_terminal_a_menu_names_what_could_be_chosen() -> None:
    result = without_a_terminal("menu")
    assert "hint: answer it with --issuer; one of one (JWK), two (OIDC), three\n" in result.stderr
    assert without_a_terminal("only").returncode == 0
    assert "\x1b" not in without_a_terminal("only").stderr
