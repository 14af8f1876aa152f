"""Rules for `http`, apart from who may log in."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches

from zot.config.model import Config
from zot.config.rules.finding import Finding, is_origin, is_url

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def address(config: Config) -> Iterator[Finding]:
    """The address is a host, without a scheme or a port."""
    host = config.http.address
    if "/" in host or "://" in host:
        yield Finding(("http", "address"), "it is a URL", "write the host only, such as 0.0.0.0")
    elif ":" in host and not _is_ip(host.strip("[]")):
        yield Finding(("http", "address"), "it has a port", "write the host only, and the port in http.port")


def tls(config: Config) -> Iterator[Finding]:
    """A certificate goes with its key, and client certificates with both."""
    section = config.http.tls
    if section is None:
        return
    for one, other in (("cert", "key"), ("key", "cert")):
        if not getattr(section, one):
            what = f"it is missing, but {other} is there" if getattr(section, other) else "it is missing"
            yield Finding(("http", "tls", one), what, "name a PEM file, or leave tls out")


def external_url(config: Config) -> Iterator[Finding]:
    """The address that clients use is one, without what no address of a server has."""
    url = config.http.external_url
    if url and (not is_url(url) or "?" in url or "#" in url or "@" in url):
        yield Finding(("http", "externalUrl"), f"{url!r} is no address of a server", "write https://zot.example.com")


def origins(config: Config) -> Iterator[Finding]:
    """What may use the API in a browser is an origin as browsers spell it, or `*`."""
    for origin in config.http.allow_origin:
        if origin != "*" and not is_origin(origin):
            what, remedy = f"{origin!r} is no origin", "write a scheme and a host, as in https://ui.example.com, or *"
            yield Finding(("http", "allowOrigin"), what, remedy)


def realm(config: Config) -> Iterator[Finding]:
    """The realm can stand in a header."""
    if any(character in '"\\' or not character.isprintable() for character in config.http.realm):
        yield Finding(("http", "realm"), "it has characters that a header can't have", "use letters and spaces")


def rate_limit(config: Config) -> Iterator[Finding]:
    """Limits are for methods that there are, each once."""
    limit, path = config.http.ratelimit, ("http", "ratelimit")
    if limit is None:
        return
    if limit.rate is None and not limit.methods:
        yield Finding(path, "it limits nothing", "add rate, or methods", warning=True)
    counted = Counter(one.method for one in limit.methods)
    for number, one in enumerate(limit.methods):
        where = (*path, "methods", number, "method")
        if one.method not in METHODS:
            close = get_close_matches(one.method.upper(), METHODS, n=1)
            remedy = f"did you mean {close[0]}?" if close else "use one of " + ", ".join(METHODS)
            yield Finding(where, f"there is no method {one.method!r}", remedy)
        elif counted[one.method] > 1:
            yield Finding(where, f"{one.method} has several limits", "leave one of them")


def passwords_in_the_clear(config: Config) -> Iterator[Finding]:
    """Who logs in over a network does so over TLS, ours or that of a proxy."""
    auth, http = config.http.auth, config.http
    if auth is None or http.tls is not None or http.external_url.startswith("https:") or _is_loopback(http.address):
        return
    if auth.htpasswd or auth.ldap or auth.apikey or auth.openid:
        what = "passwords go over the network in the clear"
        remedy = "add http.tls, or set http.externalUrl to the https address of the proxy before the server"
        yield Finding(("http", "auth"), what, remedy, warning=True)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


RULES = (address, tls, external_url, origins, realm, rate_limit, passwords_in_the_clear)
