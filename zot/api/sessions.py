"""Sessions of browsers for Flask: flask-login says who logs in and out, and the store keeps it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, session
from flask.sessions import SessionInterface, SessionMixin
from flask_login import LoginManager, UserMixin, login_user, logout_user

from zot.auth.accounts import Account
from zot.auth.authority import Authority
from zot.auth.principal import Principal
from zot.auth.sessions import COOKIE, LONGEST_SECONDS

_USER = "_user_id"
_ENDED = "_ended"
_CLIENT = "_client"


class LoggedIn(UserMixin):  # type: ignore[misc]  # flask-login has no types
    """A user as flask-login knows them: by whoever vouches for them, the account's stamp, and their name."""

    def __init__(self, principal: Principal) -> None:
        self.id = f"{principal.origin}\n{principal.stamp}\n{principal.name}"


class StoredSession(dict[str, Any], SessionMixin):
    """What a view says of the session; it begins empty, as the guard has read the cookie already."""


class StoredSessions(SessionInterface):
    """Keeps logins in the store and gives browsers a random cookie for each, never one that they chose."""

    def __init__(self, authority: Callable[[], Authority]) -> None:
        self._authority = authority

    def open_session(self, app: Flask, request: Request) -> StoredSession:
        """Return an empty session."""
        return StoredSession()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Begin a session if somebody has logged in, and end the one that was there if they have logged out."""
        sessions, secure = self._authority().sessions, self._authority().secure_cookies
        if sessions is None or not (_USER in session or _ENDED in session):
            return
        flags: dict[str, Any] = {"path": "/", "httponly": True, "samesite": "Lax", "secure": secure}
        if _USER in session:
            origin, stamp, name = session[_USER].split("\n", 2)
            account, client = Account(name, stamp=stamp), session.get(_CLIENT)
            cookie = (
                sessions.begin(account, origin) if client is None else sessions.begin_or_again(account, origin, client)
            )
            response.set_cookie(COOKIE, cookie, max_age=int(LONGEST_SECONDS), **flags)
            response.headers["Cache-Control"] = "no-store"
        else:
            sessions.end(session[_ENDED])
            response.delete_cookie(COOKIE, **flags)


def keep_sessions(app: Flask, authority: Callable[[], Authority]) -> None:
    """Let the application keep sessions."""
    # flask-login looks for cookies of its own, which nobody may sign.
    app.secret_key = secrets.token_bytes(32)
    manager = LoginManager(app)
    # The address of a browser may change; the cookie alone stands for the login.
    manager.session_protection = None
    manager.request_loader(lambda _request: None)
    app.session_interface = StoredSessions(authority)


def begin(principal: Principal, client: str | None = None) -> None:
    """Begin a session with the answer to this request.

    With `client`, which describes the sender, one that began a moment ago for the same goes on instead.
    """
    login_user(LoggedIn(principal))
    if client is not None:
        session[_CLIENT] = client


def end(cookie: str) -> None:
    """End the session of a cookie with the answer to this request."""
    logout_user()
    session[_ENDED] = cookie
