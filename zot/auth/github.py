"""GitHub, which speaks OAuth 2 without OpenID Connect: users are known by their email address, groups are teams."""

from __future__ import annotations

import logging
from typing import Any

from zot.addresses import origin
from zot.auth.accounts import stamp
from zot.auth.identity import Identity, identity
from zot.auth.providers import Ticket, client, document, mapping
from zot.auth.settings import ProviderSettings
from zot.errors import Unauthorized
from zot.outgoing import Guarded, Reach

log = logging.getLogger(__name__)

_AUTHORIZE = "https://github.com/login/oauth/authorize"
_TOKEN = "https://github.com/login/oauth/access_token"  # noqa: S105  # an address
_API = "https://api.github.com"
_PAGE = 100
_MOST_PAGES = 10


class GitHub:
    """The provider; a server of one's own has its interface below `/api/v3`."""

    def __init__(self, settings: ProviderSettings) -> None:
        own = bool(settings.auth_url and settings.token_url)
        self._authorize = settings.auth_url if own else _AUTHORIZE
        self._token = settings.token_url if own else _TOKEN
        self._api = f"{origin(self._token)}/api/v3" if own else _API
        self._settings = settings
        self._reach = Reach([self._token, self._api])

    def authorize(self, ticket: Ticket, callback: str) -> str:
        """Return the address where the user logs in."""
        url, _ = client(self._settings, None, callback, self._reach).create_authorization_url(
            self._authorize, state=ticket.state, code_verifier=ticket.verifier
        )
        return str(url)

    def identify(self, code: str, ticket: Ticket, callback: str) -> Identity:
        """Return who has logged in: the primary email address that GitHub has verified, organisations and teams."""
        token = client(self._settings, "client_secret_post", callback, self._reach).fetch_token(
            self._token, grant_type="authorization_code", code=code, code_verifier=ticket.verifier
        )
        session = Guarded(self._reach)
        session.headers["Authorization"] = f"Bearer {token['access_token']}"
        session.headers["Accept"] = "application/vnd.github+json"
        user = dict(mapping(document(session.get(f"{self._api}/user"))))
        emails = [mapping(one) for one in self._all(session, "/user/emails")]
        verified = [one.get("email") for one in emails if one.get("primary") is True and one.get("verified") is True]
        if not verified:
            raise Unauthorized("GitHub knows no verified primary email address", "verify it there, then log in again")
        groups = [one.get("login") for one in self._if_allowed(session, "/user/orgs")]
        teams = self._if_allowed(session, "/user/teams")
        groups += [f"{mapping(team.get('organization')).get('login')}/{team.get('slug')}" for team in teams]
        # What the user's own profile says of email and groups is not looked at.
        own = {"email": verified[0], "email_verified": True, self._settings.claims.groups: groups}
        return identity(self._settings.claims, stamp(self._api, str(user["id"])), user | own)

    def end_session(self, back: str) -> str | None:
        """Return None: GitHub has no address for that."""
        return None

    def _if_allowed(self, session: Guarded, path: str) -> list[Any]:
        """Return a list, or nothing if the user did not let this registry see it."""
        answer = session.get(f"{self._api}{path}", params={"per_page": "1"})
        if answer.status_code in (403, 404):
            log.warning("GitHub does not show %s of a user; ask for the scope read:org", path)
            return []
        return [mapping(one) for one in self._all(session, path)]

    def _all(self, session: Guarded, path: str) -> list[Any]:
        """Return all pages of a list, within reason."""
        found: list[Any] = []
        for number in range(1, _MOST_PAGES + 1):
            page = document(session.get(f"{self._api}{path}", params={"per_page": str(_PAGE), "page": str(number)}))
            if not isinstance(page, list):
                raise ValueError("it is no list")
            found += page
            if len(page) < _PAGE:
                break
        return found
