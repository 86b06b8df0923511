"""The authors' kit is had by name, its fixtures by one line, and what it calls hostile is refused."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import mica.testing
from mica.authority import Authority
from mica.csr import decode_csr
from mica.errors import MicaError
from mica.testing.ca import TestCA
from mica.testing.contexts import Clock
from mica.testing.csrs import HostileCSR


def test_a_helper_of_the_kit_brings_no_pytest_along() -> None:
    program = "import sys; from mica.testing import Clock; Clock(); sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("name", mica.testing.__all__)
def test_every_name_of_the_kit_is_there(name: str) -> None:
    assert getattr(mica.testing, name).__name__ == name


def test_a_name_that_the_kit_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonesuch"):
        mica.testing.nonesuch  # noqa: B018


def test_one_line_brings_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["mica.testing"]\n')
    (tmp_path / "test_fixtures.py").write_text(
        "def test_all(clock, ca, ssh_ca, authority, csr_zoo, hostile_tokens):\n    assert authority.now() == clock()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout


def test_the_clock_is_the_one_of_the_authority(clock: Clock, ca: TestCA, authority: Authority) -> None:
    clock.moment = clock.moment.replace(year=2031)
    assert authority.now() == clock() == ca.clock()


def test_the_zoo_has_keys_that_nobody_may_certify_and_names_that_nobody_granted(
    csr_zoo: Mapping[str, HostileCSR],
) -> None:
    weak = {name: csr for name, csr in csr_zoo.items() if name.startswith(("key: ", "signature: ", "size: "))}
    assert len(weak) > 40 and len(csr_zoo) > 95
    for name, csr in weak.items():
        assert csr.refused, name
        with pytest.raises(MicaError):
            decode_csr(csr.pem)


def test_a_curve_that_is_described_and_not_named_is_refused_with_the_rule(csr_zoo: Mapping[str, HostileCSR]) -> None:
    with pytest.raises(MicaError, match=r"must name its curve, not describe it \(RFC 5480 §2\.1\.1\)"):
        decode_csr(csr_zoo["key: explicit parameters"].pem)
