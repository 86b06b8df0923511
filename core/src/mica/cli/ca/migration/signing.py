"""``[signers.x509]``: the certificates and the key of the old CA, each read and judged where it lies now."""

import os
from pathlib import Path

from cryptography import x509

from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.folder import StepFolder
from mica.cli.ca.migration.members import Members
from mica.cli.ca.migration.places import Places
from mica.cli.ca.migration.plan import Copy, Signer
from mica.cli.kit import read_input
from mica.durations import parse_duration
from mica.errors import ConfigError, MalformedRequest
from mica.files import Files
from mica.foundation import INTERMEDIATE, INTERMEDIATE_KEY, ROOT
from mica.issuers import read_certificates, verify_chain

_FEDERATED = Path("certs/federated_root_ca.crt")


class Signing:
    """One import's certificates, and the key of the first of them."""

    def __init__(self, places: Places, findings: Findings) -> None:
        self._places = places
        self._findings = findings

    def translate(self, ca: Members, authority: Members) -> Signer | None:
        """What ``[signers.x509]`` will say; None when something that it needs is missing, which is a fault."""
        faults = self._findings.faults
        self._refuse_other_signers(ca, authority)
        roots = self._certificates(ca.texts("root"), "root", ROOT)
        federated = self._certificates(ca.texts("federatedRoots"), "federatedRoots", _FEDERATED)
        issuers = self._certificates(ca.texts("crt")[:1], "crt", INTERMEDIATE)
        key = self._places.key("key", ca.text("key"), INTERMEDIATE_KEY)
        faults += [f"ca.json: {name} is missing" for name in ("root", "crt", "key") if ca.take(name) is None]
        backdate = self._backdate(authority.text("backdate"))
        if not roots or not issuers or key is None:
            return None
        ((certificate, chain),) = issuers
        root_certificates = tuple(certificate for _, found in roots for certificate in found)
        faults += [f"crt: {fault}" for fault in verify_chain(chain, root_certificates)]
        return Signer(
            roots=tuple(path for path, _ in roots),
            federated_roots=tuple(path for path, _ in federated),
            certificate=certificate,
            key=key,
            backdate=backdate,
            issuer=chain[0],
            root=root_certificates[0],
        )

    def _refuse_other_signers(self, ca: Members, authority: Members) -> None:
        """The issuing key is a file here; anything else makes the import impossible."""
        kind = authority.text("type") or "softcas"
        if kind.lower() not in ("softcas", "default"):
            self._findings.faults.append(
                f"authority.type: the issuing key is not here, but where {kind} finds it; import the CA that has it"
            )
        kms = ca.members("kms")
        if (service := kms.text("type") or "softkms").lower() not in ("softkms", "default"):
            self._findings.faults.append(f"kms: keys in {service} cannot be used yet; the import needs a key in a file")

    def _certificates(
        self, paths: tuple[str, ...], item: str, target: Path
    ) -> list[tuple[str, tuple[x509.Certificate, ...]]]:
        """Each file's path as ca.toml will have it, and its certificates; those that cannot be read are faults."""
        found = []
        for number, path in enumerate(paths):
            source = self._places.folder.resolve(path)
            try:
                certificates = read_certificates(Files(), source)
                contents = read_input(source)
            except ConfigError as error:
                self._findings.faults += [f"{item}: {fault}" for fault in error.faults]
                continue
            place = target.with_stem(f"{target.stem}_{number + 1}") if number else target
            # Whoever kept a key beside its certificate must not find it published.
            mode = 0o600 if b"PRIVATE KEY" in contents else 0o644
            copy = Copy(path=place, contents=contents, mode=mode)
            found.append((self._places.place(item, source, copy), certificates))
        return found

    def _backdate(self, text: str) -> str:
        """``authority.backdate``, empty when it is not set."""
        if not text:
            return ""
        try:
            if parse_duration(text).total_seconds() < 0:
                raise MalformedRequest("it must not be negative")
        except MalformedRequest as error:
            self._findings.faults.append(f"authority.backdate: {error}")
            return ""
        self._findings.taken("authority.backdate", f"backdate = {text} of the signers")
        return text


def note_root_key(folder: StepFolder, findings: Findings) -> None:
    """That the root's key is not needed, where it lies beside the others."""
    key = folder.home / "secrets/root_ca_key"
    if os.access(key, os.F_OK):
        findings.left(
            "secrets/root_ca_key",
            "the CA does not use it, and it stays where it is",
            f"move {key} offline, if it is not",
        )
