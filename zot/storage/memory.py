"""A store in memory: the same protocol and nothing durable. One process only.

It is for tests, and stands for a store that is not there yet where a command only looks.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from zot.storage.protocol import Busy, Change, Content, Idle, Leftover, NotFound, Stat, Upload


def _now() -> float:
    return time.time()


@dataclass
class _Bytes:
    """Content that several keys may share."""

    value: bytes
    modified: float = field(default_factory=_now)


class _SharedLock:
    """A lock with many readers or one writer, in which a waiting writer goes before new readers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting = 0

    @contextmanager
    def hold(self, *, shared: bool) -> Iterator[None]:
        with self._changed:
            if shared:
                self._changed.wait_for(lambda: not self._writing and not self._waiting)
                self._readers += 1
            else:
                self._waiting += 1
                self._changed.wait_for(lambda: not self._writing and not self._readers)
                self._waiting -= 1
                self._writing = True
        try:
            yield
        finally:
            with self._changed:
                if shared:
                    self._readers -= 1
                else:
                    self._writing = False
                self._changed.notify_all()


@dataclass
class _Arriving:
    """The bytes of an upload, and when the last of them came."""

    data: bytearray = field(default_factory=bytearray)
    written: float = field(default_factory=_now)


class MemoryUpload:
    """An upload that is a byte array."""

    def __init__(self, uploads: dict[str, _Arriving], name: str) -> None:
        self.name = name
        self._uploads = uploads
        self._arriving = uploads[name]
        self.data = self._arriving.data

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return len(self.data)

    @property
    def written(self) -> float:
        """When it was last written to."""
        return self._arriving.written

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self.data += data
        self._arriving.written = time.time()

    def read(self) -> Iterator[memoryview]:
        """Yield the bytes."""
        if self.data:
            yield memoryview(bytes(self.data))

    def discard(self) -> None:
        """Forget the upload."""
        self._uploads.pop(self.name, None)


class Memory:
    """The driver."""

    def __init__(self) -> None:
        self._keys: dict[str, _Bytes] = {}
        self._shared: dict[str, _Bytes] = {}
        self._uploads: dict[str, _Arriving] = {}
        self._held: set[str] = set()
        self._locks: dict[str, _SharedLock] = {}
        self._guard = threading.RLock()

    def stat(self, key: str) -> Stat:
        """Describe content."""
        found = self._find(key)
        return Stat(len(found.value), found.modified)

    def describe(self, keys: Iterable[str], *, enough: float = 0.0) -> Iterator[Stat | None]:
        """Describe contents."""
        for key in keys:
            found = self._keys.get(key)
            yield None if found is None else Stat(len(found.value), found.modified)

    def open(self, key: str, start: int = 0) -> Content:
        """Open content."""
        found = self._find(key)
        file = io.BytesIO(found.value)
        file.seek(start)
        return Content(file, len(found.value))

    @contextmanager
    def upload(self, name: str, *, create: bool = False) -> Iterator[Upload]:
        """Take hold of an upload."""
        with self._guard:
            if create:
                self._uploads[name] = _Arriving()
            if name not in self._uploads:
                raise NotFound(name)
            if name in self._held:
                raise Busy("another request is writing to this upload")
            self._held.add(name)
        try:
            yield MemoryUpload(self._uploads, name)
        finally:
            self._held.remove(name)

    def uploads(self) -> Iterator[tuple[str, float]]:
        """Yield the uploads."""
        with self._guard:
            yield from [(name, upload.written) for name, upload in self._uploads.items()]

    def put(self, key: str, upload: Upload, *, shared: str | None = None, new_directory: bool = False) -> None:
        """Keep an upload's bytes under a key."""
        assert isinstance(upload, MemoryUpload), "a store takes only its own uploads"
        with self._guard:
            known = self._keys.get(key)
            if known is None or len(known.value) != upload.size:
                content = self._shared.get(shared or "") or _Bytes(bytes(upload.data))
                self._keys[key] = content
                if shared is not None:
                    self._shared[shared] = content
            self._keys[key].modified = time.time()
            upload.discard()

    def link(self, key: str, to: str | None, *, shared: str, new_directory: bool = False) -> None:
        """Share content between two keys."""
        with self._guard:
            if to is None and shared not in self._shared:
                raise NotFound(shared)
            source = self._shared[shared] if to is None else self._find(to)
            known = self._keys.get(key)
            if known is None or len(known.value) != len(source.value):
                self._keys[key] = source
            source.modified = time.time()

    def is_shared(self, shared: str) -> bool:
        """Tell whether there is such content."""
        return shared in self._shared

    def remove(self, key: str, *, shared: str) -> None:
        """Forget a key, and what it shared when it was the last."""
        with self._guard:
            self._keys.pop(key, None)
            if not any(one is self._shared.get(shared) for one in self._keys.values()):
                self._shared.pop(shared, None)

    def remove_idle(self, contents: Iterable[Idle], removed: list[str]) -> None:
        """Forget keys that have not changed."""
        for one in contents:
            with self._guard:
                known = self._keys.get(one.key)
                if known is not None and known.modified <= one.modified:
                    self.remove(one.key, shared=one.shared)
                    removed.append(one.key)

    def vouch(self, key: str) -> None:
        """Do nothing: nobody else can reach the bytes."""

    def set_aside(self, key: str, *, shared: str) -> None:
        """Forget the key, and what is shared if it is that."""
        with self._guard:
            if self._keys.get(key) is self._shared.get(shared):
                self._shared.pop(shared, None)
            self.delete(key)

    def read(self, key: str) -> bytes:
        """Return a document."""
        return self._find(key).value

    def write(self, key: str, document: bytes, *, once: bool = False, new_directory: bool = False) -> None:
        """Replace a document."""
        self.update(key, lambda before: before if once and before is not None else document)

    def write_many(self, documents: Iterable[tuple[str, bytes]]) -> None:
        """Replace documents."""
        for key, document in documents:
            self.write(key, document)

    def touch(self, key: str) -> None:
        """Renew the time."""
        self._find(key).modified = time.time()

    def update(self, key: str, change: Change, *, new_directory: bool = False) -> None:
        """Change a document."""
        with self._guard:
            known = self._keys.get(key)
            self._keys[key] = _Bytes(change(None if known is None else known.value))

    def leftovers(self, before: float, *, shared: str) -> Iterator[Leftover]:
        """Yield what nobody shares any more."""
        with self._guard:
            used = {id(one) for one in self._keys.values()}
            lone = [(key, one) for key, one in self._shared.items() if id(one) not in used and one.modified < before]
        yield from (Leftover("shared", key, len(one.value), one.modified) for key, one in lone)

    def discard(self, leftover: Leftover) -> bool:
        """Forget it."""
        with self._guard:
            return self._shared.pop(leftover.name, None) is not None

    def make_prefixes(self, *prefixes: str) -> None:
        """Do nothing: keys need no prefix here."""

    def delete(self, *keys: str) -> None:
        """Forget keys."""
        with self._guard:
            for key in keys:
                self._keys.pop(key, None)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield names below a prefix."""
        start = f"{prefix}/"
        with self._guard:
            names = {key[len(start) :].partition("/")[0] for key in self._keys if key.startswith(start)}
        yield from sorted(name for name in names if name > after)

    @contextmanager
    def lock(self, name: str, *, shared: bool) -> Iterator[None]:
        """Hold a lock of this process."""
        with self._guard:
            lock = self._locks.setdefault(name, _SharedLock())
        with lock.hold(shared=shared):
            yield

    def _find(self, key: str) -> _Bytes:
        try:
            return self._keys[key]
        except KeyError:
            raise NotFound(key) from None
