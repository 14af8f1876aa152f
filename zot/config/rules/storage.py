"""Rules for `storage`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.rules.finding import A_PUSH, LONGER, Finding, missing, stores
from zot.config.storage import StoreOptions
from zot.errors import NameInvalid
from zot.oci.names import check_repository

DRIVERS = ("s3", "gcs", "azure")
_CACHES = ("dynamodb", "redis")
_NONE = timedelta(0)


def roots(config: Config) -> Iterator[Finding]:
    """Data has a place; a relative one is another directory wherever the server is started."""
    for path, options in stores(config):
        if options.storage_driver is not None:
            continue
        if not options.root_directory:
            what = "it is empty" if "root_directory" in options.model_fields_set else "it is missing"
            yield Finding((*path, "rootDirectory"), what, "add it: the directory that holds the data")
        elif not os.path.isabs(options.root_directory):
            what = "it is relative to the directory that the server is started in"
            yield Finding((*path, "rootDirectory"), what, "write the whole path", warning=True)


def roots_apart(config: Config) -> Iterator[Finding]:
    """No store lies in another: what one removes as garbage would be the other's."""
    seen: list[tuple[KeyPath, tuple[str, ...]]] = []
    for path, options in stores(config):
        if options.storage_driver is None and not options.root_directory:
            continue
        place = _place(options)
        key = (*path, *(("rootDirectory",) if options.storage_driver is None else ("storageDriver", "rootdirectory")))
        for other, taken in seen:
            what = _relation(place, taken)
            if what:
                name = ".".join(map(str, other))
                yield Finding(key, f"it is {what} {name}", "give each store a place of its own")
        seen.append((key, place))


def _place(options: StoreOptions) -> tuple[str, ...]:
    """Return where a store is, as components that get nearer to it."""
    driver = options.storage_driver
    if driver is None:
        return ("local", *os.path.realpath(options.root_directory).strip("/").split("/"))
    prefix = [part for part in driver.rootdirectory.split("/") if part]
    return (driver.name, driver.regionendpoint, driver.bucket or driver.container, *prefix)


def _relation(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    if one == other:
        return "the same place as"
    if one[: len(other)] == other:
        return "inside"
    return "around" if other[: len(one)] == one else ""


def routes(config: Config) -> Iterator[Finding]:
    """A route is `/` and the first component of a repository's name; any other would never be used."""
    for route in config.storage.sub_paths:
        if not route.startswith("/") or "/" in route[1:] or not _is_component(route[1:]):
            what = "no repository can belong to it"
            yield Finding(("storage", "subPaths", route), what, "write / and one component of names, as in /team")


def _is_component(name: str) -> bool:
    try:
        check_repository(name)
    except NameInvalid:
        return False
    return True


def collection(config: Config) -> Iterator[Finding]:
    """What is said about garbage collection makes sense."""
    for path, options in stores(config):
        given, fields = options.model_fields_set, type(options).model_fields
        if not options.gc:
            for attribute, name in (("gc_delay", "gcDelay"), ("gc_interval", "gcInterval"), ("retention", "retention"),
                                    ("gc_time_window", "gcTimeWindow")):  # fmt: skip
                if attribute in given and getattr(options, attribute) != fields[attribute].default:
                    yield Finding((*path, name), "it changes nothing while gc is off", "set gc to true", warning=True)
        elif options.gc_delay < A_PUSH:
            what = "blobs may go between their push and that of their manifest: uploads still under way may lose layers"
            refused = len(path) > 1 and options.gc_delay == _NONE
            yield Finding((*path, "gcDelay"), what, LONGER, warning=not refused)


def collection_below(config: Config) -> Iterator[Finding]:
    """Where gc is off because nobody has said otherwise, that is told: each sub-path has a key of its own."""
    for path, options in stores(config):
        if len(path) > 1 and "gc" not in options.model_fields_set:
            what = "no garbage is collected here: below subPaths gc is off unless it is asked for"
            yield Finding((*path, "gc"), what, "set gc to true, or to false if you want it so", warning=True)


def drivers(config: Config) -> Iterator[Finding]:
    """A driver is one that zot has, and is told what it needs."""
    for path, options in stores(config):
        driver = options.storage_driver
        if options.redirect_blob_url and driver is None:
            what = "a directory has no signed URLs"
            yield Finding((*path, "redirectBlobURL"), what, "leave it out, or use a storageDriver")
        if driver is None:
            continue
        where = (*path, "storageDriver")
        if driver.name not in DRIVERS:
            yield Finding((*where, "name"), f"there is no storage driver {driver.name!r}", "use s3")
        elif driver.name != "s3":
            what = f"this version has no driver for {driver.name}, so zot serve will refuse it"
            yield Finding((*where, "name"), what, "use s3", warning=True)
        else:
            yield from _s3(where, options)


def _s3(path: KeyPath, options: StoreOptions) -> Iterator[Finding]:
    driver = options.storage_driver
    assert driver is not None
    yield from missing(path, [("bucket", driver.bucket)], "s3")
    if not driver.region and not driver.regionendpoint:
        yield Finding((*path, "region"), "it is missing", "add it, or regionendpoint for a store that is not Amazon's")
    for one, other in (("accesskey", "secretkey"), ("secretkey", "accesskey")):
        if getattr(driver, one).get_secret_value() and not getattr(driver, other).get_secret_value():
            yield Finding((*path, other), f"it is missing, but {one} is there", "add it, or leave both out")


def caches(config: Config) -> Iterator[Finding]:
    """Zot's cache of blobs is in a driver that it has."""
    for path, options in stores(config):
        cache = options.cache_driver
        if cache is not None and cache.name not in _CACHES:
            what = f"there is no cache driver {cache.name!r}"
            yield Finding((*path, "cacheDriver", "name"), what, "use dynamodb or redis, or leave cacheDriver out")
        elif cache is None and options.remote_cache and options.dedupe and options.storage_driver is not None:
            what = "there is no cacheDriver for it"
            yield Finding((*path, "remoteCache"), what, "leave it out: this registry needs no cache of blobs")


RULES = (roots, roots_apart, routes, collection, collection_below, drivers, caches)
