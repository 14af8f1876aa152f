"""What the driver may have left lying about in a bucket, found by listing it.

Everything is as old as `before`, which is a day or more: no request that is still under way has to do with it. What
others may come to share is looked at once more when it goes, see `zot.storage.s3.sharing`.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from zot.storage.protocol import Leftover, NotFound
from zot.storage.s3 import pointers
from zot.storage.s3.bucket import Bucket, Walked
from zot.storage.s3.client import NoUpload
from zot.storage.s3.pointers import Pointer
from zot.storage.s3.sharing import Sharing
from zot.storage.s3.uploads import INLINE, data_of

# The objects of pointers are smaller than this.
_POINTER_BYTES = 512
# What a link has of its own after what it says.
_OF_ITS_OWN = f"-{uuid.UUID(int=0)}"
_PLAIN = ("data", "locks", "removing", "damaged")


class Leftovers:
    """Looks through a bucket."""

    def __init__(self, bucket: Bucket, private: str, sharing: Sharing) -> None:
        self._bucket = bucket
        self._private = private
        self._sharing = sharing
        self._least = len(Pointer(INLINE + 1, pointers.new_data(private)).encode())

    def find(self, before: float, shared: str) -> Iterator[Leftover]:
        """Yield marks and locks of the dead, what was set aside, and links and bytes that nothing needs."""
        for kind, prefix in (("temporary", "locks"), ("temporary", "removing"), ("damaged", "damaged")):
            for key, size, modified, _ in self._bucket.walk(f"{self._private}/{prefix}/"):
                if modified < before:
                    yield Leftover("damaged" if kind == "damaged" else "temporary", key, size, modified)
        sessions = set(self._session_data())
        for key, upload, begun in self._bucket.unfinished(f"{self._private}/data/"):
            if begun < before and key not in sessions:
                yield Leftover("temporary", f"{key}?{upload}", 0, begun)
        yield from self._unneeded(before, shared, sessions)

    def discard(self, leftover: Leftover) -> bool:
        """Delete the object, or abort the multipart upload; a link, and what is shared, only if nobody needs it."""
        key, _, upload = leftover.name.partition("?")
        if upload:
            with suppress(NoUpload):
                self._bucket.abort(key, upload)
                return True
            return False
        if key.startswith(f"{self._private}/links/"):
            return self._sharing.drop_link(key)
        if key.startswith(tuple(f"{self._private}/{prefix}/" for prefix in _PLAIN)):
            self._bucket.delete(key)
            return True
        return self._sharing.drop_unlinked(key)

    def _session_data(self) -> Iterator[str]:
        """Yield the keys at which the bytes of sessions are, or will be."""
        for session in self._bucket.walk(f"{self._private}/uploads/"):
            with suppress(NotFound):
                yield data_of(self._bucket, session.key)

    def _unneeded(self, before: float, shared: str, sessions: set[str]) -> Iterator[Leftover]:
        """Yield links whose keys share nothing, shared content without links, and bytes that nothing points to.

        Pointers are looked for last, so that none is missed whose link or bytes were there to be found.
        """
        data = {one.key: one for one in self._old("data", before) if one.key not in sessions}
        linked, links = set[str](), defaultdict[str, list[Walked]](list)
        for link in self._bucket.walk(f"{self._private}/links/"):
            linked.add(link.key.split("/")[-2])
            # One from before each holder had its own does not say what it is for, and goes with its key.
            if link.modified < before and "-" in link.key.rpartition("/")[2]:
                links[link.key[: -len(_OF_ITS_OWN)]].append(link)
        unlinked, known = dict[str, Walked](), dict[tuple[str, int], Pointer]()
        for document in self._bucket.walk(f"{shared}/"):
            with suppress(NotFound):
                pointer = pointers.decode(self._bucket.read(document.key)[0])
                known[document.etag, document.size] = pointer
                data.pop(pointer.data, None)
                if document.modified < before and self._sharing.flat(document.key) not in linked:
                    unlinked[document.key] = document
        for key, pointer in self._pointers(known, shared):
            data.pop(pointer.data, None)
            unlinked.pop(pointer.shared, None)
            links.pop(self._sharing.links_of(pointer.shared, key), None)
        for one in (*chain(*links.values()), *unlinked.values(), *data.values()):
            yield Leftover("shared", one.key, one.size, one.modified)

    def _old(self, prefix: str, before: float) -> Iterator[Walked]:
        return (one for one in self._bucket.walk(f"{self._private}/{prefix}/") if one.modified < before)

    def _pointers(self, known: dict[tuple[str, int], Pointer], shared: str) -> Iterator[tuple[str, Pointer]]:
        """Yield all keys that point to something.

        A pointer has the very body of the document that it shares, so most are known by their ETags. Each other object
        of a size that a pointer may have is asked for.
        """
        for one in self._bucket.walk(""):
            if one.key.startswith(f"{shared}/"):
                continue
            if one.key.startswith(f"{self._private}/") and not one.key.startswith(f"{self._private}/damaged/"):
                continue
            pointer = known.get((one.etag, one.size))
            if pointer is None and self._least <= one.size < _POINTER_BYTES:
                with suppress(NotFound):
                    pointer = pointers.of_metadata(self._bucket.head(one.key).metadata)
            if pointer is not None:
                yield one.key, pointer
