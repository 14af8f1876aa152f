"""Users and passwords in an LDAP directory: searched with the registry's own login, then tried with the user's."""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from zot.auth.accounts import Account, stamp
from zot.errors import StartupError, Unavailable

log = logging.getLogger(__name__)

# Together they let users of other sources in within three seconds if the directory does not answer.
_CONNECT_SECONDS = 1
_ANSWER_SECONDS = 2
# For so long it is not asked again then.
_AWAY_SECONDS = 3.0
# For so long what it said about a user is believed.
REMEMBER_SECONDS = 60.0
_MOST_REMEMBERED = 10_000
# What directories call the identifier of an entry, which no later one gets; many have one of these, some have none.
_IDENTIFIERS = ("entryUUID", "objectGUID", "nsUniqueId")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9.;-]*")


class LdapSettings(NamedTuple):
    """Where the directory is and how users are found in it; see `zot.config.auth.Ldap` for the meaning of each."""

    address: str
    base_dn: str
    user_attribute: str
    port: int | None = None
    insecure: bool | None = None
    start_tls: bool = False
    skip_verify: bool = False
    cacert: str = ""
    subtree_search: bool = False
    user_filter: str = ""
    user_group_attribute: str = ""
    bind_dn: str = ""
    bind_password: str = ""

    @property
    def is_ldaps(self) -> bool:
        """Tell whether TLS begins with the connection: as `insecure` says, else on port 636."""
        return self.port == 636 if self.insecure is None else not self.insecure


class _Found(NamedTuple):
    dn: str
    account: Account


class _Tls(ldap3.Tls):
    """TLS by the standard library's own rules: it checks the name, and addresses too."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Wrap the connection's socket."""
        connection.socket = self._context.wrap_socket(
            connection.socket, do_handshake_on_connect=do_handshake, server_hostname=connection.server.host
        )


class Ldap:
    """The password source. Every question has a connection of its own, so that a restarted server is no trouble."""

    origin = "ldap"

    def __init__(self, settings: LdapSettings) -> None:
        self._settings = settings
        _check(settings)
        self._context = _context(settings)
        self._away_until = 0.0
        self._known: dict[str, tuple[float, Account | None]] = {}
        self._guard = threading.Lock()

    def check(self, user: str, password: str) -> Account | None:
        """Return the user's account, as the directory spells it, if that is the password. Raises `Unavailable`.

        A user who is not there costs the same three answers of the directory.
        """
        if not password:
            # The directory would take that for a login without a name.
            return None
        with self._connection() as connection:
            found = self._find(connection, user)
            dn = found.dn if found is not None else f"cn=nobody,{self._settings.base_dn}"
            right = bool(connection.rebind(user=dn, password=password, read_server_info=False))
        if found is None or not right:
            return None
        self._keep(found.account.name, found.account)
        return found.account

    def account(self, user: str) -> Account | None:
        """Return the account of a user, with the groups of at most a minute ago; None if it is gone.

        Raises `Unavailable`.
        """
        until, known = self._known.get(user, (0.0, None))
        if time.monotonic() < until:
            return known
        with self._connection() as connection:
            found = self._find(connection, user)
        account = found.account if found is not None and found.account.name == user else None
        self._keep(user, account)
        return account

    def version(self) -> object:
        """Return always the same: what is remembered of a directory is remembered for its time."""
        return None

    def _keep(self, user: str, account: Account | None) -> None:
        with self._guard:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[user] = (time.monotonic() + REMEMBER_SECONDS, account)

    def server(self) -> ldap3.Server:
        """Return where to connect to. Made anew each time: for minutes it would not try again what failed once."""
        settings = self._settings
        return ldap3.Server(
            settings.address,
            port=settings.port or (636 if settings.is_ldaps else 389),
            use_ssl=settings.is_ldaps,
            tls=_Tls(self._context),
            get_info=ldap3.NONE,
            connect_timeout=_CONNECT_SECONDS,
        )

    @contextmanager
    def _connection(self) -> Iterator[ldap3.Connection]:
        """Connect and log in as who searches. Raises `Unavailable`, and at once if the directory was away just now."""
        if time.monotonic() < self._away_until:
            raise _unavailable("it did not answer a moment ago")
        settings = self._settings
        connection = ldap3.Connection(
            self.server(),
            user=settings.bind_dn or None,
            password=settings.bind_password or None,
            receive_timeout=_ANSWER_SECONDS,
            auto_referrals=False,
            check_names=False,
            read_only=True,
        )
        try:
            connection.open(read_server_info=False)
            if settings.start_tls and not settings.is_ldaps:
                connection.start_tls(read_server_info=False)
            if not connection.bind(read_server_info=False):
                raise _unavailable(f"it refuses bindDN: {connection.result['description']}")
            yield connection
        except LDAPException as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise _unavailable(str(error)) from error
        finally:
            connection.strategy.close()
            # One that could not be opened is closed already to ldap3, but its socket is not.
            if connection.socket is not None:
                connection.socket.close()

    def _find(self, connection: ldap3.Connection, user: str) -> _Found | None:
        """Return the one entry of a user; several are as good as none."""
        settings = self._settings
        attributes = [one for one in (settings.user_attribute, settings.user_group_attribute, *_IDENTIFIERS) if one]
        connection.search(
            settings.base_dn,
            self._filter(user),
            search_scope=ldap3.SUBTREE if settings.subtree_search else ldap3.LEVEL,
            attributes=attributes,
            size_limit=2,
        )
        entries = [one for one in connection.response or [] if one["type"] == "searchResEntry"]
        if len(entries) > 1:
            log.warning("several entries below %s have the %s %r", settings.base_dn, settings.user_attribute, user)
        if len(entries) != 1:
            return None
        texts = {
            name.lower(): [value.decode("utf-8", "replace") for value in values]
            for name, values in entries[0]["raw_attributes"].items()
        }
        # The directory takes ALICE for alice; policies do not, so there is one spelling: the directory's.
        names = texts.get(settings.user_attribute.lower(), [])
        name = next((one for one in names if one == user), names[0] if names else "")
        groups = texts.get(settings.user_group_attribute.lower(), [])
        account = Account(name, frozenset(groups), _stamp(entries[0]["raw_attributes"]))
        return _Found(entries[0]["dn"], account) if name else None

    def _filter(self, user: str) -> str:
        own = f"({self._settings.user_attribute}={escape_filter_chars(user)})"
        further = self._settings.user_filter.strip()
        if not further:
            return own
        return f"(&{own}{further if further.startswith('(') else f'({further})'})"


def _stamp(attributes: Mapping[str, list[bytes]]) -> str:
    """Return the stamp of an entry, which a later one of the same name does not have; empty if it has no identifier."""
    known = {name.lower(): values[0] for name, values in attributes.items() if values}
    found = next((known[name.lower()] for name in _IDENTIFIERS if name.lower() in known), None)
    return "" if found is None else stamp("ldap", found.hex())


def _context(settings: LdapSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.cacert or None)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"http.auth.ldap.cacert {settings.cacert} can't be used: {error.strerror or error}",
            "name a PEM file with certificates",
        ) from error
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check(settings: LdapSettings) -> None:
    for key, value in (("address", settings.address), ("baseDN", settings.base_dn)):
        if not value:
            raise StartupError(f"http.auth.ldap.{key} is missing", "add it")
    for key, attribute in (
        ("userAttribute", settings.user_attribute),
        ("userGroupAttribute", settings.user_group_attribute or "memberOf"),
    ):
        if not _ATTRIBUTE.fullmatch(attribute):
            raise StartupError(f"http.auth.ldap.{key} {attribute!r} is no attribute", "name one, like uid")


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(
        f"the LDAP directory can't be asked: {reason}",
        "try again; the server's log says more",
        headers={"Retry-After": str(int(_AWAY_SECONDS))},
    )
