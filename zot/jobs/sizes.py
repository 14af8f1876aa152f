"""How large repositories are, for the metrics: the leader looks now and then, a little at a time, and leaves a file.

Whoever shows the metrics reads that. On a disk only: in a bucket each size would cost a request.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from urllib.parse import quote

from zot.registry import repositories, usage
from zot.registry.store import Store
from zot.storage.protocol import StorageError

# It looks for so many seconds at a time; between two passes it rests this many times as long as one took, at least.
_SLICE = 0.05
_REST = 1.0
# So many repositories have a number of their own, the largest; the others are added up, under what is no name of any.
_MOST = 1000
OTHER = "(other)"


class Sizes:
    """Looks at the sizes of a store's repositories, and leaves them in a file of `directory`, each `pace` seconds."""

    def __init__(self, store: Store, route: str, directory: str, pace: float) -> None:
        self._store = store
        self._file = _file(directory, route)
        self._pace = pace
        self._left: Iterator[str] | None = None
        self._found: dict[str, int] = {}
        self._begun = 0.0
        self._not_before = 0.0

    def look_on(self) -> None:
        """Go on where the last look ended. Raises `StorageError`."""
        now = time.monotonic()
        if self._left is None:
            if now < self._not_before:
                return
            self._left, self._found, self._begun = repositories.names(self._store), {}, now
        try:
            for name in self._left:
                self._found[name] = usage.size_of(self._store, name)
                if time.monotonic() - now > _SLICE:
                    return
        except StorageError:
            # Those before it are not all there are.
            self._left = None
            raise
        self._left = None
        ended = time.monotonic()
        self._not_before = ended + max(self._pace, _REST * (ended - self._begun))
        self._write()

    def _write(self) -> None:
        largest = sorted(self._found, key=lambda name: (-self._found[name], name))
        shown = {name: self._found[name] for name in largest[:_MOST]}
        if largest[_MOST:]:
            shown[OTHER] = sum(self._found[name] for name in largest[_MOST:])
        with open(f"{self._file}.new", "w") as file:
            json.dump(shown, file)
        os.replace(f"{self._file}.new", self._file)


def read(directory: str, route: str) -> dict[str, int]:
    """Return the bytes of each repository of a store when the leader looked last; nothing if it has not yet."""
    try:
        with open(_file(directory, route)) as file:
            found: dict[str, int] = json.load(file)
    except FileNotFoundError:
        return {}
    return found


def _file(directory: str, route: str) -> str:
    return f"{directory}/sizes-{quote(route, safe='')}"
