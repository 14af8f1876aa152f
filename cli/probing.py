"""What `zot verify --online` tries: what a configuration names, as the user who runs the command.

A table of probes, each of which tells what it tried, and what came out. Nothing is left behind.
"""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from zot.config import Config
from zot.config.rules.finding import stores
from zot.config.storage import StoreOptions
from zot.errors import StartupError, Unavailable

_SOON = timedelta(days=14)
_LITTLE = 1024**3
_MOST_FLIGHTS = 10


class Tried(NamedTuple):
    """What was tried of a key, and what came out: `ok`, a `warning`, `failed`, or `untried` where it can't be."""

    key: str
    outcome: Literal["ok", "warning", "failed", "untried"]
    what: str


def probe(config: Config) -> Iterator[Tried]:
    """Try everything."""
    for one in PROBES:
        yield from one(config)


def _storage(config: Config) -> Iterator[Tried]:
    for path, options in stores(config):
        key = ".".join(map(str, path))
        if options.storage_driver is None:
            yield from _directory(f"{key}.rootDirectory", options)
        else:
            yield _bucket(f"{key}.storageDriver", options)


def _directory(key: str, options: StoreOptions) -> Iterator[Tried]:
    root = Path(options.root_directory)
    there = next(place for place in (root, *root.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Tried(key, "failed", f"{there} can't be written to by this user")
        return
    if there != root:
        yield Tried(key, "ok", f"{root} is not there and will be made in {there}")
    with tempfile.TemporaryDirectory(prefix=".zot-verify-", dir=there) as scratch:
        one = Path(scratch, "one")
        one.touch()
        try:
            os.link(one, Path(scratch, "two"))
        except OSError:
            outcome: Literal["ok", "warning"] = "warning" if options.dedupe else "ok"
            yield Tried(key, outcome, "there are no hard links, so dedupe will be off")
        else:
            yield Tried(key, "ok", "it can be written to and has hard links")
    free = shutil.disk_usage(there).free
    if free < _LITTLE:
        yield Tried(key, "warning", f"there are only {free // 1024**2} MiB free")


def _bucket(key: str, options: StoreOptions) -> Tried:
    driver = options.storage_driver
    assert driver is not None
    if driver.name != "s3":
        return Tried(key, "failed", f"this version has no driver for {driver.name}")
    from zot.registry import paths
    from zot.storage.s3 import S3, of_config

    try:
        storage = S3(of_config(driver), private=paths.PRIVATE)
        storage.start()
        storage.close()
    except StartupError as error:
        return Tried(key, "failed", str(error))
    return Tried(key, "ok", f"the bucket {driver.bucket} is there and honours conditional writes")


def _certificate(config: Config) -> Iterator[Tried]:
    tls = config.http.tls
    if tls is None:
        return
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(tls.cert, tls.key)
    except (ssl.SSLError, OSError) as error:
        yield Tried("http.tls", "failed", f"certificate and key do not belong together: {error}")
        return
    try:
        ends, names = _shake_hands(server, tls.cert)
    except ssl.SSLError as error:
        yield Tried("http.tls.cert", "failed", f"clients refuse it: {getattr(error, 'verify_message', '') or error}")
        return
    outcome: Literal["ok", "warning"] = "warning" if ends - datetime.now(UTC) < _SOON else "ok"
    yield Tried("http.tls.cert", outcome, f"it is for {names or 'no name at all'}, and ends on {ends:%Y-%m-%d}")


def _shake_hands(server: ssl.SSLContext, cert: str) -> tuple[datetime, str]:
    """Connect to ourselves, in memory, trusting nothing but the certificate; return its end and its names."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_MOST_FLIGHTS):
        if _advance(ours):
            break
        _advance(theirs)
    found = ours.getpeercert() or {}
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
    names = found.get("subjectAltName", ())
    return ends, ", ".join(str(name[1]) for name in names)


def _advance(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _ldap(config: Config) -> Iterator[Tried]:
    auth = config.http.auth
    if auth is None or auth.ldap is None:
        return
    from zot.auth.ldap import Ldap
    from zot.auth.opening import ldap_settings

    try:
        Ldap(ldap_settings(auth.ldap)).account("zot-verify")
    except (StartupError, Unavailable) as error:
        yield Tried("http.auth.ldap", "failed", str(error))
    else:
        yield Tried("http.auth.ldap", "ok", "the directory answers a search")


def _untried(config: Config) -> Iterator[Tried]:
    auth, sync = config.http.auth, config.extensions.sync
    for name in auth.openid.providers if auth is not None and auth.openid is not None else ():
        yield Tried(f"http.auth.openid.providers.{name}", "untried", "providers are not tried by this version")
    for number, _ in enumerate(sync.registries if sync is not None and sync.enable else ()):
        yield Tried(f"extensions.sync.registries[{number}]", "untried", "registries are not tried by this version")


PROBES: tuple[Callable[[Config], Iterator[Tried]], ...] = (_storage, _certificate, _ldap, _untried)
