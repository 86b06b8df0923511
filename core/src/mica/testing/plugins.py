"""Plugins of a test's own: installed as pip would leave them, enabled as an operator would."""

from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from mica.testing.ca import TestCA, public_jwk


def install(site: Path, module: Path) -> None:
    """The plugin in ``module`` is a distribution in ``site``, a folder for PYTHONPATH; all three have its name."""
    name = module.stem
    site.mkdir(parents=True, exist_ok=True)
    (site / module.name).write_bytes(module.read_bytes())
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[mica]\n{name} = {name}\n")


def enable(ca: TestCA, *names: str) -> None:
    """``ca.toml`` names these plugins besides those that it has."""
    last = ', "storage_sqlite"'  # of those that every CA has
    _change(ca, last, last + "".join(f', "{name}"' for name in names))


def set_signer(ca: TestCA, line: str) -> None:
    """``[signers.x509]`` has ``line``, TOML, besides what it has."""
    _change(ca, "[signers.x509]\n", f"[signers.x509]\n{line}\n")


def add_jwk_provisioner(ca: TestCA, name: str, claims: str = "") -> TestCA:
    """``ca.toml`` has a further provisioner with a key of its own, and these claims, an inline table.

    The answer is ``ca`` with that key at hand; its tokens need ``iss=name``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    members = ", ".join(f'{member} = "{text}"' for member, text in public_jwk(key.public_key()).items())
    table = f'\n[[provisioners]]\ntype = "jwk"\nname = "{name}"\nkey = {{ {members} }}\n'
    append(ca, table + (f"claims = {claims}\n" if claims else ""))
    return replace(ca, provisioner_key=key)


def append(ca: TestCA, toml: str) -> None:
    """``ca.toml`` ends with ``toml``."""
    file = ca.directory / "ca.toml"
    file.write_text(file.read_text() + toml)


def _change(ca: TestCA, old: str, new: str) -> None:
    file = ca.directory / "ca.toml"
    text = file.read_text()
    assert text.count(old) == 1, f"{file} does not have {old!r} once"
    file.write_text(text.replace(old, new))
