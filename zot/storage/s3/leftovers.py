"""What the driver may have left lying about in a bucket, found by listing it.

Everything is as old as `before`, which is a day or more: no request that is still under way has to do with it. A link
of a key that a crash kept from being one is not found, as only the repository's lock would say that it is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from zot.storage.protocol import Leftover, NotFound
from zot.storage.s3 import pointers
from zot.storage.s3.bucket import Bucket
from zot.storage.s3.client import NoUpload
from zot.storage.s3.uploads import data_of

# The objects of pointers are smaller than this.
_POINTER_BYTES = 4096


class Leftovers:
    """Looks through a bucket."""

    def __init__(self, bucket: Bucket, private: str) -> None:
        self._bucket = bucket
        self._private = private

    def find(self, before: float, shared: str) -> Iterator[Leftover]:
        """Yield marks and locks of the dead, what was set aside, and bytes that nothing points to."""
        for kind, prefix in (("temporary", "locks"), ("temporary", "removing"), ("damaged", "damaged")):
            for key, size, modified in self._bucket.walk(f"{self._private}/{prefix}/"):
                if modified < before:
                    yield Leftover("damaged" if kind == "damaged" else "temporary", key, size, modified)
        sessions = set(self._session_data())
        for key, upload, begun in self._bucket.unfinished(f"{self._private}/data/"):
            if begun < before and key not in sessions:
                yield Leftover("temporary", f"{key}?{upload}", 0, begun)
        yield from self._lone_data(before, shared, sessions)

    def discard(self, leftover: Leftover) -> bool:
        """Delete the object, or abort the multipart upload."""
        key, _, upload = leftover.name.partition("?")
        if not upload:
            self._bucket.delete(key)
            return True
        with suppress(NoUpload):
            self._bucket.abort(key, upload)
            return True
        return False

    def _session_data(self) -> Iterator[str]:
        """Yield the keys at which the bytes of sessions are, or will be."""
        for key, _, _ in self._bucket.walk(f"{self._private}/uploads/"):
            with suppress(NotFound):
                yield data_of(self._bucket, key)

    def _lone_data(self, before: float, shared: str, sessions: set[str]) -> Iterator[Leftover]:
        """Yield bytes that neither a session nor a pointer has. Each small object is asked whether it is a pointer."""
        old = {
            key: (size, modified)
            for key, size, modified in self._bucket.walk(f"{self._private}/data/")
            if modified < before and key not in sessions
        }
        for prefix in (f"{shared}/", ""):
            for key, size, _ in self._bucket.walk(prefix):
                if not old:
                    return
                is_own = key.startswith(f"{self._private}/") and prefix == ""
                if size < _POINTER_BYTES and not is_own:
                    old.pop(self._data(key, is_document=prefix != ""), None)
        for key, (size, modified) in old.items():
            yield Leftover("shared", key, size, modified)

    def _data(self, key: str, *, is_document: bool) -> str:
        """Return the key of the bytes that an object points to, or an empty text."""
        try:
            if is_document:
                return pointers.decode(self._bucket.read(key)[0]).data
            pointer = pointers.of_metadata(self._bucket.head(key).metadata)
        except NotFound:
            return ""
        return "" if pointer is None else pointer.data
