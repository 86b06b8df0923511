"""Keys that a URI names, such as ``file:secrets/key``, found by the backends that serve the CA.

An entry point of the group ``mica.keys``, named by the URI's scheme, names the function that answers the hook
``register_key_backends``. No configuration takes part: a backend must do with what its table defaults to, and the URI.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mica.cli import passwords
from mica.cli.errors import CLIError, FileProblem
from mica.clock import system_clock
from mica.errors import ConfigError
from mica.keyfiles import PasswordNeeded, PrivateKey, describe
from mica.roles import KeyBackend, KeyContext, KeyCreator, Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "mica.keys"
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):.", re.DOTALL)  # RFC 3986 §3.1


def scheme(name: str | Path) -> str | None:
    """The scheme, in lower case, when ``name`` is the URI of a key; None when it names a file, or one that exists."""
    match = _URI.match(str(name))
    return match[1].lower() if match and not os.path.lexists(name) else None


def load(uri: str, password_source: str | None, *, flag: str) -> PrivateKey:
    """The key at ``uri``; its password is asked for when it needs one and there is no source.

    Raises FileProblem when there is no such key or nobody finds keys of its scheme, PromptNeeded naming ``flag``.
    """
    password = passwords.from_source(password_source) if password_source else None
    with _problems(uri):
        try:
            return _usable(_backend(uri, password).load(uri), uri)
        except PasswordNeeded:
            if password is not None:
                raise
        password = passwords.password(None, f"Please enter the password to decrypt {uri}", flag=flag)
        return _usable(_backend(uri, password).load(uri), uri)


def create(uri: str, algorithm: str, password: bytes | None) -> PrivateKey:
    """A new key is kept at ``uri``, where there was none; ``algorithm`` is one of ``mica.keyfiles.ALGORITHMS``.

    Raises FileProblem, also when the backend of that scheme cannot make keys.
    """
    with _problems(uri):
        backend = _backend(uri, password)
        if not isinstance(backend, KeyCreator):
            raise FileProblem(
                f"{uri}: keys of the scheme {backend.scheme}: cannot be made here",
                hint="make the key with the tool that belongs to it, and name it with --key",
            )
        return _usable(backend.create(uri, algorithm), uri)


def installed() -> "dict[str, EntryPoint]":
    """Who finds keys, by scheme; raises CLIError when two distributions claim one scheme."""
    from importlib.metadata import entry_points  # slow to import

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name.lower(), entry)
        if other is not entry:
            raise CLIError(
                f"two distributions find keys of the scheme {entry.name}: {_owner(other)} and {_owner(entry)}",
                hint="uninstall one of them",
            )
    return found


def _backend(uri: str, password: bytes | None) -> KeyBackend:
    wanted, offered = uri.partition(":")[0].lower(), installed()
    entry = offered.get(wanted)
    if entry is None:
        known = ", ".join(f"{name}: ({_owner(entry)})" for name, entry in sorted(offered.items()))
        raise FileProblem(
            f"{uri}: there is no such file, and nothing that is installed finds keys of the scheme {wanted}:",
            hint=f"installed: {known or 'none'}",
        )
    context = _context(password)
    with _plugin(entry):
        register: Callable[[], Iterable[Kind[KeyBackend]]] = entry.load()
        for kind in register():
            backend = kind.build(kind.config(), context)
            if backend.scheme == wanted:
                return backend
    raise CLIError(f"{_owner(entry)} says that it finds keys of the scheme {wanted}:, and has nothing that does")


def _context(password: bytes | None) -> KeyContext:
    """What a backend is given: this folder, the files as they are now, and no authority."""
    from mica.audiences import Audiences  # only here: it imports the words of tokens
    from mica.files import Files

    here = Files()
    return KeyContext(
        url="",
        audiences=Audiences(frozenset(), frozenset()),
        directory=Path.cwd(),
        now=system_clock,
        random=os.urandom,
        read=here.read,
        read_secret=here.read_secret,
        password=password,
    )


def _usable(key: object, uri: str) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise FileProblem(f"{uri}: is a key of the kind {describe(key)}", hint="EC, RSA and Ed25519 keys are used")
    return key


@contextmanager
def _problems(uri: str) -> Iterator[None]:
    """What a backend says about a key is a problem of that key; anything else that it raises is its own fault."""
    try:
        yield
    except ConfigError as error:
        raise FileProblem(str(error)) from error
    except CLIError:
        raise
    except Exception as error:
        raise CLIError(f"{uri}: what finds the key failed: {type(error).__name__}: {error}") from error


@contextmanager
def _plugin(entry: "EntryPoint") -> Iterator[None]:
    """Whatever goes wrong while a plugin is set up is told with its name."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise CLIError(
            f"{_owner(entry)} cannot find keys of the scheme {entry.name}: {type(error).__name__}: {error}",
            hint=f"install {_owner(entry)} again",
        ) from error


def _owner(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else entry.value
