"""`http.accessControl`: who may do what."""

from __future__ import annotations

from typing import Literal

from zot.config.section import Section, setting
from zot.config.values import Many

Action = Literal["read", "create", "update", "delete", "detectManifestCollision"]
# An action counts only for those who have these too.
NEEDS: dict[str, frozenset[str]] = {
    "create": frozenset({"read"}),
    "update": frozenset({"read", "create"}),
    "delete": frozenset({"read"}),
    "detectManifestCollision": frozenset({"read", "delete"}),
}


class Condition(Section):
    """What must hold for a policy to count."""

    expression: str = setting("", "The expression, in CEL.")
    message: str = setting("", "What is said when it does not hold.")


class Policy(Section):
    """What some users and groups may do."""

    users: Many[str] = setting((), "The users that it is for.")
    groups: Many[str] = setting((), "The groups that it is for.")
    actions: Many[Action] = setting(
        (),
        "What they may do: `read`, `create`, `update`, `delete`; `detectManifestCollision` guards deletes by digest.",
    )
    conditions: tuple[Condition, ...] = setting(
        (), "What must hold for it to count. A policy that has some grants nothing in this version.", acted_on=False
    )


class RepositoryPolicy(Section):
    """What may be done in the repositories that match; the longest pattern that matches decides."""

    policies: tuple[Policy, ...] = setting((), "What some users and groups may do.")
    default_policy: Many[Action] = setting((), "What authenticated users may do whom no policy here names.")
    anonymous_policy: Many[Action] = setting((), "What may be done without logging in.")


class Group(Section):
    """Users that policies name together."""

    users: Many[str] = setting((), "Its users.")


class MetricsAccess(Section):
    """Who may read the metrics."""

    users: Many[str] = setting((), "The users who may.")
    anonymous_policy: Many[Action] = setting((), "`read` lets everybody, without logging in.")


class AccessControl(Section):
    """Who may do what."""

    repositories: dict[str, RepositoryPolicy] = setting(
        {}, "What may be done, by glob: `**`, `infra/*`, `repos2/repo`."
    )
    admin_policy: Policy = setting(Policy(), "Who may do what in all repositories, whatever is said there.")
    groups: dict[str, Group] = setting({}, "Users that policies name together.")
    metrics: MetricsAccess = setting(MetricsAccess(), "Who may read the metrics.")
