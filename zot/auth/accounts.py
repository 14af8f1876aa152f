"""Users as those know them who vouch for them."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple, Protocol


class Account(NamedTuple):
    """A user: the name, as policies have it, the groups that come with it, and a stamp.

    Sessions and API keys keep the stamp, and are worth nothing when it is another one: then the password was changed,
    or the name was given to somebody else. It is empty where that can't be told.
    """

    name: str
    groups: frozenset[str] = frozenset()
    stamp: str = ""


def stamp(*parts: str) -> str:
    """Return what stands for these parts, and tells nothing of them; they hold something that nobody can guess."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Directory(Protocol):
    """Somebody who vouches for users, also when they are not there: their sessions and keys live while it does."""

    @property
    def origin(self) -> str:
        """Its name."""

    def account(self, user: str) -> Account | None:
        """Return a user's account as it is now; None if there is no such user any more.

        Raises `Unavailable` if that can't be told now.
        """


class PasswordSource(Directory, Protocol):
    """A directory that knows passwords."""

    def check(self, user: str, password: str) -> Account | None:
        """Return the user's account if that is the password; None if it is not, or if there is no such user.

        Raises `Unavailable` if that can't be told now.
        """

    def version(self) -> object:
        """Return what differs when an answer given before may hold no longer."""
