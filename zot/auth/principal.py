"""Who sends a request, and what of the request tells it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from zot.auth.accounts import Account
from zot.auth.actions import Action, Actions
from zot.oci.globs import Glob


class Via(Enum):
    """How somebody proved who they are."""

    NOTHING = "nothing"
    PASSWORD = "password"  # noqa: S105  # a word, not a password
    KEY = "API key"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105  # as above
    CERTIFICATE = "certificate"


class Scope(NamedTuple):
    """Some repositories, and what is possible there."""

    repositories: Glob
    actions: Actions


class Principal(NamedTuple):
    """Whoever sent a request; the name of an anonymous caller is empty.

    `groups` are those that came with the proof (LDAP's, a provider's); the configuration's own are added by the policy.
    `origin` names what vouches for the name: a session or key lives only as long as that still does. `within`, if it is
    there, narrows what the policy allows: to the scopes of a key, to what a token grants. `stamp` is the account's,
    `key` the identifier of an API key.
    """

    name: str = ""
    groups: frozenset[str] = frozenset()
    via: Via = Via.NOTHING
    origin: str = ""
    within: tuple[Scope, ...] | None = None
    stamp: str = ""
    key: str = ""

    @property
    def account(self) -> Account:
        """The account behind the name."""
        return Account(self.name, self.groups, self.stamp)

    @property
    def is_known(self) -> bool:
        """Tell whether there is a proof, be it one that gives no name, as tokens do that are for everybody."""
        return bool(self.name) or self.via is not Via.NOTHING

    def proof(self) -> dict[str, str]:
        """Return how they proved who they are, as the logs say it; nothing of whoever did not."""
        if not self.is_known:
            return {}
        said = {"via": self.via.value, "origin": self.origin, "key": self.key}
        return {name: value for name, value in said.items() if value}

    def stays_within(self, action: Action, repository: str) -> bool:
        """Tell whether the scopes, if there are any, have room for this."""
        if self.within is None:
            return True
        return any(action in one.actions and one.repositories.matches(repository) for one in self.within)


ANONYMOUS = Principal()


class Credentials(NamedTuple):
    """What a request shows of its sender; an empty text stands for what is not there.

    `authorization` has all headers of that name, joined by commas. `address` is the network address of the peer.
    `certificate` is the client's, in DER, which the TLS handshake has verified.
    `session` is the cookie of that name. `method`, `host`, `origin` and `site` (Sec-Fetch-Site) tell whether a browser
    sends this for somebody else's page. `asks_itself` is for clients that have a login form of their own.
    """

    authorization: str = ""
    address: str = ""
    agent: str = ""
    certificate: bytes = b""
    session: str = ""
    method: str = "GET"
    host: str = ""
    origin: str = ""
    site: str = ""
    asks_itself: bool = False

    @property
    def is_browser(self) -> bool:
        """Tell whether a browser may have sent this; other clients say none of these."""
        return self.asks_itself or bool(self.origin or self.site) or "Mozilla/" in self.agent
