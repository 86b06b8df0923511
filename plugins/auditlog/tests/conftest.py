"""A log in a folder, its writer, and what is written into it."""

import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mica import CertificateId, CertificateKind, Issuance, Issued, ProvisionerRef
from mica.testing.ca import TestCA
from mica.testing.contexts import URL, Clock
from mica.testing.plugins import append, enable
from mica_auditlog.journal import Journal
from mica_auditlog.parts import take
from mica_auditlog.places import Places
from mica_auditlog.verification import Report, verify

Make = Callable[..., Journal]


def event(number: int, *names: str, clock: Clock | None = None) -> Issued:
    """A certificate with this serial number has been issued."""
    now = (clock or Clock())()
    issuance = Issuance(
        id=CertificateId(kind=CertificateKind.X509, issuer=bytes(32), serial_number=number),
        certificate=b"certificate",
        provisioner=ProvisionerRef(name="admin", type="JWK", credential_id="kid"),
        subject=names[0] if names else "svc.example",
        names=names or ("svc.example",),
        not_before=now,
        not_after=now + timedelta(days=1),
        issued_at=now,
    )
    return Issued(issuance=issuance, at=now, request_id=f"request-{number}", subject="svc", evidence={"kid": "kid"})


def verified(log: Path, **options: object) -> Report:
    """What a reader finds in the log at ``log`` and in all the files that it was before."""
    return verify(take(Places(log).files()), **options)  # type: ignore[arg-type]


def codes(report: Report) -> list[str]:
    """What was found, in short."""
    return [found.finding.code for found in report.found]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit/audit.jsonl"


@pytest.fixture
def journal(log: Path) -> Journal:
    """A writer of the log at ``log``."""
    return Journal(places=Places(log), authority=URL, now=Clock())


@pytest.fixture
def ca(tmp_path: Path) -> TestCA:
    """A CA whose audit log is enabled, as the README says."""
    ca = TestCA.found(tmp_path / "ca", ssh=True)
    enable(ca, "auditlog")
    append(ca, '\n[plugin.auditlog]\npath = "audit/audit.jsonl"\n')
    return ca


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
