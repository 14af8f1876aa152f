"""API keys: passwords that users make for programs, may narrow, and can take back.

A key is a document under the hash of its secret, which is nowhere else. Beside it lie a mark that says whose it is, and
when it was last used. A key that is used is read each time, so that one which is taken back is worth nothing from then
on, whichever process it comes to. Of that one stays a mark for the log, with its identifier, for a while.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from zot.auth.accounts import Account
from zot.auth.dates import now, write_date
from zot.auth.scopes import narrowing
from zot.errors import Denied
from zot.storage.protocol import Damaged, NotFound, Storage, StorageError

log = logging.getLogger(__name__)

MOST_PER_USER = 1000
# When a key was last used is noted so many seconds apart.
_NOTED_APART = 60.0
_MOST_NOTED = 10_000
# So long after a key was revoked the log can still say so of whoever uses it.
_REVOKED_KNOWN = timedelta(days=90)
# What a mark that can't be read raises.
_DAMAGED = (Damaged, ValueError, TypeError, KeyError)
_SECRET = re.compile(r"zak_[0-9a-f]{32}")


class Key(NamedTuple):
    """What is known of a key. `origin` vouches for its user, whose `stamp` it has: see `Account`."""

    uuid: str
    user: str
    origin: str
    label: str
    scopes: tuple[str, ...] | None
    created: datetime
    expires: datetime | None
    creator: str
    stamp: str
    last_used: datetime | None = None

    @property
    def is_expired(self) -> bool:
        """Tell whether its time is over."""
        return self.expires is not None and now() >= self.expires

    def flaw(self, account: Account | None) -> str:
        """Return why the key is worth nothing, given the account of its user as it is now; nothing while it is good."""
        if self.is_expired:
            return "it has expired"
        if account is None:
            return f"there is no user {self.user!r} any more"
        # A key from before there were stamps is as one with another stamp.
        return "" if self.stamp == account.stamp else f"the login of {self.user!r} has changed since it was made"

    def describe(self) -> dict[str, Any]:
        """Return what is shown of the key, as zot's manual has it."""
        return {
            "createdAt": write_date(self.created),
            "expirationDate": write_date(self.expires),
            "isExpired": self.is_expired,
            "creatorUa": self.creator,
            "generatedBy": "manual",
            "lastUsed": write_date(self.last_used),
            "label": self.label,
            "scopes": self.scopes,
            "uuid": self.uuid,
        }

    def encode(self) -> bytes:
        """Return the document."""
        return json.dumps(self._asdict(), default=datetime.isoformat).encode()


def _decode(document: bytes) -> Key:
    read = {"stamp": ""} | json.loads(document)
    read["scopes"] = None if read["scopes"] is None else tuple(read["scopes"])
    read["created"] = datetime.fromisoformat(read["created"])
    read["expires"] = None if read["expires"] is None else datetime.fromisoformat(read["expires"])
    return Key(**read)


class Wanted(NamedTuple):
    """What somebody wants of a new key; `creator` is the program that asks."""

    label: str
    scopes: tuple[str, ...] | None = None
    expires: datetime | None = None
    creator: str = ""


def is_secret(text: str) -> bool:
    """Tell whether a password has the form of a key: it is never anything else then."""
    return _SECRET.fullmatch(text) is not None


class ApiKeys:
    """The keys of a store, below a prefix."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix
        self._noted: dict[str, float] = {}
        # Made by the process that uses it, since threads are not forked.
        self._writer: ThreadPoolExecutor | None = None

    def create(self, account: Account, origin: str, wanted: Wanted) -> tuple[Key, str]:
        """Make a key; returns it with its secret. Raises `ValueError` for scopes, and `Denied` to who has too many."""
        user = account.name
        narrowing(wanted.scopes or ())
        if sum(1 for _ in self._storage.list(self._owned(user))) >= MOST_PER_USER:
            raise Denied(f"{user!r} has {MOST_PER_USER} API keys already", "revoke those that are not needed any more")
        secret = f"zak_{secrets.token_hex(16)}"
        label, scopes, expires, creator = wanted
        key = Key(str(uuid.uuid4()), user, origin, label, scopes, now(), expires, creator, account.stamp)
        # The mark first: a key that can be used can be found and revoked.
        name = _hash(secret)
        self._storage.write(f"{self._owned(user)}/{name}", b"", new_directory=True)
        self._storage.write(self._at(name), key.encode(), new_directory=True)
        return key, secret

    def revocation(self, secret: str) -> str:
        """Say which key had this secret and when it was revoked; empty if none is known to have had it."""
        with suppress(NotFound, *_DAMAGED):
            said = json.loads(self._storage.read(f"{self._prefix}/revoked/{_hash(secret)}"))
            return f"API key {said['uuid']} was revoked at {said['at']}"
        return ""

    def forget_revoked(self) -> int:
        """Forget which keys were revoked long ago; returns how many that were."""
        under, forgotten = f"{self._prefix}/revoked", 0
        for name in list(self._storage.list(under)):
            if self._is_long_revoked(f"{under}/{name}"):
                self._storage.delete(f"{under}/{name}")
                forgotten += 1
        return forgotten

    def _is_long_revoked(self, key: str) -> bool:
        """Tell whether a mark is old, or damaged and of no use."""
        try:
            said = json.loads(self._storage.read(key))
            return now() - datetime.fromisoformat(said["at"]) > _REVOKED_KNOWN
        except _DAMAGED:
            return True

    def find(self, secret: str) -> Key | None:
        """Return the key with this secret; None if there is none, or none any more."""
        return self._read(_hash(secret))

    def of(self, user: str) -> Iterator[Key]:
        """Yield the keys of a user, with when each was last used."""
        for name in list(self._storage.list(self._owned(user))):
            key = self._read(name)
            if key is not None and key.user == user:
                yield key._replace(last_used=self._last_used(name))

    def all(self) -> Iterator[Key]:
        """Yield the keys of all users."""
        for name in list(self._storage.list(f"{self._prefix}/by-hash")):
            key = self._read(name)
            if key is not None:
                yield key._replace(last_used=self._last_used(name))

    def revoke(self, identifier: str, user: str | None = None) -> bool:
        """Take a key back, of this user or of anybody; False if there is none with that identifier."""
        prefix = f"{self._prefix}/by-hash" if user is None else self._owned(user)
        for name in list(self._storage.list(prefix)):
            key = self._read(name)
            if key is not None and key.uuid == identifier and user in (None, key.user):
                self._storage.delete(self._at(name))
                self._storage.delete(f"{self._owned(key.user)}/{name}", f"{self._prefix}/used/{name}")
                self._note_revoked(name, key)
                return True
        return False

    def note_use(self, secret: str) -> None:
        """Note that a key was used now: written beside the request, and only if that was not done a moment ago."""
        name, moment = _hash(secret), time.monotonic()
        if moment - self._noted.get(name, -_NOTED_APART) < _NOTED_APART:
            return
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[name] = moment
        self._writer = self._writer or ThreadPoolExecutor(1, "key-uses")
        self._writer.submit(self._write_use, name)

    def _note_revoked(self, name: str, key: Key) -> None:
        """Note which key this was, for the log's word to who goes on using it; the key is gone by now."""
        said = {"uuid": key.uuid, "at": now().isoformat(timespec="seconds")}
        try:
            self._storage.write(f"{self._prefix}/revoked/{name}", json.dumps(said).encode(), new_directory=True)
        except StorageError as error:
            log.warning("that API key %s was revoked can't be noted, only done: %s", key.uuid, error)

    def _write_use(self, name: str) -> None:
        try:
            self._storage.write(f"{self._prefix}/used/{name}", now().isoformat().encode(), new_directory=True)
        except StorageError as error:
            log.warning("the last use of an API key can't be noted: %s", error)

    def _read(self, name: str) -> Key | None:
        try:
            return _decode(self._storage.read(self._at(name)))
        except NotFound:
            return None

    def _last_used(self, name: str) -> datetime | None:
        with suppress(NotFound):
            return datetime.fromisoformat(self._storage.read(f"{self._prefix}/used/{name}").decode())
        return None

    def _at(self, name: str) -> str:
        return f"{self._prefix}/by-hash/{name}"

    def _owned(self, user: str) -> str:
        return f"{self._prefix}/by-user/{hashlib.sha256(user.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _hash(secret: str) -> str:
    """Return what stands for a secret at rest. It is as random as a key of a cipher, so a plain hash hides it."""
    return hashlib.sha256(secret.encode()).hexdigest()
