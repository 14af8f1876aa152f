"""What those are told who may not do something."""

from __future__ import annotations

from collections.abc import Mapping

from zot.auth.actions import Action
from zot.auth.policy import Decision
from zot.auth.principal import Principal, Via
from zot.errors import Denied, Unauthorized

# What an action is in a sentence; those on a repository go before its name.
_DEEDS = {
    Action.METRICS: "read the metrics",
    Action.ACCOUNT: "manage API keys",
    Action.PING: "use this registry",
    Action.LIST: "list the repositories",
    Action.READ: "read",
    Action.CREATE: "create anything in",
    Action.UPDATE: "update tags of",
    Action.DELETE: "delete anything from",
}
_NEED_LOGIN = {
    Action.METRICS: "the metrics need a login",
    Action.ACCOUNT: "API keys need a login",
    Action.PING: "this registry needs a login",
    Action.LIST: "the list of repositories needs a login",
}


def login_needed(action: Action, repository: str | None, challenge: Mapping[str, str]) -> Unauthorized:
    """Return the answer to those who may do this after a login only, perhaps."""
    said = _NEED_LOGIN.get(action) or f"a login is needed to {_deed(action, repository)}"
    return Unauthorized(said, "log in, then try again", headers=challenge)


def denied(principal: Principal, action: Action, repository: str | None, decision: Decision, *, beyond: bool) -> Denied:
    """Return the answer to the known: who they are, what is missing and which pattern decided.

    `beyond` is for those who may do this, but not with the key or token that they show.
    """
    why = decision.rule
    if decision.pattern is not None and not beyond:
        why = f"it is decided by {decision.rule} of pattern {decision.pattern!r}"
    return Denied(
        f"{principal.name!r} may not {_deed(action, repository)}: {why}",
        _wider(principal, action) if beyond else _right(action),
        detail={
            "principal": principal.name,
            "missing": action.value,
            "repository": repository,
            "pattern": decision.pattern,
        },
    )


def _deed(action: Action, repository: str | None) -> str:
    deed = _DEEDS.get(action, action.value)
    return deed if repository is None else f"{deed} repository {repository!r}"


def _right(action: Action) -> str:
    if action is Action.METRICS:
        return "let http.accessControl.metrics.users name you"
    return "ask its owner for that right"


def _wider(principal: Principal, action: Action) -> str:
    if action is Action.ACCOUNT:
        return "log in with your password"
    if principal.via is not Via.KEY:
        return "log in in another way"
    return "use a key without scopes" if action is Action.METRICS else "use a key with a wider scope, or make one"
