"""Opening the stores that a configuration names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from zot.config import Config
from zot.config.drivers import StorageDriver
from zot.config.storage import StoreOptions
from zot.errors import StartupError
from zot.registry import paths
from zot.registry.rules import retention_of
from zot.registry.store import Store
from zot.registry.stores import Stores
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Storage, StorageError

log = logging.getLogger(__name__)

# Changed when an older version could not serve what a newer one has written.
_FORMAT = b"1\n"

Count = Callable[[], None]


def open_stores(
    config: Config,
    on_copy: Count | None = None,
    on_damage: Count | None = None,
    *,
    absent: Collection[str] = (),
) -> Stores:
    """Open and try the storage; nothing is read but what is asked for. Raises `StartupError` if it can't be used.

    Of the sub-paths those in `absent` have no store yet: an empty one stands for each, and none is made.
    """
    ignored: Count = lambda: None  # noqa: E731
    on_copy, on_damage = on_copy or ignored, on_damage or ignored
    is_sparse = "sparse" in (config.http.compat or ())

    def opened(options: StoreOptions, section: str, *, is_there: bool = True) -> Store:
        storage: Storage
        if not is_there:
            storage, layouts, has_links = Memory(), None, True
        elif options.storage_driver is not None:
            storage, layouts, has_links = _bucket(options.storage_driver, section), None, True
        else:
            storage, has_links = _directory(options, section, on_copy, on_damage)
            layouts = storage.layouts
        _check_format(storage, options, section)
        return Store(
            storage,
            dedupe=options.dedupe and has_links,
            layouts=layouts,
            sparse=is_sparse,
            retention=retention_of(options),
            on_damage=on_damage,
        )

    default = opened(config.storage, "storage")
    below = {}
    for route, options in config.storage.sub_paths.items():
        store = opened(options, f"storage.subPaths.{route}", is_there=route not in absent)
        # What is remembered is under its digest, so one memory does for all stores.
        below[route] = replace(store, manifests=default.manifests, references=default.references)
    return Stores(default, below)


def unopened(config: Config) -> Stores:
    """Return the stores to list names in, and for nothing else: nothing is tried or made, and buckets are empty."""

    def listed(options: StoreOptions) -> Store:
        if options.storage_driver is not None:
            return Store(Memory())
        return Store(Filesystem(options.root_directory, private=paths.PRIVATE))

    below = {route: listed(options) for route, options in config.storage.sub_paths.items()}
    return Stores(listed(config.storage), below)


def _directory(options: StoreOptions, section: str, on_copy: Count, on_damage: Count) -> tuple[Filesystem, bool]:
    """Return the store in a directory, and whether it has hard links; `section` is that of its options."""
    key = f"{section}.rootDirectory"
    storage = Filesystem(options.root_directory, private=paths.PRIVATE, commit=options.commit, key=key)
    has_links = storage.start()
    storage.sharing.on_copy = on_copy
    storage.sharing.on_damage = lambda path: _report(path, on_damage)
    if options.dedupe and not has_links:
        log.warning(
            "%s has no hard links, so dedupe is off: each repository keeps its own copy of a blob",
            options.root_directory,
        )
    return storage, has_links


def _bucket(driver: StorageDriver, section: str) -> Storage:
    """Return the store in a bucket; boto3 is loaded only for that."""
    from zot.storage.s3 import S3, of_config

    storage = S3(of_config(driver, f"{section}.storageDriver"), private=paths.PRIVATE)
    storage.start()
    return storage


def _check_format(storage: Storage, options: StoreOptions, section: str) -> None:
    """Note the format of the store in a new one. Raises `StartupError` for one that a later version wrote."""
    driver = options.storage_driver
    where = options.root_directory if driver is None else f"the bucket {driver.bucket}"
    try:
        storage.write(paths.FORMAT, _FORMAT, once=True)
        found = storage.read(paths.FORMAT)
    except StorageError as error:
        raise StartupError(f"{where} can't be used: {error}", "mend the storage, then start again") from error
    if found != _FORMAT:
        raise StartupError(
            f"{where} was written by a later version of zot (format {found[:20].decode(errors='replace').strip()!r})",
            f"use that version, or name another {section}.{'rootDirectory' if driver is None else 'storageDriver'}",
        )


def _report(path: str, on_damage: Count) -> None:
    log.error("%s is damaged, and is replaced by what a client just pushed", path)
    on_damage()
