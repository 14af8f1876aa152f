"""What can be done to a registry and to its repositories."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from zot.config import access


class Action(Enum):
    """What a route does, declared when it is registered, or what access control grants.

    HEALTH, PING and METRICS are about no repository, LOGIN is for those who log in or out, ACCOUNT is what somebody
    does with their own API keys. LIST is the catalogue, whose entries are filtered by READ. UPDATE is to move a tag
    that is there: no route is declared with it, as that is known only when the tag is swapped.
    DETECT is no right but a wish: that the delete of a manifest with several tags is refused.
    """

    HEALTH = "health"
    LOGIN = "login"
    METRICS = "metrics"
    ACCOUNT = "manage API keys"
    PING = "ping"
    LIST = "list"
    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    DETECT = "detectManifestCollision"


Actions = frozenset[Action]

# An action counts only for those who have these too.
NEEDS: dict[Action, Actions] = {Action(name): frozenset(map(Action, needed)) for name, needed in access.NEEDS.items()}
# What access control and the scopes of keys speak of.
GRANTED: dict[str, Action] = {one.value: one for one in (Action.READ, *NEEDS)}


def effective(granted: Iterable[Action]) -> Actions:
    """Return those of the actions that have all that they need among the others."""
    actions = frozenset(granted)
    return frozenset(action for action in actions if NEEDS.get(action, frozenset()) <= actions)
