"""What a shell completes beyond commands and options: names of repositories."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import click
from click.shell_completion import CompletionItem

from cli.options import NAMED

_MOST = 200


def complete_repository(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a repository that lies on this machine; buckets are not asked, and nothing is made."""
    from zot.config import ConfigError
    from zot.storage.protocol import StorageError

    try:
        return [CompletionItem(name) for name in islice(_names(context.meta.get(NAMED), begun), _MOST)]
    except (ConfigError, StorageError, OSError):
        return []


def _names(named: str | None, begun: str) -> Iterator[str]:
    """Yield the repositories whose names begin so. Raises `ConfigError` or `StorageError`."""
    from cli.configuration import choose, defaults
    from zot.config import load
    from zot.registry.opening import unopened

    file = choose(named).file
    for name in unopened(load(file) if file else defaults()).names(begun[:-1]):
        if name.startswith(begun):
            yield name
        elif name > begun:
            return
