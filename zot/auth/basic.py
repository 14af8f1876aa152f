"""Name and password in the header Authorization (RFC 7617), judged by one source of passwords after the other."""

from __future__ import annotations

import binascii
import logging
import re
import threading
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zot.auth.accounts import PasswordSource
from zot.auth.key_login import KeyLogin, wrong
from zot.auth.keys import is_secret
from zot.auth.principal import Credentials, Principal, Via
from zot.auth.remembered import Remembered
from zot.auth.throttle import Queue, Throttle, network
from zot.errors import RegistryError, Unauthorized, Unavailable

log = logging.getLogger(__name__)

_LONGEST_TRIED = 64
# A key in whole, with whatever stands around it, and the beginning of one.
_LIKE_A_KEY = re.compile(r"^\s*zak_|zak_[0-9a-f]{32}", re.IGNORECASE)


class Basic:
    """The authenticator. A right password is remembered for a while, so that only the first request waits for it.

    The sources are asked in their order until one says yes. One that can't be reached is passed over: if no other says
    yes, the answer is 503 and not that the password is wrong. A password in the form of an API key is one, and no
    source is asked about it, so that a key which has expired locks nobody out of their directory.
    """

    def __init__(
        self,
        sources: Sequence[PasswordSource],
        remembered: Remembered,
        throttle: Throttle,
        queue: Queue,
        keys: KeyLogin | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._keys = keys
        self._remembered = remembered
        self._throttle = throttle
        self._queue = queue
        self._guard = threading.Lock()
        # A lock for each header that is being checked, and how many requests use it.
        self._checked: dict[str, tuple[threading.Lock, int]] = {}

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return whose name and password the header holds; None for another kind of header."""
        header = credentials.authorization
        if header[:6].lower() != "basic ":
            return None
        known = self._remembered.get(header, self._versions())
        if known is not None:
            return known
        user, password = _decode(header)
        if not user:
            raise wrong(keys=self._keys is not None)
        if self._keys is not None and is_secret(password):
            return self._keys.judge(user, password)
        address = network(credentials.address)
        self._throttle.check(address, user)
        with self._queue.enter(), self._alone_with(header):
            # Another request with the same header may have been right meanwhile, or wrong too often.
            known = self._remembered.get(header, self._versions())
            if known is not None:
                return known
            self._throttle.check(address, user)
            with self._queue.place(address, is_suspect=self._throttle.is_suspect(address)):
                return self._judge(header, user, password, address)

    @contextmanager
    def _alone_with(self, header: str) -> Iterator[None]:
        """Keep other requests with the same header waiting."""
        with self._guard:
            lock, users = self._checked.get(header, (threading.Lock(), 0))
            self._checked[header] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                users = self._checked[header][1] - 1
                if users:
                    self._checked[header] = (lock, users)
                else:
                    del self._checked[header]

    def _judge(self, header: str, user: str, password: str, address: str) -> Principal:
        versions = self._versions()
        found = self._ask(user, password)
        if found is None:
            self._throttle.failed(address, user)
            # A password in the form of a key comes so far only where there are none.
            off = "it has the form of an API key, and http.auth.apikey is not set" if is_secret(password) else ""
            raise wrong(off, keys=self._keys is not None)
        self._throttle.succeeded(address, user)
        self._remembered.keep(header, found, versions)
        return found

    def _versions(self) -> object:
        return [source.version() for source in self._sources]

    def _ask(self, user: str, password: str) -> Principal | None:
        unreachable: RegistryError | None = None
        for source in self._sources:
            try:
                account = source.check(user, password)
            except Unavailable as error:
                log.warning("%s can't be asked for %r: %s", source.origin, _as_logged(user), error)
                unreachable = error
                continue
            if account is not None:
                return Principal(account.name, account.groups, Via.PASSWORD, source.origin, stamp=account.stamp)
        if unreachable is not None:
            raise unreachable
        return None


def tried_user(header: str) -> str:
    """Return the name that somebody tried to log in with, for the log; empty if the header holds none.

    It is no longer than 64 characters, and printable.
    """
    if header[:6].lower() != "basic ":
        return ""
    try:
        return _as_logged(_decode(header)[0])
    except Unauthorized:
        return ""


def _as_logged(user: str) -> str:
    """Return a name that was tried, bounded; what looks like an API key is a secret in the wrong place."""
    return "(an API key)" if _LIKE_A_KEY.search(user) else user[:_LONGEST_TRIED]


def _decode(header: str) -> tuple[str, str]:
    """Return name and password, both empty if one is missing. Raises `Unauthorized` for a header that is malformed."""
    try:
        plain = b64decode(header[6:].strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("the header Authorization is malformed", "send name:password in base64") from None
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        text = plain.decode("latin-1")
    user, colon, password = text.partition(":")
    if not colon or not user or not password or not text.isprintable():
        return "", ""
    return user, password
