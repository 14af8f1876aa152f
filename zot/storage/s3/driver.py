"""The driver: the storage protocol over a bucket, with the same keys as on disk, and some of its own.

Those are below a private prefix:

    data/<uuid>                  content that is larger than 64 KiB
    links/<shared>/<hash>-<uuid> a key that shares content; removing/<shared>/<uuid> somebody who may be removing it
    locks/<name>/…               see `zot.storage.s3.locks`
    uploads/<name>               a session
    damaged/…                    what was set aside

A document, and small content, is an object at its key, verbatim; large content is a pointer there.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby

from zot.storage.protocol import CannotLink, Change, Content, Idle, Leftover, NotFound, Stat, Unavailable, Upload
from zot.storage.s3 import pointers, uploads
from zot.storage.s3.bucket import ABSENT, Bucket, pauses
from zot.storage.s3.client import Conflict
from zot.storage.s3.leftovers import Leftovers
from zot.storage.s3.listing import names_of
from zot.storage.s3.locks import Locks
from zot.storage.s3.pointers import Pointer
from zot.storage.s3.probe import probe
from zot.storage.s3.reader import read_object
from zot.storage.s3.settings import Settings
from zot.storage.s3.sharing import Sharing
from zot.storage.s3.together import together
from zot.storage.s3.uploads import INLINE, S3Upload

# How often a document is read and changed anew because somebody else was quicker; some twenty seconds in all.
_CHANGES = 60


class S3:
    """The driver, which threads share; `start` comes before anything else."""

    def __init__(self, settings: Settings, *, private: str) -> None:
        self._settings = settings
        self._private = private
        self.bucket = Bucket(settings)
        self._sharing = Sharing(self.bucket, private)
        self._locks = Locks(self.bucket, f"{private}/locks")
        self._leftovers = Leftovers(self.bucket, private, self._sharing)

    def start(self) -> None:
        """Try what the driver needs. Raises `StartupError` if the bucket can't be used."""
        probe(self.bucket, self._settings, f"{self._private}/probe")

    def close(self) -> None:
        """Let go of all connections."""
        self.bucket.close()

    def stat(self, key: str) -> Stat:
        """Describe content, from the metadata of its object."""
        about = self.bucket.head(key)
        pointer = pointers.of_metadata(about.metadata)
        return Stat(about.size if pointer is None else pointer.size, about.modified)

    def describe(self, keys: Iterable[str], *, enough: float = 0.0) -> Iterator[Stat | None]:
        """Describe contents, several at a time."""
        return together(self._stat_if_there, keys)

    def _stat_if_there(self, key: str) -> Stat | None:
        try:
            return self.stat(key)
        except NotFound:
            return None

    def open(self, key: str, start: int = 0) -> Content:
        """Open content: what is small at once, what is large when it is read."""
        opened = self.bucket.open(key)
        pointer = pointers.of_metadata(opened.about.metadata)
        if pointer is not None:
            opened.body.close()
            file, size = read_object(self.bucket, pointer.data, pointer.size), pointer.size
        elif opened.about.size <= INLINE:
            with read_object(self.bucket, key, opened.about.size, opened) as whole:
                file, size = io.BytesIO(whole.read()), opened.about.size
        else:
            file, size = read_object(self.bucket, key, opened.about.size, opened), opened.about.size
        file.seek(start)
        return Content(file, size)

    @contextmanager
    def upload(self, name: str, *, create: bool = False) -> Iterator[Upload]:
        """Read the session, and save it at the end; a new one is in the bucket only then, or with its first part."""
        key = f"{self._private}/uploads/{name}"
        if create:
            upload = uploads.create(self.bucket, key, pointers.new_data(self._private), self._settings.part_size)
        else:
            upload = uploads.resume(self.bucket, key)
        try:
            yield upload
        finally:
            upload.leave()

    def uploads(self) -> Iterator[tuple[str, float]]:
        """Yield the sessions, with the server's times."""
        for page in self.bucket.list(f"{self._private}/uploads/"):
            yield from page.modified.items()

    def put(self, key: str, upload: Upload, *, shared: str | None = None, new_directory: bool = False) -> None:
        """Write small content to its key; let the key of large content point to its bytes, its own or shared ones."""
        assert isinstance(upload, S3Upload), "a store takes only its own uploads"
        self._locks.check()
        small = upload.small()
        if small is not None:
            self.bucket.put(key, small)
            upload.forget()
            return
        upload.claim()
        pointer = self._known(key, upload.size)
        if pointer is None:
            pointer = self._place(key, upload, shared)
            upload.claim()
            self._locks.check()
            self._point(key, pointer)
        else:
            self.touch(key)
        if pointer.data == upload.data:
            upload.forget()
        else:
            upload.discard()

    def link(self, key: str, to: str | None, *, shared: str, new_directory: bool = False) -> None:
        """Let the key point to what is shared; small content is copied."""
        self._locks.check()
        if to is not None:
            about = self.bucket.head(to)
            pointer = pointers.of_metadata(about.metadata)
            if pointer is None and about.size <= INLINE:
                self.bucket.put(key, self.read(to))
                return
            if pointer is None or not pointer.shared:
                raise CannotLink("the content belongs to one key alone")
            if self._known(key, pointer.size) is not None:
                self.touch(key)
                return
        link = self._sharing.join(shared, key)
        if link is None:
            raise CannotLink("the content may be on its way out")
        found = self._sharing.find(shared)
        if found is None:
            self._sharing.leave(link)
            raise NotFound(shared)
        self._locks.check()
        self._point(key, found)

    def is_shared(self, shared: str) -> bool:
        """Tell whether there is a document that says where shared content is; small content has none."""
        try:
            self.bucket.head(shared)
        except NotFound:
            return False
        return True

    def remove(self, key: str, *, shared: str) -> None:
        """Remove the object, then the link and the bytes if no other key shares them."""
        self.remove_idle([Idle(key, shared, math.inf)], [])

    def remove_idle(self, contents: Iterable[Idle], removed: list[str]) -> None:
        """Remove each with its bytes, several at a time; a HEAD tells whether it is idle and where its bytes are."""
        check = self._locks.checker()

        def remove(one: Idle) -> None:
            check()
            try:
                about = self.bucket.head(one.key)
            except NotFound:
                return
            if about.modified <= one.modified:
                pointer = pointers.of_metadata(about.metadata)
                links = [] if pointer is None else self._sharing.held(pointer, one.key)
                # Looking may have taken longer than a lock is good for.
                check()
                self.bucket.delete(one.key)
                removed.append(one.key)
                if pointer is not None:
                    self._sharing.drop(pointer, links)

        for _ in together(remove, contents):
            continue

    def vouch(self, key: str) -> None:
        """Do nothing: an object is what it was made, and never suspect."""

    def set_aside(self, key: str, *, shared: str) -> None:
        """Copy the object below the driver's own prefix; if it is a pointer, nobody new shares what it points to."""
        self._locks.check()
        pointer = pointers.of_metadata(self.bucket.head(key).metadata)
        self.bucket.copy(key, f"{self._private}/damaged/{time.time_ns()}-{key.rpartition('/')[2]}")
        if pointer is not None:
            self._sharing.retire(pointer)
        self.bucket.delete(key)

    def read(self, key: str) -> bytes:
        """Return an object, or what it points to."""
        return self._read(key)[0]

    def write(self, key: str, document: bytes, *, once: bool = False, new_directory: bool = False) -> None:
        """Write an object."""
        self._locks.check()
        try:
            self.bucket.put(key, document, only_if=ABSENT if once else None)
        except Conflict:
            # It is there, by somebody else's doing or by our own, which the server got twice.
            return

    def write_many(self, documents: Iterable[tuple[str, bytes]]) -> None:
        """Write objects one by one."""
        for key, document in documents:
            self.write(key, document)

    def touch(self, key: str) -> None:
        """Write the object anew as it is, unless somebody else just did that."""
        self._locks.check()
        about = self.bucket.head(key)
        if about.size > INLINE:
            self.bucket.copy(key, key)
            return
        body, about = self.bucket.read(key)
        try:
            self.bucket.put(key, body, only_if=about.etag, metadata=about.metadata)
        except Conflict:
            return

    def update(self, key: str, change: Change, *, new_directory: bool = False) -> None:
        """Read, change and write the object only if it is still what was read, until that is so."""
        for pause in pauses(_CHANGES):
            self._locks.check()
            try:
                before, etag = self._read(key)
            except NotFound:
                before, etag = None, ABSENT
            after = change(before)
            if after == before:
                return
            try:
                self.bucket.swap(key, after, only_if=etag)
            except Conflict:
                time.sleep(pause)
            else:
                return
        raise Unavailable(f"{key} is changed by too many at once")

    def leftovers(self, before: float, *, shared: str) -> Iterator[Leftover]:
        """List the bucket."""
        return self._leftovers.find(before, shared)

    def discard(self, leftover: Leftover) -> bool:
        """Delete the object, or abort the multipart upload; a link, and what is shared, only if nobody needs it."""
        return self._leftovers.discard(leftover)

    def make_prefixes(self, *prefixes: str) -> None:
        """Do nothing: there are no directories."""

    def delete(self, *keys: str) -> None:
        """Remove objects, those below one prefix several at a time."""
        check = self._locks.checker()

        def delete(key: str) -> None:
            check()
            self.bucket.delete(key)

        objects = (key for key in keys if not key.endswith("/"))
        for _, below in groupby(objects, lambda key: key.rpartition("/")[0]):
            for _ in together(delete, below):
                continue

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield names, a thousand with each request."""
        return names_of(self.bucket, f"{prefix}/", after)

    def lock(self, name: str, *, shared: bool) -> AbstractContextManager[None]:
        """Take a lock of intents and marks."""
        return self._locks.hold(name, shared=shared)

    def _read(self, key: str) -> tuple[bytes, str]:
        """Return a document or content whole, and the ETag of its object."""
        body, about = self.bucket.read(key)
        pointer = pointers.of_metadata(about.metadata)
        if pointer is not None:
            with read_object(self.bucket, pointer.data, pointer.size) as file:
                body = file.read()
        return body, about.etag

    def _known(self, key: str, size: int) -> Pointer | None:
        """Return where the content of that size is for which a key stands, or None if it stands for none."""
        try:
            about = self.bucket.head(key)
            pointer = pointers.of_metadata(about.metadata) or Pointer(about.size, key)
            there = pointer.data == key or self.bucket.head(pointer.data).size == size
        except NotFound:
            return None
        return pointer if there and pointer.size == size else None

    def _place(self, key: str, upload: S3Upload, shared: str | None) -> Pointer:
        """Return where the content of an upload is: where others have put it, or in an object of its own."""
        own = Pointer(upload.size, upload.data)
        if shared is None or not self._sharing.join(shared, key):
            upload.offer()
            return own
        found = self._sharing.find(shared)
        if found is not None and found.size == own.size:
            return found
        upload.offer()
        return self._sharing.publish(shared, own)

    def _point(self, key: str, pointer: Pointer) -> None:
        self.bucket.put(key, pointer.encode(), metadata=pointer.metadata())
