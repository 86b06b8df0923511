"""Whom an SSH certificate is for: a key that is made for it, or one that exists; and the files that hold all of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mica.cli.errors import FileProblem, Usage
from mica.cli.files import keep_apart, settle
from mica.cli.keys import read_key
from mica.cli.ssh import inputs
from mica.cli.ssh.issuing.certification import Certified
from mica.cli.ssh.issuing.keypairs import PUBLIC, File, KeyPair, Place, line
from mica.keyfiles import PrivateKey
from mica.sshkeys import SSHPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A key, where its certificate is going to be, and what comes with it."""

    place: Place
    public_key: SSHPublicKey
    pair: KeyPair | None = None
    """The pair that was made for it; None for a key that exists."""
    key: PrivateKey | None = field(default=None, repr=False)
    """The private key, where it is at hand."""
    add_user: KeyPair | None = None
    """For the certificate that makes the account."""

    @property
    def add_user_key(self) -> SSHPublicKey | None:
        """The public half of that."""
        return None if self.add_user is None else self.add_user.public_key

    @property
    def told(self) -> dict[str, Path]:
        """The files, by what they hold."""
        files = {"Certificate": self.place.certificate}
        if self.pair is not None:
            files = {"Private Key": self.place.private, "Public Key": self.place.public} | files
        if self.add_user is not None:
            extra = self.place.add_user
            files |= {"Add User Private Key": extra.private, "Add User Public Key": extra.public}
            files |= {"Add User Certificate": extra.certificate}
        return files

    def files(self, certified: Certified) -> Iterator[File]:
        """What ``write_all`` is given, keys before their certificates."""
        comment = certified.certificate.tbs.key_id
        if self.pair is not None:
            yield from self.pair.files(self.place, certified.certificate.blob, comment)
        else:
            yield self.place.certificate, line(certified.certificate.blob, comment), PUBLIC
        if self.add_user is not None and certified.add_user is not None:
            theirs = certified.add_user
            yield from self.add_user.files(self.place.add_user, theirs.blob, theirs.tbs.key_id)


def settled(
    key_file: Path,
    *,
    existing: bool,
    private_key: Path | None,
    add_user: bool,
    force: bool,
    others: tuple[Path, ...] = (),
) -> Place:
    """Where the certificate and what comes with it can be written; raises Usage, FileProblem, Cancelled.

    ``others`` are further files that are read, whose place nothing may take.
    """
    name = str(key_file)
    if existing and name == "-":
        raise Usage("with '--sign', KEY_FILE is a file: the certificate's name is made of it")
    if not existing and name.endswith(".pub"):
        raise Usage(
            f"{key_file} is the name of a public key, and KEY_FILE is where the new private key goes",
            hint="leave '.pub' out; a public key that exists is certified with '--sign'",
        )
    place = Place(Path(name.removesuffix(".pub")) if existing else key_file)
    outputs = [*([place.certificate] if existing else place.paths), *(place.add_user.paths if add_user else [])]
    keep_apart(outputs, [key_file if existing else None, private_key, *others])
    settle(outputs, force=force)
    return place


def new(place: Place, algorithm: str, password: bytes | None, *, add_user: bool) -> Holder:
    """A key pair that is made now, and another for the certificate that makes the account."""
    pair = KeyPair.make(algorithm, password)
    extra = KeyPair.make(algorithm, password) if add_user else None
    return Holder(place=place, public_key=pair.public_key, pair=pair, key=pair.key, add_user=extra)


def existing(place: Place, public_file: Path, private_file: Path | None, password_source: str | None) -> Holder:
    """The key in ``public_file``, and its private half if that is named; raises FileProblem, PromptNeeded."""
    public_key = _read_public(public_file)
    if private_file is None:
        return Holder(place=place, public_key=public_key)
    key = read_key(private_file, password_source, flag="--key-password-file")
    if SSHPublicKey.of(key.public_key()) != public_key:
        raise FileProblem(f"{private_file}: is not the private key of {public_file}")
    return Holder(place=place, public_key=public_key, key=key)


def _read_public(path: Path) -> SSHPublicKey:
    entry, *others = inputs.entries(str(path))
    if others:
        raise FileProblem(f"{path}: holds {1 + len(others)} keys", hint="name a file with the one that is certified")
    if entry.line.is_certificate:
        raise FileProblem(
            f"{path}: holds a certificate, not a public key", hint="name the public key; or mica ssh renew for a host"
        )
    key = entry.key()
    if faults := key.faults():
        raise FileProblem(f"{path}: {'; '.join(faults)}", hint="make a new key")
    return key
