"""The blueprint of what users do about their own logins: in a browser, and by API keys."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zot.api import bodies
from zot.api.guard import Guard, Routes
from zot.api.login import LoginViews
from zot.api.rendering import document
from zot.auth.actions import Action
from zot.auth.dates import FORMS, now, read_date
from zot.auth.keys import ApiKeys, Key, Wanted
from zot.auth.principal import Principal
from zot.errors import Denied, ManifestInvalid, RegistryError, RequestInvalid

_MOST_BYTES = 8 * 1024
_FORM = 'send {"label": "…", "scopes": ["…"], "expirationDate": "…"}, or ?id= to revoke'
_PRIVATE = {"Cache-Control": "no-store"}


class KeyRequest(BaseModel):
    """The body of a request for a key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: str = Field(default="", max_length=256)
    scopes: list[str] | None = Field(default=None, max_length=64)
    expiration_date: str = Field(default="", alias="expirationDate", max_length=64)


class KeyViews:
    """Views over `zot.auth.keys`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def create(self, principal: Principal) -> Response:
        """Make a key for the caller, and show its secret, once."""
        keys = self._keys()
        if principal.origin not in self._guard.authority.directories:
            raise Denied(f"nobody vouches for {principal.name!r} when the certificate is not shown", "use that itself")
        wanted = _wanted(_body())
        try:
            key, secret = keys.create(principal.account, principal.origin, wanted)
        except ValueError as error:
            raise _refused(str(error)) from None
        return document({**key.describe(), "apiKey": secret}, 201, _PRIVATE)

    def list(self, principal: Principal) -> Response:
        """List the caller's keys, without their secrets."""
        found = sorted(self._keys().of(principal.name), key=lambda key: key.created)
        return document({"apiKeys": [_shown(key, principal) for key in found]}, headers=_PRIVATE)

    def revoke(self, principal: Principal) -> Response:
        """Take a key of the caller back. One that is not there is as good as revoked."""
        asked = request.args.getlist("id")
        if len(asked) != 1 or not asked[0]:
            raise _refused(f"the parameter id is given {len(asked)} times")
        self._keys().revoke(asked[0], principal.name)
        return document({}, headers=_PRIVATE)

    def _keys(self) -> ApiKeys:
        keys = self._guard.authority.keys
        if keys is None:
            raise RegistryError("API keys are not turned on here", "set http.auth.apikey to true", status=404)
        return keys


def auth(guard: Guard) -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("auth", __name__)
    routes = Routes(blueprint, guard)
    logins = LoginViews(guard)
    routes.add("/zot/auth/login", ["GET"], Action.LOGIN, logins.begin)
    routes.add("/zot/auth/callback/<provider>", ["GET"], Action.LOGIN, logins.finish)
    routes.add("/zot/auth/logout", ["POST"], Action.LOGIN, logins.log_out)
    keys = KeyViews(guard)
    routes.add("/zot/auth/apikey", ["POST"], Action.ACCOUNT, keys.create)
    routes.add("/zot/auth/apikey", ["GET"], Action.ACCOUNT, keys.list)
    # One example of zot's manual asks there.
    routes.add("/auth/apikey", ["GET"], Action.ACCOUNT, keys.list)
    routes.add("/zot/auth/apikey", ["DELETE"], Action.ACCOUNT, keys.revoke)
    return blueprint


def _body() -> bytes:
    try:
        return bodies.whole(request.environ, _MOST_BYTES)
    except ManifestInvalid as error:
        raise RequestInvalid(
            f"the body is longer than {_MOST_BYTES} bytes", "ask for less", status=error.status
        ) from None


def _wanted(body: bytes) -> Wanted:
    """Read a request. Raises `RegistryError` (400) for one that can't be granted."""
    try:
        asked = KeyRequest.model_validate_json(body)
        expires = read_date(asked.expiration_date)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise _refused(f"{where}: {first['msg'].lower()}") from None
    except ValueError as error:
        raise _refused(f"expirationDate: {error}", f"write a time with its zone: {FORMS}") from None
    if expires is not None and expires <= now():
        raise _refused("expirationDate is over", "name a time to come, or leave it out")
    scopes = None if asked.scopes is None else tuple(asked.scopes)
    return Wanted(asked.label, scopes, expires, request.environ.get("HTTP_USER_AGENT", "")[:256])


def _refused(reason: str, remedy: str = _FORM) -> RequestInvalid:
    return RequestInvalid(reason, remedy)


def _shown(key: Key, principal: Principal) -> dict[str, Any]:
    """Return what its user is shown of a key. One that ended with a change of the login is shown as expired."""
    is_void = key.origin == principal.origin and bool(key.flaw(principal.account))
    return key.describe() | {"isExpired": key.is_expired or is_void}
