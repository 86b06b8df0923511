"""docs/ssh.md names commands and flags that there are, and its configuration has no mistake."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from runpy import run_path

import click
import pytest
import tomlkit

from mica.sshcert import CertType
from mica.testing.ca import TestCA

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "ssh.md").read_text()
COMMANDS: dict[str, click.Command] = dict(run_path(str(DOCS / "generate_cli.py"))["commands"]())
#: What is typed, in blocks and within the text, up to what is said about it.
TYPED = re.findall(r"^ +(mica [^\n#]+?)(?: {2,}#.*)?$|`(mica [^`\n]+)`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", sorted({block or inline for block, inline in TYPED}))
def test_every_command_on_the_page_exists_with_its_flags(line: str) -> None:
    words = shlex.split(line)
    path = next(" ".join(words[:length]) for length in (4, 3, 2) if " ".join(words[:length]) in COMMANDS)
    command = COMMANDS[path]
    known = {name for each in command.get_params(click.Context(command)) for name in each.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_configuration_on_the_page_is_that_of_a_ca(tmp_path: Path) -> None:
    ca = TestCA.found(tmp_path / "ca", ssh=True)
    example = tomllib.loads(PAGE.partition("```toml\n")[2].partition("```")[0])
    configuration = tomllib.loads((ca.directory / "ca.toml").read_text())
    assert configuration["plugins"] == example["plugins"]
    signer, service = example["signers"]["ssh"], example["plugin"]["sshsigner"]
    for name in (*signer["further_user_keys"], *signer["further_host_keys"], *service["federated_user_keys"]):
        key = (ca.directory / name).with_suffix("")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    configuration["signers"]["ssh"] = signer
    configuration["provisioners"][1:] = example["provisioners"]
    configuration["plugin"] = example["plugin"]
    (ca.directory / "ca.toml").write_text(tomlkit.dumps(configuration))
    ssh = ca.authority().ssh
    assert ssh is not None
    assert [len(ssh.keys[cert_type]) for cert_type in CertType] == [2, 2]
