"""From the configuration to the services by which users log in with a browser.

What can be wrong with a configuration is found at the start; what asks the services is loaded when somebody logs in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zot.addresses import OutgoingError, origin
from zot.auth.identity import ClaimNames
from zot.auth.people import People
from zot.auth.settings import ProviderSettings
from zot.config.auth import Provider as Section
from zot.config.http import Http
from zot.config.problems import ConfigError
from zot.config.side_files import ClientCredentials, read_side_file
from zot.errors import StartupError

if TYPE_CHECKING:
    from zot.auth.logins import Logins

_BY_ISSUER = ("google", "gitlab", "oidc")


class Services:
    """The services of a configuration with `http.auth.openid`. No service is asked for anything yet.

    `people` are the users that each sent, `key` signs what browsers keep while they log in. Raises `StartupError` for a
    service that is not known, or not described enough.
    """

    def __init__(self, http: Http, people: Callable[[str], People], key: Callable[[], bytes]) -> None:
        openid = http.auth and http.auth.openid
        assert openid
        own = _own_address(http)
        self._base = http.external_url.rstrip("/") or own
        try:
            listed = (self._base, own, *openid.callback_allow_origins)
            self._origins = frozenset(str(origin(one)) for one in listed)
        except OutgoingError as error:
            raise StartupError(
                f"http.externalUrl or http.auth.openid.callbackAllowOrigins: {error}", "write https://zot.example.com"
            ) from error
        self._providers = {name: _checked(name, section) for name, section in openid.providers.items()}
        self._people = people
        self._key = key
        self._making = threading.Lock()
        self._made: Logins | None = None

    @property
    def logins(self) -> Logins:
        """The logins by them, made when they are asked for the first time."""
        with self._making:
            self._made = self._made or self._make()
            return self._made

    def _make(self) -> Logins:
        from zot.auth.github import GitHub
        from zot.auth.logins import Logins, Service
        from zot.auth.openid import OpenIdProvider

        services = {
            name: Service((OpenIdProvider if name in _BY_ISSUER else GitHub)(settings), self._people(name))
            for name, settings in self._providers.items()
        }
        return Logins(services, self._base, self._origins, self._key)


def _own_address(http: Http) -> str:
    """Return the address that the configuration says the server listens on. What a request says counts for nothing."""
    host = f"[{http.address}]" if ":" in http.address else http.address
    return f"{'https' if http.tls and http.tls.cert else 'http'}://{host}:{http.port}"


def _checked(name: str, section: Section) -> ProviderSettings:
    """Return what a provider's section says. Raises `StartupError` if that is not enough."""
    where = f"http.auth.openid.providers.{name}"
    settings = _settings(where, section)
    needed = {"clientid": settings.client_id}
    if name in _BY_ISSUER:
        needed["issuer"] = section.issuer
    elif name != "github":
        raise StartupError(f"{where}: there is no such provider", "use google, github, gitlab or oidc")
    missing = [key for key, value in needed.items() if not value]
    if missing:
        raise StartupError(f"{where}.{missing[0]} is missing", "give it, as the provider says it")
    if name == "github" and section.authurl and section.tokenurl:
        try:
            origin(section.tokenurl)
        except OutgoingError as error:
            raise StartupError(f"{where}: {error}", "mend its addresses") from error
    return settings


def _settings(where: str, section: Section) -> ProviderSettings:
    names = section.claim_mapping
    login = _login(where, section)
    return ProviderSettings(
        name=section.name,
        client_id=login.clientid,
        secret=login.clientsecret.get_secret_value(),
        key=_key(where, section.keypath) if section.keypath else "",
        issuer=section.issuer,
        auth_url=section.authurl,
        token_url=section.tokenurl,
        scopes=section.scopes,
        claims=ClaimNames((names and names.username) or "email", (names and names.groups) or "groups"),
    )


def _login(where: str, section: Section) -> ClientCredentials | Section:
    """Return who we are to the provider: from the file, if there is one."""
    if not section.credentials_file:
        return section
    try:
        return read_side_file(section.credentials_file, ClientCredentials)
    except ConfigError as error:
        raise StartupError(f"{where}.credentialsFile: {error.problems[0].what}", error.problems[0].remedy) from None


def _key(where: str, file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, ValueError) as error:
        raise StartupError(f"{where}.keypath {file} can't be read", "name a private key in PEM") from error
