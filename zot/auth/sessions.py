"""Sessions of browsers: a random cookie stands for who logged in, and for nothing when the document behind it is gone.

They are documents in the store, so that every worker and replica knows them, a restart keeps them, and a logout ends
them everywhere. A document's key ends with the hash of the cookie's secret: reading the store gives nobody a session.
Before that stand its user and when it began, which is how a user's oldest one is found.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from zot.auth.accounts import Account, Directory
from zot.auth.principal import Credentials, Principal, Via
from zot.storage.protocol import NotFound, Storage

COOKIE = "session"
# A session that is not used ends after two hours, and any after twelve.
IDLE_SECONDS = 2 * 3600.0
LONGEST_SECONDS = 12 * 3600.0
# A user has so many; whoever begins one more ends the oldest.
MOST_PER_USER = 100
# A session in use is written again so often.
_RENEWED_APART = 600.0
_MOST_RECENT = 10_000
_TOKEN = re.compile(r"[0-9a-f]{64}\.[0-9]{14}\.[\w-]+", re.ASCII)


class Session(NamedTuple):
    """Who logged in, who vouches for them, when, and when it ends, in seconds since 1970; and the account's stamp."""

    user: str
    origin: str
    began: float
    ends: float
    stamp: str


class Sessions:
    """The sessions of a store, below a prefix. `key` signs cookies; without one the store keeps a key of its own."""

    def __init__(self, storage: Storage, prefix: str, key: bytes = b"") -> None:
        self._storage = storage
        self._prefix = prefix
        self._key = key
        self._recent: dict[tuple[str, ...], tuple[float, str]] = {}

    def signed_with(self, key: bytes) -> Sessions:
        """Return the same sessions with another key; those that were signed with this one are void there."""
        return Sessions(self._storage, self._prefix, key)

    def key_for(self, purpose: str) -> bytes:
        """Return a key for signing something else, which every worker and replica has."""
        return hmac.digest(self._signing_key(), purpose.encode(), "sha256")

    def begin(self, account: Account, origin: str) -> str:
        """Begin a session, and end the user's oldest if there are many; returns its cookie."""
        now = time.time()
        owner = hashlib.sha256(json.dumps([origin, account.name]).encode()).hexdigest()
        token = f"{owner}.{int(now * 1000):014d}.{secrets.token_urlsafe(32)}"
        under = f"{self._prefix}/of/{owner}"
        before = list(self._storage.list(under))
        session = Session(account.name, origin, now, now + IDLE_SECONDS, account.stamp)
        self._storage.write(self._at(token), json.dumps(session._asdict()).encode(), new_directory=True)
        for name in before[: max(len(before) + 1 - MOST_PER_USER, 0)]:
            self._storage.delete(f"{under}/{name}")
        return f"{token}.{self._sign(token)}"

    def begin_or_again(self, account: Account, origin: str, client: str) -> str:
        """Begin a session, unless the same client began one with the same login a moment ago.

        So a program that logs in all the time does not leave a document each time. Not for browsers: each login of
        theirs is a session of its own.
        """
        known = (account.name, account.stamp, origin, client)
        until, cookie = self._recent.get(known, (0.0, ""))
        if time.time() < until and self.find(cookie) is not None:
            return cookie
        if len(self._recent) >= _MOST_RECENT:
            self._recent.clear()
        cookie = self.begin(account, origin)
        self._recent[known] = (time.time() + _RENEWED_APART, cookie)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Return the session that a cookie stands for, and keep it alive; None if there is none any more."""
        token = self._token(cookie)
        if token is None:
            return None
        session, now = self._read(self._at(token)), time.time()
        if session is None or now >= session.ends:
            return None
        ends = min(now + IDLE_SECONDS, session.began + LONGEST_SECONDS)
        if ends - session.ends >= _RENEWED_APART:
            # A logout meanwhile must not be undone.
            with suppress(NotFound):
                self._storage.update(self._at(token), lambda before: _renewed(before, ends))
        return session

    def end(self, cookie: str) -> None:
        """End a session."""
        token = self._token(cookie)
        if token is not None:
            self._storage.delete(self._at(token))

    def sweep(self) -> int:
        """Forget the sessions that are over; returns how many."""
        swept = 0
        for owner in list(self._storage.list(f"{self._prefix}/of")):
            under = f"{self._prefix}/of/{owner}"
            for name in list(self._storage.list(under)):
                session = self._read(f"{under}/{name}")
                if session is not None and time.time() >= session.ends:
                    self._storage.delete(f"{under}/{name}", f"{under}/")
                    swept += 1
        return swept

    def _token(self, cookie: str) -> str | None:
        """Return what a cookie says, if it is one that was given here."""
        token, _, signature = cookie.rpartition(".")
        if not signature.isascii() or not hmac.compare_digest(self._sign(token), signature):
            return None
        return token if _TOKEN.fullmatch(token) else None

    def _sign(self, token: str) -> str:
        return hmac.digest(self._signing_key(), token.encode("utf-8", "replace"), "sha256").hex()

    def _signing_key(self) -> bytes:
        """Return the key, made by whoever comes first."""
        if not self._key:
            at = f"{self._prefix}/key"
            try:
                self._key = self._storage.read(at)
            except NotFound:
                self._storage.write(at, secrets.token_bytes(32), once=True, new_directory=True)
                self._key = self._storage.read(at)
        return self._key

    def _read(self, at: str) -> Session | None:
        try:
            return Session(**json.loads(self._storage.read(at)))
        except NotFound:
            return None

    def _at(self, token: str) -> str:
        owner, began, secret = token.split(".")
        return f"{self._prefix}/of/{owner}/{began}-{hashlib.sha256(secret.encode()).hexdigest()}"


def _renewed(before: bytes | None, ends: float) -> bytes:
    if before is None:
        raise NotFound("the session has ended")
    return json.dumps(json.loads(before) | {"ends": ends}).encode()


class SessionLogin:
    """The authenticator of cookies. A session lives while whoever vouched for its user does so still, and alike."""

    def __init__(self, sessions: Sessions, directories: Mapping[str, Directory]) -> None:
        self._sessions = sessions
        self._directories = directories

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return whose session the cookie stands for; None if there is none. Raises `Unavailable`."""
        if not credentials.session:
            return None
        session = self._sessions.find(credentials.session)
        directory = None if session is None else self._directories.get(session.origin)
        account = None if session is None or directory is None else directory.account(session.user)
        if session is None or account is None or session.stamp != account.stamp:
            return None
        return Principal(account.name, account.groups, Via.SESSION, session.origin, stamp=account.stamp)
