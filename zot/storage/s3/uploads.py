"""Uploads in progress: a session object, and the parts of a multipart upload once there is enough for one.

The session object holds what a server needs to go on with an upload that another began: which parts are there, and the
bytes after them that are not yet enough for a part. It is replaced only by whoever saw it last (If-Match), so of two
requests that write to one upload at once, one fails with `Busy`. A request that sends a part, or makes content of the
upload, or throws it away, claims the session first, and renews that. Claims lapse and are void as those of locks; one
of a process of this machine that is gone is void at once, as what it may have under way can only spoil the upload.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from zot import owners
from zot.storage.protocol import Busy, NotFound, Unavailable
from zot.storage.s3.bucket import ABSENT, Bucket
from zot.storage.s3.client import Conflict, NoUpload
from zot.storage.s3.locks import LAPSES_AFTER, RENEWED_AFTER, VOID_AFTER, now
from zot.storage.s3.reader import read_object
from zot.storage.s3.settings import MOST_PARTS

# Content up to this size is kept at its key, and needs no pointer.
INLINE = 64 * 1024
_PIECE = 1024 * 1024


@dataclass
class _Session:
    """What the session object says: a line of JSON, then the bytes that are in no part yet."""

    data: str
    part_size: int
    upload: str = ""
    parts: list[str] = field(default_factory=list)
    # The owner of the claim, if there is one.
    held: str = ""
    tail: bytes = b""

    def encode(self) -> bytes:
        head = {name: value for name, value in vars(self).items() if name != "tail"}
        return json.dumps(head).encode() + b"\n" + self.tail


def _decode(content: bytes) -> _Session:
    head, _, tail = content.partition(b"\n")
    return _Session(**json.loads(head), tail=tail)


class S3Upload:
    """An upload, held by one request. What was written is kept in memory until it is a part or the request ends."""

    def __init__(self, bucket: Bucket, key: str, session: _Session, etag: str, written: float) -> None:
        self._bucket = bucket
        self._key = key
        self._session = session
        self._etag = etag
        self._written = written
        self._buffer = bytearray(session.tail)
        self._saved = now()
        self._completed = False
        # Whether the bytes are an object by this request's doing, and nobody else can know of it.
        self._is_own = False
        self._size = len(session.parts) * session.part_size + len(session.tail)
        # A new session is to be made even if nothing is written.
        self._changed = etag == ABSENT

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Append. A failed part fails the request, and the next one goes on before it."""
        view = memoryview(data)
        self._changed = self._changed or bool(view)
        while view:
            if len(self._buffer) == self._session.part_size:
                self._send(self._buffer)
                self._buffer = bytearray()
            taken = view[: self._session.part_size - len(self._buffer)]
            self._buffer += taken
            self._size += len(taken)
            view = view[len(taken) :]
        if self._session.held:
            self.claim()

    def read(self) -> Iterator[memoryview]:
        """Yield the bytes from the start; parts become an object for that, to which nothing can be added any more."""
        if not self._session.parts:
            yield memoryview(self._buffer)
            return
        self.complete()
        with read_object(self._bucket, self._session.data, self._size) as file:
            while piece := file.read(_PIECE):
                yield memoryview(piece)

    @property
    def written(self) -> float:
        """When the session was last saved, by the server's clock."""
        return self._written

    @property
    def data(self) -> str:
        """The key that the bytes have, or will have, in an object of their own."""
        return self._session.data

    def claim(self) -> None:
        """Keep other requests away from the session, if any can know of it. Raises `Busy` and `Unavailable`."""
        session, waited = self._session, now() - self._saved
        if session.held and waited > LAPSES_AFTER:
            raise Unavailable("an upload could not be saved in time, so another request may go on with it")
        if self._etag != ABSENT and (not session.held or waited > RENEWED_AFTER):
            self._save(held=True)

    def discard(self) -> None:
        """Forget the upload and its bytes.

        If an earlier request made an object of them, that may be content by now, although the request failed: it is
        left to garbage collection, which sees whether anything points to it.
        """
        if self._session.upload:
            self.claim()
            with suppress(NoUpload):
                self._bucket.abort(self._session.data, self._session.upload)
        if self._is_own:
            self.claim()
            self._bucket.delete(self._session.data)
        self.forget()

    def forget(self) -> None:
        """Forget the upload, whose bytes are content now."""
        if self._etag != ABSENT:
            self._bucket.delete(self._key)
        self._changed, self._session.held = False, ""

    def small(self) -> bytes | None:
        """Return all bytes, if they are so few that they need no object of their own."""
        return bytes(self._buffer) if self._size <= INLINE else None

    def complete(self) -> None:
        """Make one object of all bytes, unless that is done. Raises `NotFound` if parts are gone."""
        if self._completed:
            return
        self.claim()
        if self._session.parts:
            self._complete_parts(self._session)
        else:
            self._bucket.put(self._session.data, self._buffer, large=True)
            self._is_own = True
        self._completed = True

    def offer(self) -> None:
        """Make one object of all bytes, to which keys may point from now on."""
        self.complete()
        self._is_own = False

    def _complete_parts(self, session: _Session) -> None:
        if self._is_complete():
            # By a request that ended in the middle.
            return
        try:
            etags = list(session.parts)
            if self._buffer:
                etags.append(self._bucket.part(session.data, session.upload, len(etags) + 1, self._buffer))
            self._bucket.complete(session.data, session.upload, etags)
            self._is_own = True
        except NoUpload as error:
            # It is complete if the server got this very request twice.
            if not self._is_complete():
                raise NotFound(f"the upload is gone: {error}") from error

    def _is_complete(self) -> bool:
        try:
            return self._bucket.head(self._session.data).size == self._size
        except NotFound:
            return False

    def leave(self) -> None:
        """Save what came, for the next request."""
        if self._changed or self._session.held:
            self._save(held=False)

    def _send(self, part: bytearray) -> None:
        session = self._session
        if len(session.parts) == MOST_PARTS - 1:
            raise Unavailable(
                f"an upload can have {MOST_PARTS} parts of {session.part_size} bytes; "
                "a larger chunksize of the storageDriver allows longer ones"
            )
        if not session.upload:
            session.upload = self._bucket.begin(session.data)
        if not session.held:
            self._save(held=True)
        session.parts.append(self._bucket.part(session.data, session.upload, len(session.parts) + 1, part))

    def _save(self, *, held: bool) -> None:
        self._session.held, self._session.tail = owners.me() if held else "", bytes(self._buffer)
        begun = now()
        try:
            self._etag = self._bucket.swap(self._key, self._session.encode(), only_if=self._etag)
        except Conflict:
            self._changed, self._session.held = False, ""
            raise Busy("another request has written to this upload") from None
        self._saved = begun
        self._changed = False


def data_of(bucket: Bucket, key: str) -> str:
    """Return the key at which the bytes of a session are, or will be. Raises `NotFound`."""
    return _decode(bucket.read(key)[0]).data


def create(bucket: Bucket, key: str, data: str, part_size: int) -> S3Upload:
    """Return a new upload, which is in the bucket when its first request has ended or sent a part."""
    return S3Upload(bucket, key, _Session(data, part_size), ABSENT, time.time())


def resume(bucket: Bucket, key: str) -> S3Upload:
    """Return an upload as its last request left it. Raises `NotFound`, and `Busy` if another one is at it."""
    content, about = bucket.read(key)
    session = _decode(content)
    if session.held and about.age < VOID_AFTER and not owners.is_gone(session.held):
        raise Busy("another request is writing to this upload")
    session.held = ""
    return S3Upload(bucket, key, session, about.etag, about.modified)
