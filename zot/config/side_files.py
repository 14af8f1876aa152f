"""The files that a configuration names beside itself: they are there, and hold what they should."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from zot.config.auth import Auth
from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.pair import UnfitPair, load_pair
from zot.config.problems import ConfigError, Problem
from zot.config.reading import read_section
from zot.config.section import REQUIRED, Section, setting
from zot.config.values import NO_SECRET, Secret

S = TypeVar("S", bound=Section)


class LdapCredentials(Section):
    """`http.auth.ldap.credentialsFile`."""

    bind_dn: str = setting(REQUIRED, "Who searches.", name="bindDN", min_length=1)
    bind_password: Secret = setting(REQUIRED, "The password of who searches.", secret=True)


class ClientCredentials(Section):
    """`credentialsFile` of an OpenID provider."""

    clientid: str = setting(REQUIRED, "The id that the provider knows this registry by.", name="clientid", min_length=1)
    clientsecret: Secret = setting(REQUIRED, "The secret that goes with it.", name="clientsecret", secret=True)


class SessionKeys(Section):
    """`http.auth.sessionKeysFile`."""

    hash_key: Secret = setting(REQUIRED, "Signs sessions; 32 or 64 bytes are good.", secret=True)
    encrypt_key: Secret = setting(NO_SECRET, "Encrypts sessions; 16, 24 or 32 bytes.", secret=True)


class Login(Section):
    """One entry of `extensions.sync.credentialsFile`."""

    username: str = setting(REQUIRED, "The user at that registry.")
    password: Secret = setting(REQUIRED, "The user's password.", secret=True)


class UpstreamCredentials(Section):
    """`extensions.sync.credentialsFile`, below a key that the file itself does not have."""

    registries: dict[str, Login] = setting(REQUIRED, "Logins by registry, `host` or `host:port`.")


class Named(NamedTuple):
    """A file that a configuration names, with the key that does, and what it holds if that is a document."""

    path: KeyPath
    file: str
    holds: type[Section] | None = None
    directory: bool = False


def named_files(config: Config) -> Iterator[Named]:
    """Return the files that a configuration names and that must be there before the server starts."""
    if (tls := config.http.tls) is not None:
        for name, file in (("cert", tls.cert), ("key", tls.key), ("cacert", tls.cacert)):
            yield Named(("http", "tls", name), file)
    if config.http.auth is not None:
        yield from _of_auth(config.http.auth, ("http", "auth"))
    if (sync := config.extensions.sync) is not None and sync.enable:
        path = ("extensions", "sync")
        yield Named((*path, "credentialsFile"), sync.credentials_file, UpstreamCredentials)
        for number, upstream in enumerate(sync.registries):
            yield Named((*path, "registries", number, "certDir"), upstream.cert_dir, directory=True)


def _of_auth(auth: Auth, path: KeyPath) -> Iterator[Named]:
    yield Named((*path, "sessionKeysFile"), auth.session_keys_file, SessionKeys)
    if auth.htpasswd is not None:
        yield Named((*path, "htpasswd", "path"), auth.htpasswd.path)
    if auth.ldap is not None:
        yield Named((*path, "ldap", "credentialsFile"), auth.ldap.credentials_file, LdapCredentials)
        yield Named((*path, "ldap", "cacert"), auth.ldap.cacert)
    if auth.bearer is not None:
        yield Named((*path, "bearer", "cert"), auth.bearer.cert)
        for number, issuer in enumerate(auth.bearer.oidc):
            where = (*path, "bearer", "oidc", number, "certificateAuthorityFile")
            yield Named(where, issuer.certificate_authority_file)
    for name, provider in (auth.openid.providers if auth.openid else {}).items():
        at = (*path, "openid", "providers", name)
        yield Named((*at, "credentialsFile"), provider.credentials_file, ClientCredentials)
        yield Named((*at, "keypath"), provider.keypath)


def check_file(named: Named, environ: Mapping[str, str]) -> str | list[Problem]:
    """Return what is wrong with a named file itself (empty if nothing is), or with what it holds."""
    if not named.file:
        return ""
    if named.directory:
        return "" if Path(named.file).is_dir() else f"the directory {named.file} is not there"
    try:
        with Path(named.file).open("rb"):
            pass
    except OSError as error:
        return f"the file {named.file} can't be read: {os.strerror(error.errno or 0).lower()}"
    if named.holds is not None:
        try:
            read_side_file(named.file, named.holds, environ)
        except ConfigError as error:
            return error.problems
    return ""


def check_pair(config: Config) -> UnfitPair | None:
    """Return what is wrong with the server's certificate and key, if both can be read."""
    tls = config.http.tls
    if tls is None or not tls.cert or not tls.key:
        return None
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls.cert, tls.key)
    except UnfitPair as error:
        return error
    except OSError:
        # A file that can't be read is told of where all of them are looked at.
        return None
    return None


def read_side_file(file: str, holds: type[S], environ: Mapping[str, str] = os.environ) -> S:
    """Return what a side file holds. Raises `ConfigError`."""
    within = "registries" if holds is UpstreamCredentials else ""
    reading = read_section(file, holds, environ, within=within)
    if reading.section is None or any(not problem.warning for problem in reading.problems):
        raise ConfigError(reading.shown())
    return reading.section
