"""What a principal may do. Every way to bytes asks a policy; there is no second one."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zot.auth.actions import Action
from zot.auth.principal import Principal


class Decision(NamedTuple):
    """An answer, and in words what gave it; `pattern` is the one that decided, if it was one."""

    allowed: bool
    rule: str
    pattern: str | None = None


class Policy(Protocol):
    """Decides."""

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Tell whether the principal may do this, to this repository or to the registry itself."""

    def decide(self, principal: Principal, action: Action, repository: str | None) -> Decision:
        """Answer as `allows` does, and say why."""

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether there is no repository that the principal may not read."""

    def detects_collisions(self, principal: Principal, repository: str) -> bool:
        """Tell whether a delete of a manifest with several tags is to be refused to the principal."""

    @property
    def is_mixed(self) -> bool:
        """Tell whether somebody anonymous may do something, and others more."""


class OpenPolicy:
    """No access control in the configuration: everybody may do everything, or everybody whose name is known."""

    is_mixed = False

    def __init__(self, *, to_anonymous: bool = True) -> None:
        self._to_anonymous = to_anonymous

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Return True, unless a name is needed and missing."""
        if action is Action.ACCOUNT:
            return bool(principal.name)
        if action is Action.METRICS:
            return self._to_anonymous or bool(principal.name)
        return self._to_anonymous or principal.is_known or action in (Action.HEALTH, Action.LOGIN)

    def decide(self, principal: Principal, action: Action, repository: str | None) -> Decision:
        """Answer as `allows` does."""
        whom = "everybody" if self._to_anonymous else "everybody who logs in"
        return Decision(self.allows(principal, action, repository), f"without accessControl {whom} may do everything")

    def reads_everything(self, principal: Principal) -> bool:
        """Return True, unless a name is needed and missing."""
        return self.allows(principal, Action.READ, None)

    def detects_collisions(self, principal: Principal, repository: str) -> bool:
        """Return False: nobody asked for it."""
        return False
