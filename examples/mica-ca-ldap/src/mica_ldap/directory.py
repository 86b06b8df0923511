"""The directory, asked over verified TLS alone: who a user is, whether a password is theirs, what groups they are in.

ldap3 blocks: every question is asked in one of a few threads, over connections of its own. Each wait of it has an end,
referrals and aliases are not followed, and what a user typed reaches the directory as an escaped value only.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.core.results import (
    RESULT_BUSY,
    RESULT_NO_SUCH_OBJECT,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
    RESULT_UNAVAILABLE,
)
from ldap3.utils.conv import escape_filter_chars

from mica import Unavailable
from mica_ldap.config import LDAPConfig
from mica_ldap.entitlement import Person

#: Questions that are asked at one time; others wait.
THREADS = 4
#: Seconds for a whole question, less than the core gives a provisioner; and for each wait in it.
DEADLINE, PATIENCE = 8.0, 3
_log = logging.getLogger("mica_ldap")
T = TypeVar("T")


class _VerifiedTLS(ldap3.Tls):  # type: ignore[misc]
    """TLS by the standard library's own context, which compares the host's name too."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context, self._host = context, host

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """The connection's socket speaks TLS with the host, whose certificate is good; raises ssl.SSLError."""
        connection.socket.settimeout(PATIENCE)
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)


class Directory:
    """The directory of a provisioner."""

    def __init__(self, config: LDAPConfig, roots: str | None, bind_password: bytes) -> None:
        self._config = config
        self._bind_password = bind_password
        self._url = urlsplit(config.url)
        self._tls = _VerifiedTLS(ssl.create_default_context(cadata=roots), self._url.hostname or "")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ldap")

    async def ask(self, question: Callable[..., T], *arguments: object) -> T:
        """What ``question``, a method below, answers; raises Unavailable, and TimeoutError after ``DEADLINE``."""
        async with asyncio.timeout(DEADLINE):
            return await asyncio.get_running_loop().run_in_executor(self._threads, question, *arguments)

    def close(self) -> None:
        """No further question is asked."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check(self) -> None:
        """Users can be looked for; raises Unavailable."""
        with self._service() as connection:
            if not self._search(connection, self._config.base, "(objectClass=*)", ldap3.BASE):
                raise Unavailable("the directory has no base, or does not show it to bind_dn")

    def find(self, user: str) -> Person | None:
        """The user; None when the filter finds nobody, or several."""
        with self._service() as connection:
            found = self._found(connection, user)
            return self._person(connection, user, found) if found else None

    def login(self, user: str, password: bytes) -> Person | None:
        """The user, whose password that is; None when it is not, or there is no such user."""
        with self._service() as connection:
            found = self._found(connection, user)
            # RFC 4513 §5.1.2: without a name or without a password a bind succeeds, and proves nothing.
            if not found or not found["dn"] or not password:
                return None
            with self._bound(found["dn"], password) as own:
                if own is None:
                    return None
            return self._person(connection, user, found)

    def _found(self, connection: Any, user: str) -> Any:
        """The only entry of the user; None when there is none, or more."""
        text = f"(&{self._config.filter}({self._config.user_attribute}={escape_filter_chars(user)}))"
        wanted = [attribute for attribute in (self._config.user_attribute, self._config.email_attribute) if attribute]
        found = self._search(connection, self._config.base, text, ldap3.SUBTREE, wanted)
        return found[0] if len(found) == 1 else None

    def _person(self, connection: Any, user: str, entry: Any) -> Person | None:
        """The owner of the entry, if its user name is that one, as ASCII: the directory may fold more than case."""
        names = _texts(entry, self._config.user_attribute)
        own = next((name for name in names if name.isascii() and name.lower() == user.lower()), None)
        if own is None:
            return None
        member = f"({self._config.member_attribute}={escape_filter_chars(entry['dn'])})"
        groups = {rule.group for rule in self._config.map}
        return Person(
            user=own,
            emails=_texts(entry, self._config.email_attribute),
            # The directory compares DNs, which have many spellings (RFC 4517 §4.2.15).
            groups=frozenset(group for group in groups if self._search(connection, group, member, ldap3.BASE)),
        )

    def _search(self, connection: Any, base: str, text: str, scope: str, attributes: Any = ("1.1",)) -> list[Any]:
        """The entries, two of them at most; raises Unavailable when that cannot be said."""
        limits = {"size_limit": 2, "time_limit": PATIENCE, "dereference_aliases": ldap3.DEREF_NEVER}
        connection.search(base, text, scope, attributes=list(attributes), **limits)
        if connection.result["result"] not in (RESULT_SUCCESS, RESULT_NO_SUCH_OBJECT, RESULT_SIZE_LIMIT_EXCEEDED):
            raise Unavailable(f"the directory does not search: {connection.result['description']}")
        return [entry for entry in connection.response or () if entry["type"] == "searchResEntry"]

    @contextmanager
    def _service(self) -> Iterator[Any]:
        """A connection of the account that finds users."""
        with self._bound(self._config.bind_dn, self._bind_password) as connection:
            if connection is None:
                raise Unavailable("the directory does not accept bind_dn and its password")
            yield connection

    @contextmanager
    def _bound(self, dn: str, password: bytes) -> Iterator[Any]:
        """A connection of ``dn``; None when the directory does not accept the password. Raises Unavailable."""
        secure = self._url.scheme == "ldaps"
        port = self._url.port or (636 if secure else 389)
        server = ldap3.Server(
            self._url.hostname, port, secure, tls=self._tls, get_info=ldap3.NONE, connect_timeout=PATIENCE
        )
        options = {"auto_referrals": False, "check_names": False, "receive_timeout": PATIENCE}
        connection = ldap3.Connection(server, dn, password, authentication=ldap3.SIMPLE, read_only=True, **options)
        try:
            connection.open(read_server_info=False)
            if not secure and not connection.start_tls(read_server_info=False):
                raise Unavailable("the directory does not begin TLS")
            connection.bind(read_server_info=False)
            if connection.result["result"] in (RESULT_BUSY, RESULT_UNAVAILABLE):
                raise Unavailable("the directory is busy")
            yield connection if connection.result["result"] == RESULT_SUCCESS else None
        except (LDAPException, OSError, LookupError, TypeError, ValueError) as error:  # ldap3 decodes carelessly
            # A provisioner's state is public, and this may say much of the network.
            _log.warning("the directory does not answer: %s", error)
            raise Unavailable("the directory does not answer; the log says more") from error
        finally:
            with suppress(LDAPException, OSError):
                connection.unbind()
            if connection.socket is not None:  # ldap3 forgets one over which it could not connect
                connection.socket.close()


def _texts(entry: Any, attribute: str) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in entry["raw_attributes"].get(attribute, ()))
