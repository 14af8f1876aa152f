"""Opening the stores that a configuration names."""

from __future__ import annotations

import logging
from collections.abc import Callable

from zot.config import Config
from zot.registry import paths
from zot.registry.store import Store
from zot.registry.stores import Stores
from zot.storage.filesystem import Filesystem

log = logging.getLogger(__name__)


def open_stores(
    config: Config, *, on_copy: Callable[[], None] | None = None, on_damage: Callable[[], None] | None = None
) -> Stores:
    """Open and try the storage; nothing is read but what is asked for. Raises `StartupError` if it can't be used."""
    storage = Filesystem(config.storage.root_directory, private=paths.PRIVATE, commit=config.storage.commit)
    ignored: Callable[[], None] = lambda: None  # noqa: E731
    has_links = storage.start()
    storage.sharing.on_copy = on_copy or ignored
    storage.sharing.on_damage = lambda path: _report(path, on_damage or ignored)
    if config.storage.dedupe and not has_links:
        log.warning(
            "%s has no hard links, so storage.dedupe is off: each repository keeps its own copy of a blob",
            config.storage.root_directory,
        )
    return Stores(
        Store(
            storage,
            dedupe=config.storage.dedupe and has_links,
            sparse="sparse" in (config.http.compat or ()),
            on_damage=on_damage or ignored,
        )
    )


def _report(path: str, on_damage: Callable[[], None]) -> None:
    log.error("%s is damaged, and is replaced by what a client just pushed", path)
    on_damage()
