"""``ssh.keys`` of ca.json: public keys that are believed besides the CA's own, as files that ca.toml names."""

from collections.abc import Collection, Iterator
from pathlib import Path

from mica.cli.ca.migration.findings import Findings
from mica.cli.ca.migration.members import Members
from mica.cli.ca.migration.notes import note_rest
from mica.cli.ca.migration.plan import Copy, Setting
from mica.errors import MalformedRequest
from mica.jwk import load_public
from mica.sshkeys import KeyLine, SSHPublicKey

_TO_DO = "if it counts, name it in a file of further or of federated keys"


class PublicKeys:
    """One import's further and federated keys; ``signing`` are those that sign: ``user_key``, ``host_key``."""

    def __init__(self, findings: Findings, signing: Collection[str]) -> None:
        self._findings = findings
        self._signing = signing
        self._lines: dict[str, list[str]] = {}
        self._seen: set[bytes] = set()

    def take(self, member: Members) -> None:
        """The key is in the file of its kind, or left to somebody, with the reason."""
        item, cert_type, federated = member.where.rstrip("."), member.text("type").lower(), member.flag("federated")
        jwk = member.take("key")
        note_rest(self._findings, member, {})
        try:
            key = _public_key(jwk)
            self._refuse_useless(key, cert_type, federated=federated)
        except (ValueError, MalformedRequest) as error:
            self._findings.left(item, str(error), _TO_DO)
            return
        self._seen.add(key.blob)
        setting = f"{'federated' if federated else 'further'}_{cert_type}_keys"
        line = KeyLine(key_type=key.key_type, blob=key.blob, comment=item).format()
        self._lines.setdefault(setting, []).append(line)
        self._findings.taken(item, f"{setting}, in {_path(setting)}: {key.fingerprint}")

    def _refuse_useless(self, key: SSHPublicKey, cert_type: str, *, federated: bool) -> None:
        """The key can be named; raises ValueError."""
        if cert_type not in ("user", "host"):
            raise ValueError("its type is neither user nor host")
        if not federated and f"{cert_type}_key" not in self._signing:
            raise ValueError(f"no key signs {cert_type} certificates, and this one is only another for them")
        if key.blob in self._seen:
            raise ValueError("the same key stands in ssh.keys before it")

    def settings(self, *, federated: bool) -> Iterator[Setting]:
        """The lines of ca.toml that name the files."""
        for setting in self._lines:
            if setting.startswith("federated") is federated:
                yield Setting(name=setting, value=[str(_path(setting))], origin="ssh.keys")

    def files(self) -> Iterator[Copy]:
        """The files."""
        for setting, lines in self._lines.items():
            yield Copy(path=_path(setting), contents="".join(f"{line}\n" for line in lines).encode(), mode=0o644)


def _path(setting: str) -> Path:
    return Path(f"certs/ssh_{setting}.pub")


def _public_key(jwk: object) -> SSHPublicKey:
    """The key in a JWK; raises ValueError, MalformedRequest."""
    key = SSHPublicKey.of(load_public(jwk if isinstance(jwk, dict) else {}))
    if faults := key.faults():
        raise ValueError("; ".join(faults))
    return key
