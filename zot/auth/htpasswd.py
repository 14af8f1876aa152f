"""Users and passwords in a file of lines `user:hash`, as Apache's htpasswd writes it with -B, -2 or -5."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import bcrypt
from passlib.hash import sha256_crypt, sha512_crypt

from zot.auth.accounts import Account, stamp
from zot.cores import aside
from zot.errors import StartupError

log = logging.getLogger(__name__)

_BCRYPT = ("$2a$", "$2b$", "$2y$")
# What follows those: a cost of two digits, then 53 characters of salt and hash.
_AFTER_BCRYPT = re.compile(r"(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
# bcrypt itself uses no more of a password.
_BCRYPT_BYTES = 72
# A hash of bcrypt with some cost, that no password has.
_DUMMY = "$2b${:02}$" + "." * 53
# What a password is checked against if the file has no users.
_NOBODY = _DUMMY.format(10)

Version = tuple[int, int, int]


class _Read(NamedTuple):
    """What a file said when it was read: hashes by user, and the dearest of them, checked for who is not a user."""

    version: Version
    hashes: Mapping[str, str]
    nobody: str


class Parsed(NamedTuple):
    """What a text says: hashes by user, and what is wrong with its lines, in words without the hashes."""

    hashes: dict[str, str]
    problems: list[str]


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
            self._read = _read(path, _version(path))
        except OSError as error:
            raise StartupError(
                f"http.auth.htpasswd.path {path} can't be read: {os.strerror(error.errno or 0)}",
                "make it with: htpasswd -B -c FILE USER",
            ) from error

    def check(self, user: str, password: str) -> Account | None:
        """Return the account if that is the user's password, else None; that takes as long for whatever user."""
        read = self._current()
        known = read.hashes.get(user)
        with self._one_at_a_time:
            right = _verify(password, known or read.nobody)
            if known is not None and not right:
                _fill_up(password, known, read.nobody)
        return _account(user, known) if right else None

    def account(self, user: str) -> Account | None:
        """Return the account of a user who is in the file; None for others."""
        return _account(user, self._current().hashes.get(user))

    def version(self) -> object:
        """Return what changes with the file."""
        return self._current().version

    def _current(self) -> _Read:
        """Return what the file says now; while it can't be read, what it said last."""
        try:
            version = _version(self._path)
            if version == self._read.version:
                return self._read
            with self._reading:
                if version != self._read.version:
                    self._read = _read(self._path, version)
                    log.info("%s has changed and was read again: %d users", self._path, len(self._read.hashes))
        except OSError as error:
            log.warning("%s can't be read, and what it said last holds: %s", self._path, error.strerror)
        return self._read


def _account(user: str, digest: str | None) -> Account | None:
    """Return the account of a user whose password has this hash, salt and all: a new one makes another stamp."""
    return None if digest is None else Account(user, stamp=stamp("htpasswd", user, digest))


def _version(path: str) -> Version:
    found = os.stat(path)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def parse(text: str) -> Parsed:
    """Read the lines of such a file; those that are no users are passed over."""
    hashes: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        user, colon, digest = line.partition(":")
        if not colon or not user:
            if line.strip() and not line.startswith("#"):
                problems.append(f"line {number} is not USER:HASH, and is passed over")
        elif not digest.startswith((*_BCRYPT, "$5$", "$6$")):
            what = f"line {number}: the hash of {user!r} is none of bcrypt, $5$ and $6$; nobody can log in with it"
            problems.append(what)
        elif digest.startswith(_BCRYPT) and not _AFTER_BCRYPT.fullmatch(digest[4:]):
            # Its cost would count for those who are not users, and take no time.
            problems.append(f"line {number}: the bcrypt hash of {user!r} is not whole; nobody can log in with it")
        else:
            if user in hashes:
                problems.append(f"line {number} is about {user!r} again, and takes the place of the line before")
            hashes[user] = digest
    if not hashes:
        problems.append("it has no users")
    return Parsed(hashes, problems)


def _read(path: str, version: Version) -> _Read:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        hashes, problems = parse(file.read())
    for problem in problems:
        log.warning("%s: %s", path, problem)
    return _Read(version, hashes, max(hashes.values(), key=_cost, default=_NOBODY))


def _cost(digest: str) -> int:
    """Return the cost of a bcrypt hash, and 0 for other kinds."""
    return int(digest[4:6]) if digest.startswith(_BCRYPT) else 0


def _fill_up(password: str, digest: str, dearest: str) -> None:
    """Take as long as the dearest hash of the file would have: the time must not tell that there is such a user.

    Each cost of bcrypt takes twice as long as the one below. So after one of 10 those of 10 and 11 make up one of 12.
    """
    own, most = _cost(digest), _cost(dearest)
    # One of another kind costs next to nothing beside a bcrypt.
    for cost in range(own, most) if own else [most] if most else []:
        _verify(password, _DUMMY.format(cost))


def _verify(password: str, digest: str) -> bool:
    try:
        if digest.startswith(_BCRYPT):
            return aside(bcrypt.checkpw, password.encode()[:_BCRYPT_BYTES], digest.encode())
        kind = sha256_crypt if digest.startswith("$5$") else sha512_crypt
        return bool(kind.verify(password, digest))
    except ValueError:
        # A hash that is cut short, or a password with a zero byte.
        return False
