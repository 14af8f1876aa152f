"""The routes of logins in a browser: out to a provider, and back from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request

from zot.api import sessions
from zot.api.guard import Guard
from zot.api.rendering import document, empty
from zot.auth.sessions import COOKIE
from zot.errors import RegistryError

if TYPE_CHECKING:
    from zot.auth.logins import Logins

_TICKET = "statecookie"
# As long as the ticket itself is good.
_TICKET_SECONDS = 600
_CALLBACK = "/zot/auth/callback"
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class LoginViews:
    """Views over `zot.auth.logins`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def begin(self) -> Response:
        """Send the browser to a provider, with a ticket to bring back."""
        provider, landing = request.args.get("provider", ""), request.args.get("callback_ui", "")
        url, ticket = self._logins().begin(provider, landing)
        answer = empty(302, {"Location": url, **_PRIVATE})
        self._keep(answer, ticket, _TICKET_SECONDS)
        return answer

    def finish(self, provider: str) -> Response:
        """Let a browser that comes back from a provider begin a session, and send it where it wanted to go."""
        principal, landing = self._logins().finish(provider, request.args, request.cookies.get(_TICKET, ""))
        old = request.cookies.get(COOKIE)
        if old and self._guard.authority.sessions is not None:
            self._guard.authority.sessions.end(old)
        sessions.begin(principal)
        answer = empty(302 if landing else 201, {**({"Location": landing} if landing else {}), **_PRIVATE})
        self._keep(answer, "", 0)
        return answer

    def log_out(self) -> Response:
        """End the session of the caller's cookie, on every worker; say where to log out at the provider too."""
        cookie = request.cookies.get(COOKIE, "")
        authority = self._guard.authority
        session = authority.sessions.find(cookie) if authority.sessions is not None and cookie else None
        sessions.end(cookie)
        if authority.sessions is not None:
            # At once, as the provider may take its time.
            authority.sessions.end(cookie)
        there = authority.services.logins.end_session(session.origin) if authority.services and session else None
        return document({"endSessionUrl": there} if there else {})

    def _logins(self) -> Logins:
        services = self._guard.authority.services
        if services is None:
            raise RegistryError("there is no login by other services here", "add http.auth.openid", status=404)
        return services.logins

    def _keep(self, answer: Response, ticket: str, seconds: int) -> None:
        secure = self._guard.authority.secure_cookies
        answer.set_cookie(
            _TICKET, ticket, max_age=seconds, path=_CALLBACK, secure=secure, httponly=True, samesite="Lax"
        )
