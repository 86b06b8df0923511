"""Plugins of a test's own, installed in a folder with the RECORD that pip writes (PEP 376), or as a test spoils it."""

import base64
import csv
import hashlib
import io
from pathlib import Path

from mica.testing.plugins import install

#: A plugin that lets everything pass.
GOOD = """
from mica import hookimpl

@hookimpl
def refuse_x509(request, tbs, grant):
    return None
"""


def install_recorded(site: Path, name: str = "harbour", source: str = GOOD, **files: str) -> str:
    """The plugin ``name`` is a package in ``site``, with further modules ``files``; what its RECORD is pinned by.

    Its module is the package itself.
    """
    draft = site.parent / f"{name}.py"
    draft.write_text(source)
    install(site, draft)
    (site / draft.name).unlink()
    package = site / name
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(source)
    for module, text in files.items():
        (package / f"{module}.py").write_text(text)
    return record(site, name)


def record(site: Path, name: str) -> str:
    """The RECORD lists what is there now; the pin of it."""
    metadata = site / f"{name}-1.0.dist-info"
    rows = io.StringIO()
    writer = csv.writer(rows)
    for path in sorted([*(site / name).rglob("*.py"), *metadata.iterdir(), *site.glob("*.pth")]):
        if path.name != "RECORD":
            octets = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).rstrip(b"=").decode()
            writer.writerow([path.relative_to(site), f"sha256={digest}", len(octets)])
    writer.writerow([(metadata / "RECORD").relative_to(site), "", ""])
    (metadata / "RECORD").write_text(rows.getvalue(), newline="")
    return pin_of(site, name)


def pin_of(site: Path, name: str) -> str:
    """``name`` with the digest of the RECORD that is there."""
    octets = (site / f"{name}-1.0.dist-info" / "RECORD").read_bytes()
    return f"{name}@sha256:{hashlib.sha256(octets).hexdigest()}"
