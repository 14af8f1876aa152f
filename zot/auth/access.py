"""Access control: which action on which repository is for whom. See DESIGN.md, "Who you are and what you may do"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from zot.auth.actions import Action, Actions, effective
from zot.auth.policy import Decision
from zot.auth.principal import ANONYMOUS, Principal
from zot.oci.globs import Glob, compile_glob

NOTHING: Actions = frozenset()
_REMEMBERED = 20_000


class Grant(NamedTuple):
    """Actions for some users and groups."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    actions: Actions = NOTHING

    def names(self, user: str, groups: frozenset[str]) -> bool:
        """Tell whether it is for this user, by name or by group."""
        return user in self.users or not self.groups.isdisjoint(groups)


class Rules(NamedTuple):
    """What holds for the repositories that match one pattern.

    `default` is for the authenticated whom none of the grants names, `anonymous` for those without a name only.
    """

    glob: Glob
    grants: tuple[Grant, ...] = ()
    default: Actions = NOTHING
    anonymous: Actions = NOTHING


class MetricsRule(NamedTuple):
    """Who may see the metrics."""

    users: frozenset[str] = frozenset()
    anonymous: bool = False


NO_RULES = Rules(compile_glob("**"))


class AccessControl:
    """The policy of a configuration with `accessControl`. Immutable.

    Only the first of the patterns that match a repository counts, in the order of `Glob.rank`. `groups` are the
    configuration's own, by name; `admin` holds for every repository besides.
    """

    def __init__(
        self,
        rules: Iterable[Rules],
        groups: Mapping[str, frozenset[str]] | None = None,
        admin: Grant | None = None,
        metrics: MetricsRule | None = None,
    ) -> None:
        self._rules = sorted(rules, key=lambda one: one.glob.rank)
        self._groups = dict(groups or {})
        self._admin = admin or Grant()
        self._metrics = metrics or MetricsRule()
        self.is_mixed = any(one.anonymous for one in self._rules)
        self._rules_of = lru_cache(_REMEMBERED)(self._find_rules)
        self._actions_of = lru_cache(_REMEMBERED)(self._find_actions)

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Tell whether the principal may do this."""
        if repository is None:
            return self._allows_on_registry(principal, action)
        return action in self._actions_of(principal.name, principal.groups, repository)

    def decide(self, principal: Principal, action: Action, repository: str | None) -> Decision:
        """Answer as `allows` does, and name the pattern and the part of it that decided."""
        allowed = self.allows(principal, action, repository)
        if repository is None:
            return Decision(allowed, _rule_on_registry(action))
        user, groups = principal.name, self.groups_of(principal.name, principal.groups)
        rules = self._rules_of(repository)
        if rules is NO_RULES:
            pattern, part, actions = None, "no pattern of accessControl.repositories matches it", NOTHING
        else:
            part, actions = _part_for(rules, user, groups)
            pattern = rules.glob.pattern
        if allowed and action not in effective(actions):
            return Decision(
                True, f"adminPolicy; {part}" if pattern is None else f"adminPolicy, which overrides {part}", pattern
            )
        return Decision(allowed, part, pattern)

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether the principal is an admin who reads, or every pattern, `**` among them, lets them read."""
        user, groups = principal.name, self.groups_of(principal.name, principal.groups)
        if Action.READ in self._admin_actions(user, groups):
            return True
        everywhere = any(one.glob.pattern == "**" for one in self._rules)
        return everywhere and all(Action.READ in effective(_part_for(one, user, groups)[1]) for one in self._rules)

    def detects_collisions(self, principal: Principal, repository: str) -> bool:
        """Tell whether the policy of the repository's pattern asks for it; an admin's actions never do."""
        return self.allows(principal, Action.DETECT, repository)

    def groups_of(self, user: str, groups: frozenset[str]) -> frozenset[str]:
        """Return the groups of a user: those that came with them, and the configuration's."""
        return groups | {name for name, members in self._groups.items() if user in members}

    @property
    def patterns(self) -> list[str]:
        """Return the patterns in the order in which they are asked."""
        return [one.glob.pattern for one in self._rules]

    def matching(self, repository: str) -> list[str]:
        """Return the patterns that match a repository; the first of them decides, alone."""
        return [one.glob.pattern for one in self._rules if one.glob.matches(repository)]

    def actions_under(self, principal: Principal, pattern: str) -> Actions:
        """Return what the principal may do in a repository for which this pattern decides."""
        rules = next(one for one in self._rules if one.glob.pattern == pattern)
        return self._effective(rules, principal.name, self.groups_of(principal.name, principal.groups))

    def _allows_on_registry(self, principal: Principal, action: Action) -> bool:
        if action in (Action.HEALTH, Action.LOGIN):
            return True
        if action is Action.ACCOUNT:
            return bool(principal.name)
        if action is Action.METRICS:
            return principal.name in self._metrics.users if principal.name else self._metrics.anonymous
        # The base and the catalogue, which is filtered: for whoever may do something somewhere.
        return principal.is_known or self.is_mixed

    def _find_rules(self, repository: str) -> Rules:
        return next((one for one in self._rules if one.glob.matches(repository)), NO_RULES)

    def _find_actions(self, user: str, groups: frozenset[str], repository: str) -> Actions:
        return self._effective(self._rules_of(repository), user, self.groups_of(user, groups))

    def _effective(self, rules: Rules, user: str, groups: frozenset[str]) -> Actions:
        return effective(_part_for(rules, user, groups)[1] | self._admin_actions(user, groups))

    def _admin_actions(self, user: str, groups: frozenset[str]) -> Actions:
        if not user or not self._admin.names(user, groups):
            return NOTHING
        return self._admin.actions - {Action.DETECT}


def _rule_on_registry(action: Action) -> str:
    if action is Action.METRICS:
        return "http.accessControl.metrics"
    return "http.accessControl, for what is about no repository"


def _part_for(rules: Rules, user: str, groups: frozenset[str]) -> tuple[str, Actions]:
    """Return the part of a pattern's rules that holds for a user, in words, and the actions that it grants."""
    if user == ANONYMOUS.name:
        return "anonymousPolicy", rules.anonymous
    named = [number for number, one in enumerate(rules.grants) if one.names(user, groups)]
    if not named:
        return "defaultPolicy", rules.default
    actions = NOTHING.union(*(rules.grants[number].actions for number in named))
    return " and ".join(f"policies[{number}]" for number in named), actions
