"""What a principal may do. Every way to bytes asks a policy; there is no second one."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol


class Action(Enum):
    """What a route does, declared when it is registered.

    HEALTH and PING are about no repository. LIST is the catalogue, whose entries are filtered by READ.
    """

    HEALTH = "health"
    METRICS = "metrics"
    PING = "ping"
    LIST = "list"
    READ = "read"
    CREATE = "create"
    DELETE = "delete"


class Principal(NamedTuple):
    """Whoever sent a request; the name of an anonymous caller is empty."""

    name: str = ""


class Policy(Protocol):
    """Decides."""

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Tell whether the principal may do this, to this repository or to the registry itself."""

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether there is no repository that the principal may not read."""


class OpenPolicy:
    """Everybody may do everything: there is no access control in the configuration."""

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Return True."""
        return True

    def reads_everything(self, principal: Principal) -> bool:
        """Return True."""
        return True
