"""Providers that speak OpenID Connect (Core 1.0, Discovery 1.0): Google, GitLab, dex and their like.

The provider is asked for its addresses when somebody logs in, not when the server starts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from authlib.oidc.core import CodeIDToken

from zot.addresses import OutgoingError
from zot.auth.accounts import stamp
from zot.auth.identity import Identity, identity
from zot.auth.providers import Client, Ticket, client, document, mapping
from zot.auth.settings import ProviderSettings
from zot.auth.signatures import Keys, TokenError, jwk_set
from zot.outgoing import Guarded, Reach

_BELIEVED_SECONDS = 3600.0
# A provider that could not be asked is not asked again for so long.
_AWAY_SECONDS = 5.0
# Unknown keys make the set be read again, and not more often than this.
_KEYS_APART_SECONDS = 10.0
# Clocks may differ by so many seconds.
_LEEWAY = 30
_NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
_USERINFO = "userinfo_endpoint"


class _Discovered(NamedTuple):
    """The provider's description of itself, where it may be asked, and until when that is believed."""

    metadata: Mapping[str, Any]
    reach: Reach
    until: float


class OpenIdProvider:
    """A provider with an issuer."""

    def __init__(self, settings: ProviderSettings, clock: Callable[[], float] = time.monotonic) -> None:
        scopes = settings.scopes if "openid" in settings.scopes else ("openid", *settings.scopes)
        self._settings = settings._replace(scopes=scopes)
        self._clock = clock
        self._asking = threading.Lock()
        self._discovered: _Discovered | None = None
        self._away_until = 0.0
        self._keys: tuple[float, Keys] | None = None

    def authorize(self, ticket: Ticket, callback: str) -> str:
        """Return the address where the user logs in. Raises `OutgoingError`."""
        found = self._discover()
        url, _ = self._client(found, callback).create_authorization_url(
            found.metadata["authorization_endpoint"],
            state=ticket.state,
            nonce=ticket.nonce,
            code_verifier=ticket.verifier,
        )
        return str(url)

    def identify(self, code: str, ticket: Ticket, callback: str) -> Identity:
        """Return who has logged in; the code is changed for an ID token, and that for claims."""
        found = self._discover()
        token = self._client(found, callback).fetch_token(
            found.metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=ticket.verifier
        )
        claims = self._verified(found, token, ticket.nonce)
        whose = stamp(found.metadata["issuer"], claims["sub"])
        return identity(self._settings.claims, whose, claims, self._userinfo(found, token, claims["sub"]))

    def end_session(self, back: str) -> str | None:
        """Return the address where the user logs out, if the provider has one. Raises `OutgoingError`."""
        endpoint = self._discover().metadata.get("end_session_endpoint")
        if not endpoint:
            return None
        query = urlencode({"client_id": self._settings.client_id, "post_logout_redirect_uri": back})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def _client(self, found: _Discovered, callback: str) -> Client:
        return client(self._settings, self._method(found.metadata), callback, found.reach)

    def _method(self, metadata: Mapping[str, Any]) -> str | None:
        """Return how to prove to the provider which registry this is."""
        if self._settings.key:
            return "private_key_jwt"
        offered = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._settings.secret and "client_secret_basic" not in offered and "client_secret_post" in offered:
            return "client_secret_post"
        return None

    def _discover(self) -> _Discovered:
        """Return the provider's description. Raises `OutgoingError`, for a while without asking again."""
        with self._asking:
            now = self._clock()
            if self._discovered is not None and now < self._discovered.until:
                return self._discovered
            if now < self._away_until:
                raise OutgoingError(f"{self._settings.issuer} could not be asked a moment ago")
            try:
                self._discovered = self._ask()
            except OutgoingError:
                self._away_until = self._clock() + _AWAY_SECONDS
                raise
            return self._discovered

    def _ask(self) -> _Discovered:
        issuer = self._settings.issuer
        at = issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            metadata = mapping(document(Guarded(Reach([issuer])).get(at)))
        except (ValueError, OSError) as error:
            raise OutgoingError(f"{at} is no description of a provider") from error
        texts = {name: metadata[name] for name in (*_NEEDED, _USERINFO) if isinstance(metadata.get(name), str)}
        missing = [name for name in _NEEDED if name not in texts]
        if missing:
            raise OutgoingError(f"{at} does not say its {', '.join(missing)}")
        if texts["issuer"].rstrip("/") != issuer.rstrip("/"):
            raise OutgoingError(f"{at} describes another issuer")
        named = [texts[name] for name in ("token_endpoint", "jwks_uri", _USERINFO) if name in texts]
        return _Discovered(metadata, Reach([issuer], named), self._clock() + _BELIEVED_SECONDS)

    def _verified(self, found: _Discovered, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """Return the claims of the ID token (Core 1.0, section 3.1.3.7). Raises `TokenError` and joserfc's errors."""
        encoded = token.get("id_token")
        if not isinstance(encoded, str):
            raise TokenError("there is no ID token")
        try:
            signed = self._known_keys(found).open(encoded)
        except TokenError:
            signed = self._known_keys(found, again=True).open(encoded)
        claims = CodeIDToken(
            signed.claims,
            signed.header,
            {"iss": {"essential": True, "value": found.metadata["issuer"]}, "aud": {"value": self._settings.client_id}},
            {"nonce": nonce, "client_id": self._settings.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=_LEEWAY)
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise TokenError("there is no subject")
        return dict(claims)

    def _known_keys(self, found: _Discovered, *, again: bool = False) -> Keys:
        """Return the provider's keys; `again` asks for them anew, as it may have others by now."""
        with self._asking:
            now = self._clock()
            if self._keys is not None and (not again or now - self._keys[0] < _KEYS_APART_SECONDS):
                return self._keys[1]
            keys = jwk_set(document(Guarded(found.reach).get(found.metadata["jwks_uri"])))
            self._keys = (now, keys)
            return keys

    def _userinfo(self, found: _Discovered, token: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
        """Return what the provider says beside the token; it must be of the same subject (Core 1.0, section 5.3.2)."""
        endpoint = found.metadata.get(_USERINFO)
        if not endpoint or not isinstance(token.get("access_token"), str):
            return {}
        headers = {"Authorization": f"Bearer {token['access_token']}", "Accept": "application/json"}
        claims = mapping(document(Guarded(found.reach).get(endpoint, headers=headers)))
        if claims.get("sub") != subject:
            raise TokenError("the provider speaks of two users")
        return claims
