"""What `zot verify --online` tries: what a configuration names, as the user who runs the command.

A table of probes; `zot.checkup` has those that `zot doctor` makes too. Nothing is left behind on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from zot import checkup
from zot.addresses import OutgoingError
from zot.checkup import Finding
from zot.config import Config
from zot.config.rules.finding import stores
from zot.config.storage import StoreOptions
from zot.errors import StartupError, Unavailable
from zot.outgoing import Guarded, Reach


def probe(config: Config) -> Iterator[Finding]:
    """Try everything."""
    for one in PROBES:
        yield from one(config)


def _storage(config: Config) -> Iterator[Finding]:
    for path, options in stores(config):
        if options.storage_driver is None:
            key = ".".join(map(str, (*path, "rootDirectory")))
            yield from checkup.root(options.root_directory, dedupe=options.dedupe, key=key)
        else:
            yield _bucket(".".join(map(str, (*path, "storageDriver"))), options)


def _bucket(key: str, options: StoreOptions) -> Finding:
    driver = options.storage_driver
    assert driver is not None
    if driver.name != "s3":
        return Finding(key, "bad", f"this version has no driver for {driver.name}", "use s3")
    from zot.registry import paths
    from zot.storage.s3 import S3, of_config

    try:
        storage = S3(of_config(driver, key), private=paths.PRIVATE)
        storage.start()
        storage.close()
    except StartupError as error:
        return Finding(key, "bad", error.problem, error.remedy)
    return Finding(key, "good", f"the bucket {driver.bucket} is there and honours conditional writes")


def _certificate(config: Config) -> Iterator[Finding]:
    if config.http.tls is not None:
        yield from checkup.certificate(config.http.tls.cert, config.http.tls.key)


def users(config: Config) -> Iterator[Finding]:
    """Look at the file of users and passwords."""
    auth = config.http.auth
    if auth is None or auth.htpasswd is None:
        return
    from zot.auth.htpasswd import parse

    what = f"htpasswd {auth.htpasswd.path}"
    try:
        found = parse(Path(auth.htpasswd.path).read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        yield Finding(what, "bad", f"it can't be read: {error.strerror}", "let the user that runs zot read it")
        return
    for problem in found.problems:
        said = problem.encode(errors="replace").decode()
        yield Finding(what, "warning", said, "write the line with: htpasswd -B FILE USER, or openssl passwd -6")
    if found.hashes:
        yield Finding(what, "good", f"{len(found.hashes)} user{'s' if len(found.hashes) > 1 else ''}")


def logs(config: Config) -> Iterator[Finding]:
    """Look whether the files of the log can be written to, and make none."""
    for key, name in (("log.output", config.log.output), ("log.audit", config.log.audit)):
        if not name:
            continue
        file, what = Path(name), f"{key} {name}"
        parent = file.parent
        if shut := checkup.out_of_reach(file):
            yield Finding(what, "bad", *shut)
        elif file.is_dir():
            yield Finding(what, "bad", "it is a directory", f"name a file in it, such as {file / 'zot.log'}")
        elif not parent.is_dir():
            yield Finding(what, "bad", f"there is no directory {parent}", "make it, or name another file")
        elif not os.access(file if file.exists() else parent, os.W_OK):
            yield Finding(what, "bad", "it can't be written to", "let the user that runs zot own it")
        else:
            yield Finding(what, "good", "it can be written to")


def _ldap(config: Config) -> Iterator[Finding]:
    auth = config.http.auth
    if auth is None or auth.ldap is None:
        return
    from zot.auth.ldap import Ldap
    from zot.auth.opening import ldap_settings

    try:
        Ldap(ldap_settings(auth.ldap)).account("zot-verify")
    except StartupError as error:
        yield Finding("http.auth.ldap", "bad", error.problem, error.remedy)
    except Unavailable as error:
        yield Finding("http.auth.ldap", "bad", error.reason, error.remedy)
    else:
        yield Finding("http.auth.ldap", "good", "the directory lets us in and answers a search")


def _openid(config: Config) -> Iterator[Finding]:
    auth = config.http.auth
    for name, provider in (auth.openid.providers if auth is not None and auth.openid is not None else {}).items():
        if not provider.issuer:
            continue
        key, issuer = f"http.auth.openid.providers.{name}", provider.issuer.rstrip("/")
        try:
            answer = Guarded(Reach([issuer])).get(f"{issuer}/.well-known/openid-configuration")
            found = answer.json()["issuer"].rstrip("/") if answer.status_code == 200 else None
        except OutgoingError as error:
            yield Finding(key, "bad", str(error), "check issuer, and that this machine may reach it")
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            found = None
        if found == issuer:
            yield Finding(key, "good", "the provider says what it can do")
        else:
            yield Finding(key, "bad", f"{issuer} does not answer as that issuer", "spell issuer as the provider does")


def _upstreams(config: Config) -> Iterator[Finding]:
    sync = config.extensions.sync
    for number, upstream in enumerate(sync.registries if sync is not None and sync.enable else ()):
        for url in upstream.urls:
            key, base = f"extensions.sync.registries[{number}]", "{0.scheme}://{0.netloc}".format(urlsplit(url))
            if not upstream.tls_verify or upstream.cert_dir:
                said = f"{base} has certificates of its own, which are not tried"
                yield Finding(key, "warning", said, "ask it with a client that has them")
                continue
            try:
                status = Guarded(Reach([base])).get(f"{base}/v2/").status_code
            except OutgoingError as error:
                yield Finding(key, "bad", str(error), "check urls, and that this machine may reach it")
                continue
            good = status in (200, 401, 403)
            remedy = "" if good else "check urls: /v2/ of a registry answers 200 or 401"
            yield Finding(key, "good" if good else "bad", f"{base} answers {status}", remedy)


PROBES: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _storage,
    logs,
    _certificate,
    users,
    _ldap,
    _openid,
    _upstreams,
)
