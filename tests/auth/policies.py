"""Access control for tests, read from JSON in the format of the configuration."""

from __future__ import annotations

from typing import Any

from zot.auth.access import AccessControl, Grant, MetricsRule, Rules
from zot.auth.actions import GRANTED, Actions
from zot.oci.globs import compile_glob

# The user's own example, word for word but for its comments, which are tests.
SEED: dict[str, Any] = {
    "groups": {"group1": {"users": ["jack", "john", "jane", "ana"]}, "group2": {"users": ["alice", "mike", "jim"]}},
    "repositories": {
        "**": {
            "policies": [{"users": ["charlie"], "actions": ["read", "create", "update"]}],
            "defaultPolicy": ["read", "create", "delete", "detectManifestCollision"],
            "anonymousPolicy": ["read"],
        },
        "tmp/**": {"defaultPolicy": ["read", "create", "update"]},
        "infra/*": {
            "policies": [
                {"users": ["alice", "bob"], "actions": ["create", "read", "update", "delete"]},
                {"users": ["mallory"], "actions": ["create", "read"]},
            ],
            "defaultPolicy": ["read"],
        },
        "repos2/repo": {
            "policies": [
                {"users": ["bob"], "groups": ["group1"], "actions": ["read", "create"]},
                {"users": ["mallory"], "actions": ["create", "read"]},
            ],
            "defaultPolicy": ["read"],
        },
    },
    "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
}


def access_control(read: dict[str, Any]) -> AccessControl:
    """Make the policy."""
    rules = [
        Rules(
            compile_glob(pattern),
            tuple(_grant(one) for one in policy.get("policies", [])),
            _actions(policy.get("defaultPolicy", [])),
            _actions(policy.get("anonymousPolicy", [])),
        )
        for pattern, policy in read.get("repositories", {}).items()
    ]
    groups = {name: frozenset(group["users"]) for name, group in read.get("groups", {}).items()}
    metrics = read.get("metrics", {})
    rule = MetricsRule(frozenset(metrics.get("users", [])), "read" in metrics.get("anonymousPolicy", []))
    return AccessControl(rules, groups, _grant(read.get("adminPolicy", {})), rule)


def _grant(read: dict[str, Any]) -> Grant:
    users, groups = frozenset(read.get("users", [])), frozenset(read.get("groups", []))
    return Grant(users, groups, _actions(read.get("actions", [])))


def _actions(names: list[str]) -> Actions:
    return frozenset(GRANTED[name] for name in names)
