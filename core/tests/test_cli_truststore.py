"""What trust stores are given, and that the kit has it. The stores themselves: test_certtool_install.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from mica.cli import kit
from mica.cli.errors import FileProblem, Usage
from mica.cli.truststore import read_anchor


def test_the_kit_publishes_it_and_imports_cryptography_only_for_a_certificate() -> None:
    program = "import sys; from mica.cli.kit import truststore; print(truststore.PREFIX, 'cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "mica False\n"
    assert kit.truststore.read_anchor is read_anchor


def test_an_anchor_is_named_by_the_fingerprint_that_openssl_prints(tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=r", "-keyout", "key", "-out", root],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    command = ["openssl", "x509", "-in", root, "-noout", "-fingerprint", "-sha256"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sha256 = printed.strip().partition("=")[2].replace(":", "").lower()
    assert read_anchor(root, "ours").name == f"ours-{sha256}"
    with pytest.raises(Usage, match="--prefix"):
        read_anchor(root, "../ours")
    root.write_bytes(b"nothing")
    with pytest.raises(FileProblem, match="holds neither PEM nor DER"):
        read_anchor(root, "ours")
