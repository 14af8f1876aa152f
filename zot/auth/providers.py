"""What the providers of identities have in common: a ticket for each login, and a client that speaks OAuth 2."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from authlib.integrations.requests_client.oauth2_session import OAuth2ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from zot.auth.identity import Identity
from zot.auth.settings import ProviderSettings
from zot.outgoing import Guarded, Reach


class Ticket(NamedTuple):
    """What belongs to one login: against forgery, replay and stolen codes, and where the browser goes afterwards."""

    provider: str
    state: str
    nonce: str
    verifier: str
    landing: str

    @classmethod
    def new(cls, provider: str, landing: str) -> Ticket:
        """Make one."""
        return cls(provider, secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), landing)


class Provider(Protocol):
    """One provider of identities."""

    def authorize(self, ticket: Ticket, callback: str) -> str:
        """Return the address where the user logs in. Raises `OutgoingError`."""

    def identify(self, code: str, ticket: Ticket, callback: str) -> Identity:
        """Return who has logged in there. Raises `Unauthorized`, `OutgoingError`, or what says that it failed."""

    def end_session(self, back: str) -> str | None:
        """Return the address where the user logs out there, and comes back from; None if there is none.

        Raises `OutgoingError`.
        """


class Client(OAuth2Client):  # type: ignore[misc]  # Authlib has no types
    """Authlib's client, over a session that goes where it may."""

    client_auth_class = OAuth2ClientAuth


def client(settings: ProviderSettings, method: str | None, callback: str, reach: Reach) -> Client:
    """Make the client for one login; `method` is how it proves to the provider which registry it is."""
    made = Client(
        Guarded(reach),
        settings.client_id,
        settings.key or settings.secret or None,
        token_endpoint_auth_method=method,
        scope=" ".join(settings.scopes),
        redirect_uri=callback,
        code_challenge_method="S256",
    )
    if method == "private_key_jwt":
        made.register_client_auth_method(PrivateKeyJWT())
    return made


def document(answer: Any) -> Any:
    """Return the JSON that a provider answered. Raises `ValueError`, or `OSError` for an error's status."""
    answer.raise_for_status()
    return answer.json()


def mapping(value: Any) -> Mapping[str, Any]:
    """Return what must be an object of JSON. Raises `ValueError`."""
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value
