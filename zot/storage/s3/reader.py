"""Content as a file that is read from the bucket while it is sent."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from zot.storage.protocol import Damaged, NotFound, StorageError, Unavailable
from zot.storage.s3.bucket import Bucket, Opened, pauses
from zot.storage.s3.client import Conflict, TranslatedErrors

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_PIECE = 256 * 1024
# A body that breaks off is gone on with this often in a row without a byte.
_TRIES = 5


class _Object(io.RawIOBase):
    """An object of a known size. It is asked for when the first byte is read, and anew after each seek."""

    def __init__(self, bucket: Bucket, key: str, size: int, opened: Opened | None) -> None:
        self._bucket = bucket
        self._key = key
        self._size = size
        self._etag = opened.about.etag if opened else None
        self._body: StreamingBody | None = opened.body if opened else None
        self._at = 0
        self._errors = TranslatedErrors()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset != self._at:
            self._let_go()
            self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer
        """Read some bytes; what breaks off is gone on with. Raises `Damaged` and `Unavailable`."""
        if self._at >= self._size:
            return 0
        failed: StorageError | None = None
        for pause in pauses(_TRIES, first=0.1):
            try:
                got = self._read_some(buffer)
            except Unavailable as error:
                failed = error
                self._let_go()
                time.sleep(pause)
                continue
            self._at += got
            return got
        raise Unavailable(f"content can't be read on from byte {self._at}: {failed}")

    def close(self) -> None:
        """Let go of the connection."""
        self._let_go()
        super().close()

    def _read_some(self, buffer: bytearray | memoryview) -> int:
        body = self._body or self._ask()
        with self._errors:
            got: int = body.readinto(cast(Any, buffer))
        if not got:
            raise Unavailable("the body ended too soon")
        return got

    def _ask(self) -> StreamingBody:
        try:
            opened = self._bucket.open(self._key, self._at, self._etag)
        except (NotFound, Conflict) as error:
            raise Damaged(f"{self._key}, which holds {self._size} bytes of content, is gone: {error}") from error
        self._body = opened.body
        if opened.about.size != self._size:
            self._let_go()
            raise Damaged(f"{self._key} has {opened.about.size} bytes instead of {self._size}")
        self._etag = opened.about.etag
        return opened.body

    def _let_go(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def read_object(bucket: Bucket, key: str, size: int, opened: Opened | None = None) -> BinaryIO:
    """Return a file over an object, which is opened already or not yet."""
    return io.BufferedReader(_Object(bucket, key, size, opened), _PIECE)
