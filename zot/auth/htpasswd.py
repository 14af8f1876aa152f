"""Users and passwords in a file of lines `user:hash`, as Apache's htpasswd writes it with -B, -2 or -5."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import bcrypt
from passlib.hash import sha256_crypt, sha512_crypt

from zot.auth.accounts import Account
from zot.errors import StartupError

log = logging.getLogger(__name__)

_BCRYPT = ("$2a$", "$2b$", "$2y$")
# bcrypt itself uses no more of a password.
_BCRYPT_BYTES = 72
# What a password is checked against if the file has no users.
_NOBODY = "$2b$10$" + "." * 53

Stamp = tuple[int, int, int]


class _Read(NamedTuple):
    """What a file said when it was read: hashes by user, and the dearest of them, checked for who is not a user."""

    stamp: Stamp
    hashes: Mapping[str, str]
    nobody: str


class Htpasswd:
    """A password source over such a file, which is read again whenever it has changed.

    `one_at_a_time` is held while a password is checked, which takes a core for a while.
    """

    origin = "htpasswd"

    def __init__(self, path: str, one_at_a_time: AbstractContextManager[None]) -> None:
        self._path = path
        self._one_at_a_time = one_at_a_time
        self._reading = threading.Lock()
        try:
            self._read = _read(path, _stamp(path))
        except OSError as error:
            raise StartupError(
                f"http.auth.htpasswd.path {path} can't be read: {os.strerror(error.errno or 0)}",
                "make it with: htpasswd -B -c FILE USER",
            ) from error

    def check(self, user: str, password: str) -> Account | None:
        """Return the account if that is the user's password, else None; an unknown user takes as long."""
        read = self._current()
        known = read.hashes.get(user)
        with self._one_at_a_time:
            right = _verify(password, known or read.nobody)
        return Account(user) if right and known is not None else None

    def account(self, user: str) -> Account | None:
        """Return the account of a user who is in the file; None for others."""
        return Account(user) if user in self._current().hashes else None

    def version(self) -> object:
        """Return what changes with the file."""
        return self._current().stamp

    def _current(self) -> _Read:
        """Return what the file says now; while it can't be read, what it said last."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._read.stamp:
                return self._read
            with self._reading:
                if stamp != self._read.stamp:
                    self._read = _read(self._path, stamp)
                    log.info("%s has changed and was read again: %d users", self._path, len(self._read.hashes))
        except OSError as error:
            log.warning("%s can't be read, and what it said last holds: %s", self._path, error.strerror)
        return self._read


def _stamp(path: str) -> Stamp:
    found = os.stat(path)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: str, stamp: Stamp) -> _Read:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().splitlines()
    hashes: dict[str, str] = {}
    for line in lines:
        user, colon, digest = line.partition(":")
        if not colon or not user:
            continue
        if digest.startswith((*_BCRYPT, "$5$", "$6$")):
            hashes[user] = digest
        else:
            log.warning("%s: the hash of %r is none of bcrypt, $5$ and $6$; nobody can log in with it", path, user)
    if not hashes:
        log.warning("%s has no users", path)
    return _Read(stamp, hashes, max(hashes.values(), key=_cost, default=_NOBODY))


def _cost(digest: str) -> tuple[bool, str]:
    """Return what hashes are sorted by: bcrypt after the others, and by its cost, which has two digits."""
    is_bcrypt = digest.startswith(_BCRYPT)
    return (is_bcrypt, digest[4:6] if is_bcrypt else "")


def _verify(password: str, digest: str) -> bool:
    try:
        if digest.startswith(_BCRYPT):
            return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], digest.encode())
        kind = sha256_crypt if digest.startswith("$5$") else sha512_crypt
        return bool(kind.verify(password, digest))
    except ValueError:
        # A hash that is cut short, or a password with a zero byte.
        return False
