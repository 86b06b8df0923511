"""``[signers.x509]``: the certificates and the key of the old CA, each read and judged where it lies now."""

import os
import re
from pathlib import Path

from cryptography import x509

from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.folder import StepFolder
from mica.cli.ca.migration.members import Members
from mica.cli.ca.migration.plan import Copy, Signer
from mica.cli.kit import CLIError, read_input
from mica.durations import parse_duration
from mica.errors import ConfigError, MalformedRequest
from mica.files import Files
from mica.foundation import INTERMEDIATE, INTERMEDIATE_KEY, ROOT
from mica.issuers import read_certificates, verify_chain

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")
_FEDERATED = Path("certs/federated_root_ca.crt")


class Signing:
    """One import's files of certificates and keys."""

    def __init__(self, folder: StepFolder, findings: Findings, *, copying: bool) -> None:
        self._folder = folder
        self._findings = findings
        self._copying = copying
        self.copies: list[Copy] = []

    def translate(self, ca: Members, authority: Members) -> Signer | None:
        """What ``[signers.x509]`` will say; None when something that it needs is missing, which is a fault."""
        faults = self._findings.faults
        self._refuse_other_signers(ca, authority)
        roots = self._certificates(ca.texts("root"), "root", ROOT)
        federated = self._certificates(ca.texts("federatedRoots"), "federatedRoots", _FEDERATED)
        issuers = self._certificates(ca.texts("crt")[:1], "crt", INTERMEDIATE)
        key = self._key(ca.text("key"))
        faults += [f"ca.json: {name} is missing" for name in ("root", "crt", "key") if ca.take(name) is None]
        backdate = self._backdate(authority.text("backdate"))
        if not roots or not issuers or key is None:
            return None
        ((certificate, chain),) = issuers
        root_certificates = tuple(certificate for _, found in roots for certificate in found)
        faults += [f"crt: {fault}" for fault in verify_chain(chain, root_certificates)]
        shown, file, contents = key
        return Signer(
            roots=tuple(path for path, _ in roots),
            federated_roots=tuple(path for path, _ in federated),
            certificate=certificate,
            key=f"file:{shown}",
            backdate=backdate,
            issuer=chain[0],
            root=root_certificates[0],
            key_file=file,
            key_contents=contents,
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
            source = self._folder.resolve(path)
            try:
                certificates = read_certificates(Files(), source)
                contents = read_input(source)
            except ConfigError as error:
                self._findings.faults += [f"{item}: {fault}" for fault in error.faults]
                continue
            place = target.with_stem(f"{target.stem}_{number + 1}") if number else target
            # Whoever kept a key beside its certificate must not find it published.
            mode = 0o600 if b"PRIVATE KEY" in contents else 0o644
            found.append((self._placed(item, source, Copy(path=place, contents=contents, mode=mode)), certificates))
        return found

    def _key(self, uri: str) -> tuple[str, Path, bytes] | None:
        """The key's path as ca.toml will have it, where it is now, and what it holds."""
        scheme = _SCHEME.match(uri)
        if scheme and scheme[1].lower() not in ("file", "softkms"):
            self._findings.faults.append(f"key: keys of the scheme {scheme[1]}: cannot be used yet, only files")
            return None
        if not uri:
            return None
        source = self._folder.resolve(uri)
        try:
            contents = read_input(source)
        except CLIError as error:
            self._findings.faults.append(f"key: {error.message}")
            return None
        return self._placed("key", source, Copy(path=INTERMEDIATE_KEY, contents=contents, mode=0o600)), source, contents

    def _placed(self, item: str, source: Path, copy: Copy) -> str:
        """The path for ca.toml of what is at ``source`` now."""
        if not self._copying:
            self._findings.taken(item, f"{source}, where it is")
            return str(source)
        self.copies.append(copy)
        self._findings.taken(item, f"{copy.path}, an unchanged copy of {source}")
        return str(copy.path)

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
        self._findings.taken("authority.backdate", f"signers.x509.backdate = {text}")
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
