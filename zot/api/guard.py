"""The guard that every route passes, and the only way to register a route."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from flask import Blueprint, Flask, Response, request

from zot.auth.policy import Action, Policy, Principal
from zot.errors import Denied, NameInvalid, Unauthorized
from zot.oci import names

View = Callable[..., Response]


class Guard:
    """Says who is calling and refuses what the policy does not allow. Usable without a request of Flask's."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def identify(self) -> Principal:
        """Return whoever sent the request."""
        return Principal()

    def permits(self, principal: Principal, action: Action, repository: str) -> bool:
        """Tell whether the principal may do this to the repository."""
        return self._policy.allows(principal, action, repository)

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether the principal may read whatever this registry holds."""
        return self._policy.reads_everything(principal)

    def require(self, principal: Principal, action: Action, repository: str | None) -> None:
        """Raise `Unauthorized` for an anonymous caller and `Denied` for a known one who may not do this."""
        if self._policy.allows(principal, action, repository):
            return
        where = f"repository {repository!r}" if repository else "this registry"
        if not principal.name:
            raise Unauthorized(f"{action.value} on {where} needs a login", "log in, then try again")
        raise Denied(f"{principal.name!r} may not {action.value} on {where}", "ask its owner for that right")


class Routes:
    """Registers guarded views on one blueprint."""

    def __init__(self, blueprint: Blueprint, guard: Guard) -> None:
        self._blueprint = blueprint
        self._guard = guard

    def add(self, rule: str, methods: Iterable[str], action: Action, view: View) -> None:
        """Serve a view under a rule. A view is called only if the caller may do `action` to the repository `name`.

        A view that names a parameter `principal` is given the caller.
        """
        methods = list(methods)
        endpoint = f"{' '.join(methods)} {rule}".replace(".", "-")
        guarded = self._guarded(action, view)
        self._blueprint.add_url_rule(
            rule, endpoint, guarded, methods=methods, provide_automatic_options=False, strict_slashes=False
        )

    def _guarded(self, action: Action, view: View) -> View:
        guard = self._guard
        wants_principal = "principal" in view.__annotations__

        @wraps(view)
        def guarded(**arguments: Any) -> Response:
            name = arguments.get("name")
            _refuse_encoded_slash(request.environ.get("RAW_URI", ""))
            if name is not None:
                names.check_repository(name)
            principal = guard.identify()
            guard.require(principal, action, name)
            if wants_principal:
                arguments["principal"] = principal
            return view(**arguments)

        guarded.action = action  # type: ignore[attr-defined]  # read by `check_guarded`
        return guarded


def check_guarded(app: Flask) -> None:
    """Raise `AssertionError` if a view can be reached that no action was declared for."""
    for endpoint, view in app.view_functions.items():
        if not isinstance(getattr(view, "action", None), Action):
            raise AssertionError(f"the view {endpoint!r} was registered past the guard; use zot.api.guard.Routes.add")


def _refuse_encoded_slash(raw_uri: str) -> None:
    """Refuse `%2F` in a path: it has become a slash by now, and proxies in front may have read it otherwise."""
    if "%" in raw_uri and "%2f" in raw_uri.partition("?")[0].lower():
        raise NameInvalid("the path holds an encoded slash", "write the slashes of a repository name as they are")
