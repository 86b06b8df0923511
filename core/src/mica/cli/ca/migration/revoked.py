"""Revocations of the old CA: serial numbers from a file, on record in the new store."""

from collections.abc import Iterator, Sequence

from mica.authority import Authority
from mica.cli.ca import record
from mica.cli.kit import FileProblem, read_input
from mica.cli.serials import parse_serial
from mica.clock import system_clock
from mica.records import CertificateId, CertificateKind, Commit, Revocation
from mica.sshissuers import id_of
from mica.sshwire import MAX_UINT64

_REASON = "revoked before the import from step-ca"
_MOST_FAULTS = 10


def read_serials(source: str) -> tuple[int, ...]:
    """The serial numbers in ``source``, each once: one a line, decimal or 0x…, comments after #. Raises FileProblem."""
    try:
        text = read_input(source).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileProblem(f"{source}: is not a list of serial numbers: it must be text") from error
    faults: list[str] = []
    serials = tuple(dict.fromkeys(_parsed(source, text, faults)))
    if faults:
        more = f"\nand {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        raise FileProblem("\n".join(faults[:_MOST_FAULTS]) + more, hint="one serial number a line, comments after #")
    return serials


async def revoke_all(authority: Authority, issuer: bytes, serials: Sequence[int]) -> int:
    """Every certificate with one of these serial numbers is on record as revoked; how many numbers were not yet.

    They are those of ``issuer``, and of the SSH keys of ``authority``: which of them a number was of, nobody said.
    All or none: they are one transaction.
    """
    async with record.opened(authority.settings) as store:
        ids = [CertificateId(kind=CertificateKind.X509, issuer=issuer, serial_number=serial) for serial in serials]
        for _, key in authority.ssh.all_keys() if authority.ssh else ():
            ids += [id_of(key, serial) for serial in serials if serial <= MAX_UINT64]
        new = [id for id in ids if await store.revocation(id) is None]
        now = system_clock()
        await store.commit(Commit(revocations=tuple(Revocation(id=id, revoked_at=now, reason=_REASON) for id in new)))
        return len({id.serial_number for id in new})


def _parsed(source: str, text: str, faults: list[str]) -> Iterator[int]:
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            serial = parse_serial(written)
        except ValueError as error:
            faults.append(f"{source}, line {number}: {error}")
            continue
        if serial == 0:
            faults.append(f"{source}, line {number}: 0 is no certificate's serial number")
        yield serial
