"""The ways to prove who you are, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zot.auth.principal import ANONYMOUS, Credentials, Principal
from zot.errors import Unauthorized

# What clients of the containers family send when they have no name and no password: Basic with ":".
_NOBODY = "basic og=="


class Authenticator(Protocol):
    """One way to prove who you are."""

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return who sent these; None if they hold nothing for this way to judge.

        Raises `Unauthorized` if what they hold is wrong, and `TooManyRequests` if it may not be judged now.
        """


class Chain:
    """Asks one authenticator after the other. Immutable.

    `headers` read Authorization. A request with that header is theirs alone: it never falls back to a cookie, to a
    certificate or to nobody. Where no way is configured that reads it, it is passed over.
    """

    def __init__(self, headers: Sequence[Authenticator] = (), others: Sequence[Authenticator] = ()) -> None:
        self._headers = tuple(headers)
        self._others = tuple(others)

    def identify(self, credentials: Credentials) -> Principal:
        """Return who sent these. Raises as `Authenticator.authenticate` does."""
        header = credentials.authorization
        if header and self._headers and header.lower() != _NOBODY:
            return self._by_header(credentials)
        for one in self._others:
            found = one.authenticate(credentials)
            if found is not None:
                return found
        return ANONYMOUS

    def _by_header(self, credentials: Credentials) -> Principal:
        # Neither base64 nor a token holds a comma.
        if "," in credentials.authorization:
            raise Unauthorized("there are several Authorization headers", "send one")
        for one in self._headers:
            found = one.authenticate(credentials)
            if found is not None:
                return found
        scheme = credentials.authorization.partition(" ")[0]
        raise Unauthorized(
            f"Authorization of the kind {scheme[:20]!r} is not taken here", "use what the answer asks for"
        )
