"""API keys as passwords."""

from __future__ import annotations

from collections.abc import Mapping

from zot.auth.accounts import Directory
from zot.auth.keys import ApiKeys
from zot.auth.principal import Principal, Via
from zot.auth.scopes import narrowing
from zot.errors import Unauthorized


class KeyLogin:
    """Judges keys: a key is good while it is not expired or revoked and its user is still vouched for.

    It has the groups of its user as they are now. `directories` are those who vouch for users, by their names.
    """

    def __init__(self, keys: ApiKeys, directories: Mapping[str, Directory]) -> None:
        self._keys = keys
        self._directories = directories

    def judge(self, user: str, secret: str) -> Principal | None:
        """Return whoever logs in as a user with a key; None if that is not a key of theirs.

        Raises `Unauthorized` for a key that was good once, and `Unavailable` if nobody can tell now whether it is.
        """
        key = self._keys.find(secret)
        if key is None or key.user != user:
            return None
        if key.is_expired:
            raise Unauthorized("the API key has expired", "make another one")
        directory = self._directories.get(key.origin)
        account = None if directory is None else directory.account(user)
        if account is None:
            raise Unauthorized(f"there is no user {user!r} any more", "log in as somebody who is there")
        self._keys.note_use(secret)
        return Principal(account.name, account.groups, Via.KEY, key.origin, narrowing(key.scopes or ()))
