"""API keys as passwords, and the answer to wrong ones."""

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

    def judge(self, user: str, secret: str) -> Principal:
        """Return whoever logs in as a user with a key.

        Raises `Unauthorized` if that is no good key of theirs, and `Unavailable` if nobody can tell now whether it is.
        """
        key = self._keys.find(secret)
        if key is None:
            raise wrong(self._keys.revocation(secret) or "there is no such API key", keys=True)
        if key.user != user:
            raise wrong(f"API key {key.uuid} is another user's", keys=True)
        # Whose time is over is not asked about, so that it can be told also while a directory is away.
        account = None if key.is_expired else self.account(key)
        flaw = key.flaw(account)
        if account is None or flaw:
            refused = Unauthorized(f"the API key is worth nothing: {flaw}", "log in otherwise, and make a new key")
            refused.because = f"API key {key.uuid}: {flaw}"
            raise refused
        self._keys.note_use(secret)
        within = narrowing(key.scopes or ())
        return Principal(account.name, account.groups, Via.KEY, key.origin, within, account.stamp, key.uuid)

    def account(self, key: Key) -> Account | None:
        """Return the account of a key's user as it is now; None if there is none any more. Raises `Unavailable`."""
        directory = self._directories.get(key.origin)
        return None if directory is None else directory.account(key.user)


def wrong(because: str = "", *, keys: bool) -> Unauthorized:
    """Return the answer to a name and a password, or key, that do not belong together; `keys` tells if there are any.

    It says the same whatever the reason; `because` is for the log.
    """
    refused = Unauthorized("the name or the password is wrong", "check both, then log in again")
    if keys:
        refused = Unauthorized(
            "the name, the password or the API key is wrong, or the key has expired or was revoked",
            "check them, then log in again; make a new key if it is an old one",
        )
    refused.because = because
    return refused
