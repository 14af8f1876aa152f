"""API keys as passwords."""

from __future__ import annotations

from collections.abc import Mapping

from zot.auth.accounts import Account, Directory
from zot.auth.keys import ApiKeys, Key
from zot.auth.principal import Principal, Via
from zot.auth.scopes import narrowing
from zot.errors import Unauthorized


class KeyLogin:
    """Judges keys: a key is good while it is not expired or revoked and its user is still vouched for, as they were.

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
        # Whose time is over is not asked about, so that it can be told also while a directory is away.
        account = None if key.is_expired else self.account(key)
        flaw = key.flaw(account)
        if account is None or flaw:
            raise Unauthorized(f"the API key is worth nothing: {flaw}", "log in otherwise, and make a new key")
        self._keys.note_use(secret)
        within = narrowing(key.scopes or ())
        return Principal(account.name, account.groups, Via.KEY, key.origin, within, account.stamp)

    def account(self, key: Key) -> Account | None:
        """Return the account of a key's user as it is now; None if there is none any more. Raises `Unavailable`."""
        directory = self._directories.get(key.origin)
        return None if directory is None else directory.account(key.user)
