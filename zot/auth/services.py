"""From the configuration to the services by which users log in with a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zot.auth.github import GitHub
from zot.auth.identity import ClaimNames
from zot.auth.logins import Logins, Service
from zot.auth.openid import OpenIdProvider
from zot.auth.people import People
from zot.auth.providers import Provider, ProviderSettings
from zot.config.auth import Provider as Section
from zot.config.http import Http
from zot.config.problems import ConfigError
from zot.config.side_files import ClientCredentials, read_side_file
from zot.errors import StartupError
from zot.outgoing import OutgoingError, origin

_BY_ISSUER = ("google", "gitlab", "oidc")


def logins(http: Http, people: Callable[[str], People], key: Callable[[], bytes]) -> Logins | None:
    """Make the services of a configuration; None if it has none. No service is asked for anything yet.

    Raises `StartupError` for one that is not known, or not described enough.
    """
    openid = http.auth.openid if http.auth is not None else None
    if openid is None:
        return None
    own = _own_address(http)
    base = http.external_url.rstrip("/") or own
    listed = (base, own, *openid.callback_allow_origins)
    try:
        origins = frozenset(str(origin(one)) for one in listed)
    except OutgoingError as error:
        raise StartupError(
            f"http.externalUrl or http.auth.openid.callbackAllowOrigins: {error}", "write https://zot.example.com"
        ) from error
    services = {name: Service(_provider(name, one), people(name)) for name, one in openid.providers.items()}
    return Logins(services, base, origins, key)


def _own_address(http: Http) -> str:
    """Return the address that the configuration says the server listens on. What a request says counts for nothing."""
    host = f"[{http.address}]" if ":" in http.address else http.address
    return f"{'https' if http.tls and http.tls.cert else 'http'}://{host}:{http.port}"


def _provider(name: str, section: Section) -> Provider:
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
    try:
        return OpenIdProvider(settings) if name in _BY_ISSUER else GitHub(settings)
    except OutgoingError as error:
        raise StartupError(f"{where}: {error}", "mend its addresses") from error


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
