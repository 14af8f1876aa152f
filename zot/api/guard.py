"""The guard that every route passes, and the only way to register a route."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any

from flask import Blueprint, Flask, Response, request
from werkzeug.http import parse_cookie

from zot.api import sessions
from zot.api.refusals import denied, login_needed
from zot.auth.actions import Action
from zot.auth.authority import Authority
from zot.auth.principal import ANONYMOUS, Credentials, Principal, Via
from zot.auth.sessions import COOKIE
from zot.errors import Denied, NameInvalid, RegistryError, Unauthorized
from zot.oci import names

View = Callable[..., Response]

# Where the server puts the client's certificate, in DER. No header of a request can get there.
CERTIFICATE = "zot.certificate"

_FOR_ALL = (Action.HEALTH, Action.LOGIN)
# Clients that take an answer of 200 to their first question for a registry without logins, and then never send one.
_ASK_FIRST = ("Docker-Client", "docker/", "containers/", "skopeo/", "Buildah/", "libpod/", "go-containerregistry/")


class Guard:
    """Says who is calling and refuses what the policy does not allow. Usable without a request of Flask's.

    `authority` may be replaced at any time by another one; a request that is under way goes on with either.
    """

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    def admit(
        self, credentials: Credentials, action: Action, repository: str | None, seen: Callable[[Principal], None]
    ) -> Principal:
        """Return whoever sent the request, if they may do this; `seen` is told who that is also if they may not.

        Raises `Unauthorized` for an anonymous caller and for wrong credentials, `Denied` for a known caller who may
        not, and `TooManyRequests` while too many logins fail.
        """
        if action in _FOR_ALL:
            self._refuse_foreign(credentials)
            return ANONYMOUS
        try:
            principal = self.authority.identify(credentials, action, repository)
            seen(principal)
            refused = self.refusal(principal, action, repository)
            if refused is None and action is Action.PING and not principal.is_known:
                refused = self._challenge_at_first(credentials)
            if refused is not None:
                raise refused
        except Unauthorized as error:
            if credentials.asks_itself:
                error.headers.pop("WWW-Authenticate", None)
            raise
        if principal.name:
            self._refuse_foreign(credentials)
        return principal

    def permits(self, principal: Principal, action: Action, repository: str) -> bool:
        """Tell whether the principal may do this to the repository."""
        return self.authority.permits(principal, action, repository)

    def shows(self, principal: Principal, repository: str) -> bool:
        """Tell whether a list may name the repository to the principal."""
        return self.authority.shows(principal, repository)

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether the principal may read whatever this registry holds."""
        return principal.within is None and self.authority.policy.reads_everything(principal)

    def detects_collisions(self, principal: Principal, repository: str) -> bool:
        """Tell whether a delete of a manifest with several tags is to be refused; no matter by which key."""
        return self.authority.policy.detects_collisions(principal, repository)

    def refusal(self, principal: Principal, action: Action, repository: str | None) -> RegistryError | None:
        """Return the answer to a principal who may not do this; None if they may.

        It says to the known who they are, what is missing and which pattern decided, and to the anonymous nothing.
        """
        authority = self.authority
        if authority.permits(principal, action, repository):
            return None
        challenge = authority.challenge_for(principal, action, repository)
        if challenge is not None:
            return login_needed(action, repository, challenge)
        decision = authority.decide(principal, action, repository)
        beyond = authority.policy.allows(principal, action, repository)
        return denied(principal, action, repository, decision, beyond=beyond)

    def _refuse_foreign(self, credentials: Credentials) -> None:
        """Raise `Denied` for what a page of another origin would change with somebody's login."""
        if self.authority.origins.is_foreign(credentials):
            raise Denied("a page of another origin asks for this", "do it on the registry's own page")

    def _challenge_at_first(self, credentials: Credentials) -> Unauthorized | None:
        """Let clients that ask `/v2/` first send their login where it makes a difference."""
        challenge = self.authority.challenge(Action.PING, None, "")
        asks_first = any(word in credentials.agent for word in _ASK_FIRST)
        if not (challenge and asks_first and self.authority.policy.is_mixed):
            return None
        return Unauthorized(
            "what anonymous clients may do here is not all there is", "log in, or go on without", headers=challenge
        )


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
            environ = request.environ
            _refuse_encoded_slash(environ.get("RAW_URI", ""))
            if name is not None:
                names.check_repository(name)
                environ["zot.repository"] = name
            shown = credentials(environ)
            # What the guard has seen is for the logs.
            try:
                principal = guard.admit(shown, action, name, partial(environ.__setitem__, "zot.caller"))
            except Unauthorized as error:
                environ["zot.refused"] = error.because
                raise
            if principal.via is Via.PASSWORD and (action is Action.PING or shown.asks_itself):
                sessions.begin(principal, None if shown.is_browser else f"{shown.address}\n{shown.agent}")
            if wants_principal:
                arguments["principal"] = principal
            return view(**arguments)

        guarded.action = action  # type: ignore[attr-defined]  # read by `check_guarded`
        return guarded


def credentials(environ: dict[str, Any]) -> Credentials:
    """Return what a request, in WSGI's words, shows of its sender."""
    return Credentials(
        environ.get("HTTP_AUTHORIZATION", ""),
        environ.get("REMOTE_ADDR", ""),
        environ.get("HTTP_USER_AGENT", ""),
        environ.get(CERTIFICATE, b""),
        parse_cookie(environ).get(COOKIE, "") if "HTTP_COOKIE" in environ else "",
        environ.get("REQUEST_METHOD", ""),
        environ.get("HTTP_HOST", ""),
        environ.get("HTTP_ORIGIN", ""),
        environ.get("HTTP_SEC_FETCH_SITE", ""),
        "HTTP_X_ZOT_API_CLIENT" in environ,
    )


def check_guarded(app: Flask) -> None:
    """Raise `AssertionError` if a view can be reached that no action was declared for."""
    for endpoint, view in app.view_functions.items():
        if not isinstance(getattr(view, "action", None), Action):
            raise AssertionError(f"the view {endpoint!r} was registered past the guard; use zot.api.guard.Routes.add")


def _refuse_encoded_slash(raw_uri: str) -> None:
    """Refuse `%2F` in a path: it has become a slash by now, and proxies in front may have read it otherwise."""
    if "%" in raw_uri and "%2f" in raw_uri.partition("?")[0].lower():
        raise NameInvalid("the path holds an encoded slash", "write the slashes of a repository name as they are")
