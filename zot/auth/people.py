"""The users that providers of identities sent here: who they are, and their groups when they last logged in.

A provider can't be asked about a user who is not there. So each login replaces what is known, and what is known is
believed for thirty days: the sessions and keys of somebody who does not log in any more end by then.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

from zot.auth.accounts import Account
from zot.auth.identity import Identity
from zot.storage.protocol import NotFound, Storage

BELIEVED_SECONDS = 30 * 24 * 3600.0


class People:
    """The users of one provider, kept in a store below a prefix: the directory that vouches for them.

    `provider` is what the configuration calls it, and `address` which one that is: another one's users are others.
    """

    def __init__(
        self, storage: Storage, prefix: str, provider: str, address: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._storage = storage
        self._prefix = f"{prefix}/{provider}-{hashlib.sha256(address.encode()).hexdigest()[:32]}"
        self._clock = clock
        self.origin = f"openid:{provider}"

    def note(self, found: Identity) -> None:
        """Note that a user has logged in; what was known before, groups above all, is forgotten (CVE-2025-23208)."""
        document = {"user": found.name, "groups": sorted(found.groups), "stamp": found.stamp, "at": self._clock()}
        self._storage.write(self._at(found.name), json.dumps(document).encode(), new_directory=True)

    def account(self, user: str) -> Account | None:
        """Return a user who logged in lately, with the groups of that time; None for others."""
        try:
            known = json.loads(self._storage.read(self._at(user)))
        except NotFound:
            return None
        if known["user"] != user or self._clock() - known["at"] > BELIEVED_SECONDS:
            return None
        return Account(user, frozenset(known["groups"]), known["stamp"])

    def _at(self, user: str) -> str:
        return f"{self._prefix}/{hashlib.sha256(user.encode('utf-8', 'surrogatepass')).hexdigest()}"
