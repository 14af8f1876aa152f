"""Rules for `http.auth`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zot.config.auth import Provider
from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.rules.finding import Finding, is_origin, is_url, missing

LDAPS_PORT = 636
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # compared with, not listened on
PROVIDERS = ("google", "github", "gitlab", "oidc")
# What certificates may name a client by, in lower case, and the keys that speak of each.
ATTRIBUTES = {
    "commonname": "CommonName", "cn": "CommonName", "subject": "Subject", "dn": "Subject", "email": "Email",
    "rfc822name": "Email", "uri": "URI", "url": "URI", "dnsname": "DNSName", "dns": "DNSName",
}  # fmt: skip
_PATH = ("http", "auth")


def ldap(config: Config) -> Iterator[Finding]:
    """A directory can be asked, by somebody, and safely."""
    auth, path = config.http.auth, (*_PATH, "ldap")
    if auth is None or auth.ldap is None:
        return
    section = auth.ldap
    keys = [("address", section.address), ("baseDN", section.base_dn), ("userAttribute", section.user_attribute)]
    yield from missing(path, keys, "a search for users")
    password = section.bind_password.get_secret_value()
    if section.credentials_file and (section.bind_dn or password):
        yield Finding((*path, "credentialsFile"), "bindDN and bindPassword are here too", "leave out one of the two")
    elif bool(section.bind_dn) != bool(password):
        lacking = "bindPassword" if section.bind_dn else "bindDN"
        yield Finding((*path, lacking), "it is missing, but the other half is there", "add it, or leave both out")
    if section.user_filter.count("(") != section.user_filter.count(")"):
        yield Finding((*path, "userFilter"), "its parentheses do not match", "write it as (!(nsaccountlock=TRUE))")
    is_ldaps = section.insecure is False or (section.insecure is None and section.port == LDAPS_PORT)
    if is_ldaps and section.start_tls:
        what = "the connection is LDAPS, which is TLS from the start"
        yield Finding((*path, "startTLS"), what, "leave it out, or set insecure to true", warning=True)
    elif not is_ldaps and not section.start_tls:
        what = "passwords go to the directory in the clear"
        yield Finding((*path, "startTLS"), what, "set it to true, or port to 636 for LDAPS", warning=True)


def bearer(config: Config) -> Iterator[Finding]:
    """Tokens can be checked, and clients know where to get one."""
    auth, path = config.http.auth, (*_PATH, "bearer")
    if auth is None or auth.bearer is None:
        return
    section = auth.bearer
    has_key = section.cert or section.aws_secrets_manager
    if has_key or not section.oidc:
        needed = [("realm", section.realm), ("service", section.service), ("cert", has_key)]
        yield from missing(path, needed, "a token server")
        if section.realm and not is_url(section.realm):
            yield Finding((*path, "realm"), "it is no address", "write https://auth.example.com/token")
    if section.cert and section.aws_secrets_manager:
        yield Finding((*path, "awsSecretsManager"), "cert is there too", "leave out one of the two")
    for number, issuer in enumerate(section.oidc):
        at: KeyPath = (*path, "oidc", number)
        yield from missing(at, [("audiences", issuer.audiences)], "checking a token")
        if not is_url(issuer.issuer):
            yield Finding((*at, "issuer"), "it is no address", "write https://issuer.example.com")
    if manager := section.aws_secrets_manager:
        keys_of_it = [("region", manager.region), ("secretName", manager.secret_name)]
        yield from missing((*path, "awsSecretsManager"), keys_of_it, "AWS Secrets Manager")
    if upstream := section.upstream_token_endpoint:
        where = (*path, "upstreamTokenEndpoint")
        yield from missing(where, [("realm", upstream.realm), ("service", upstream.service)], "a token server")
        if upstream.realm and not is_url(upstream.realm, "https", *(("http",) * upstream.allow_insecure_http)):
            remedy = "write https://auth.example.com/token, or set allowInsecureHttp"
            yield Finding((*where, "realm"), "it is no https address", remedy)


def openid(config: Config) -> Iterator[Finding]:
    """Each provider is one that zot knows, and is told what it needs."""
    auth, path = config.http.auth, (*_PATH, "openid")
    if auth is None or auth.openid is None:
        return
    section = auth.openid
    if not section.providers:
        yield Finding((*path, "providers"), "there are none", "add one of " + ", ".join(PROVIDERS))
    for name, provider in section.providers.items():
        where = (*path, "providers", name)
        if name.lower() not in PROVIDERS:
            remedy = f"use one of {', '.join(PROVIDERS)}; oidc is for any other"
            yield Finding(where, f"there is no provider {name!r}", remedy)
        else:
            yield from _provider(where, name.lower(), provider)
    for number, origin in enumerate(section.callback_allow_origins):
        if not is_origin(origin):
            remedy = "write a scheme and a host, as in https://ui.example.com"
            yield Finding((*path, "callbackAllowOrigins", number), f"{origin!r} is no origin", remedy)
    if not config.http.external_url and config.http.address in EVERY_ADDRESS:
        what = "it is missing, so browsers are sent back to an address that is none"
        yield Finding(("http", "externalUrl"), what, "set it to the address that browsers use", warning=True)


def _provider(path: KeyPath, name: str, provider: Provider) -> Iterator[Finding]:
    secret = provider.clientsecret.get_secret_value()
    needed: list[tuple[str, object]] = [("scopes", provider.scopes)]
    if not provider.credentials_file:
        needed.append(("clientid", provider.clientid))
    elif provider.clientid or secret:
        yield Finding((*path, "credentialsFile"), "clientid or clientsecret is here too", "leave out one of the two")
    if name != "github":
        needed.append(("issuer", provider.issuer))
        if provider.issuer and not is_url(provider.issuer):
            yield Finding((*path, "issuer"), "it is no address", "write https://issuer.example.com")
    elif bool(provider.authurl) != bool(provider.tokenurl):
        lacking = "tokenurl" if provider.authurl else "authurl"
        yield Finding((*path, lacking), "it is missing, but the other half is there", "add it, or leave both out")
    yield from missing(path, needed, "a login")


def mtls(config: Config) -> Iterator[Finding]:
    """Client certificates are asked for, and named by what they have."""
    auth, tls, path = config.http.auth, config.http.tls, (*_PATH, "mtls")
    if auth is None or auth.mtls is None:
        return
    section = auth.mtls
    if tls is None or not (tls.cert and tls.key and tls.cacert):
        yield Finding(path, "no client certificate is asked for", "add cert, key and cacert to http.tls")
    used = {ATTRIBUTES.get(one.lower()) for one in section.identity_attributes}
    for number, one in enumerate(section.identity_attributes):
        if one.lower() not in ATTRIBUTES:
            remedy = "use one of " + ", ".join(dict.fromkeys(ATTRIBUTES.values()))
            yield Finding((*path, "identityAttributes", number), f"a certificate has no {one!r}", remedy)
    try:
        re.compile(section.uri_san_pattern)
    except re.error as error:
        yield Finding((*path, "uriSanPattern"), f"it can't be read: {error}", "write it as spiffe://example.org/(.*)")
    for attribute, name, value in (
        ("URI", "uriSanPattern", section.uri_san_pattern), ("URI", "uriSanIndex", section.uri_san_index),
        ("DNSName", "dnsSanIndex", section.dns_san_index), ("Email", "emailSanIndex", section.email_san_index),
    ):  # fmt: skip
        if value and attribute not in used:
            yield Finding((*path, name), f"{attribute} is not among identityAttributes", f"add {attribute} to them")


def api_keys(config: Config) -> Iterator[Finding]:
    """Somebody can have an API key: each belongs to a user of another login."""
    auth, tls = config.http.auth, config.http.tls
    if auth is None or not auth.apikey or any((auth.htpasswd, auth.ldap, auth.openid, auth.bearer)):
        return
    has_certificates = tls is not None and bool(tls.cacert)
    what = "nobody can have an API key" if has_certificates else "nobody can log in"
    yield Finding(
        (*_PATH, "apikey"),
        f"{what}: each key belongs to a user of another login",
        "add htpasswd, ldap or openid to http.auth",
        warning=has_certificates,
    )


def sessions(config: Config) -> Iterator[Finding]:
    """Sessions are kept where zot can, and their keys are given once."""
    auth = config.http.auth
    if auth is None or auth.session_driver is None:
        return
    driver = auth.session_driver
    if driver.name not in {"local", "redis"}:
        what = f"there is no session driver {driver.name!r}"
        yield Finding((*_PATH, "sessionDriver", "name"), what, "use local or redis, or leave sessionDriver out")
    elif driver.name == "redis" and auth.session_keys_file:
        yield Finding((*_PATH, "sessionKeysFile"), "sessions in redis have no keys", "leave it out")


RULES = (ldap, bearer, openid, mtls, api_keys, sessions)
