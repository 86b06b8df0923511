"""A host certificate that continues another: what the CA is asked, and which files come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mica.cli import console
from mica.cli.ca.connection import Connection
from mica.cli.ca.diagnosis import diagnosed_renewal
from mica.cli.ca.ordering import label, order
from mica.cli.errors import CLIError, FileProblem, Usage
from mica.cli.keys import same_kind
from mica.cli.renewal import pairfiles
from mica.cli.ssh.asking import explained
from mica.cli.ssh.issuing.certification import accepted
from mica.cli.ssh.issuing.keypairs import PUBLIC, Place, line, openssh_pem
from mica.cli.ssh.upkeep.hostpairs import Opened
from mica.client import NotTheCA, sshpoptoken
from mica.clock import system_clock
from mica.grants import Operation
from mica.keyfiles import generate
from mica.sshcert import CertType, SSHCertificate
from mica.sshkeys import SSHPublicKey

_TYPE, _ANEW = "SSHPOP", "mica ssh certificate --host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """A new certificate that is in no file yet, and the new key, where there is one."""

    certificate: SSHCertificate
    target: Path
    comment: str
    key: Place | None = None
    key_pem: bytes = field(default=b"", repr=False)

    def save(self) -> None:
        """The files hold it; raises FileProblem."""
        contents = line(self.certificate.blob, self.comment)
        if self.key is None:
            pairfiles.replace_certificate(self.target, contents, mode=PUBLIC)
            return
        public = line(self.certificate.tbs.public_key.blob, self.comment)
        pairfiles.replace(
            self.target,
            contents,
            self.key.private,
            self.key_pem,
            between=[(self.key.public, public)],
            mode=PUBLIC,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioner:
    """The provisioner that takes tokens of SSH certificates: each of them takes those of every certificate."""

    name: str | None
    """As a flag says it."""
    silent: bool = False
    """Nothing is said and nobody is asked: the first will do."""

    def choose(self, listed: Sequence[Mapping[str, Any]]) -> str:
        """Its name, out of those that the CA has ``listed``; raises CLIError, Usage, PromptNeeded."""
        usable = [one for one in listed if str(one.get("type")).upper() == _TYPE and isinstance(one.get("name"), str)]
        if not usable:
            raise CLIError(
                f"the CA has no provisioner of the type {_TYPE}, by which the holders of SSH certificates ask",
                hint=f"its operator adds one: mica ca provisioner add sshpop --type {_TYPE}",
            )
        left = [one for one in usable if self.name in (None, one["name"])]
        if not left:
            given = f"invalid value {self.name!r} for flag '--provisioner'"
            raise Usage(given, hint=f"one of: {'; '.join(map(label, usable))}")
        if self.silent:
            return str(left[0]["name"])
        chosen = console.ask_choice(
            "What provisioner do you want to use?", left, flag="--provisioner", name="Provisioner", text=label
        )
        return str(chosen["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The same key in a new certificate."""

    target: Path
    provisioner: Provisioner
    done: ClassVar[str] = "renewed"

    @property
    def outputs(self) -> list[Path]:
        """The certificate."""
        return [self.target]

    def check(self, opened: Opened) -> None:
        """It is a host's certificate; raises FileProblem."""
        opened.check_fit()

    def make(self, connection: Connection, opened: Opened) -> Continued:
        """By a token that the host's key signs; raises ClientError."""
        token = make_token(connection, opened, Operation.SSH_RENEW, self.provisioner)
        with explained(connection.url), diagnosed_renewal(_ANEW):
            issued = connection.client.ssh.renew(token)
        certificate = _continued(issued.certificate, opened, opened.certificate.tbs.public_key)
        return Continued(certificate=certificate, target=self.target, comment=opened.comment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeying:
    """A new key in a new certificate."""

    target: Path
    key: Place
    provisioner: Provisioner
    algorithm: str | None = None
    """What to make, as ``keyfiles.generate`` calls it; else a key of the old one's kind."""
    password: bytes | None = field(default=None, repr=False)
    """What to encrypt the new key with; else it is as the old one."""
    encrypted: bool = True
    """False: it is not encrypted, whatever the old one was."""
    done: ClassVar[str] = "rekeyed"

    @property
    def outputs(self) -> list[Path]:
        """The key, its public half, the certificate."""
        return [self.key.private, self.key.public, self.target]

    def check(self, opened: Opened) -> None:
        """It is a host's certificate, and alive: there is no token for a new key. Raises FileProblem."""
        opened.check_fit()
        if opened.lifetime.end <= system_clock():
            raise FileProblem(f"{opened.path}: cannot rekey an expired certificate", hint=f"get one with {_ANEW}")

    def make(self, connection: Connection, opened: Opened) -> Continued:
        """By a token that the old key signs; raises ClientError."""
        key = generate(self.algorithm or same_kind(opened.key))
        public_key = SSHPublicKey.of(key.public_key())
        token = make_token(connection, opened, Operation.SSH_REKEY, self.provisioner)
        with explained(connection.url), diagnosed_renewal(_ANEW):
            issued = connection.client.ssh.rekey(token, public_key.blob)
        certificate = _continued(issued.certificate, opened, public_key)
        pem = openssh_pem(key, (self.password or opened.password) if self.encrypted else None)
        return Continued(certificate=certificate, target=self.target, comment=opened.comment, key=self.key, key_pem=pem)


def make_token(connection: Connection, opened: Opened, operation: Operation, provisioner: Provisioner) -> str:
    """A token by which the holder of the certificate orders ``operation``; raises CLIError, Usage."""
    name = provisioner.choose(connection.client.provisioners())
    if not provisioner.silent:
        connection.introduce()
    serial, now = str(opened.certificate.tbs.serial), system_clock()
    wanted = order(operation, serial, connection.url, root_fingerprint=connection.root_fingerprint)
    return sshpoptoken.make(wanted.audience, name, opened.certificate, opened.key, serial, now)


def _continued(blob: bytes, opened: Opened, public_key: SSHPublicKey) -> SSHCertificate:
    """The certificate in ``blob``, which is for the same host; raises NotTheCA."""
    certificate = accepted(blob, public_key, CertType.HOST)
    old, new = opened.certificate.tbs, certificate.tbs
    if (old.key_id, old.valid_principals) != (new.key_id, new.valid_principals):
        raise NotTheCA(f"the CA sent a certificate for {', '.join(new.valid_principals)}, which is another host's")
    return certificate
