"""Uploads on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from zot.storage.disk import TranslatedErrors, write_all

_PIECE = 1024 * 1024


class FileUpload:
    """An upload: one file that grows, held by a flock."""

    def __init__(self, fd: int, path: str, errors: TranslatedErrors) -> None:
        self.fd = fd
        self.path = path
        self._errors = errors
        self._size = os.fstat(fd).st_size

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def written(self) -> float:
        """When the file was last written to."""
        with self._errors:
            return os.fstat(self.fd).st_mtime

    def write(self, data: bytes | memoryview) -> None:
        """Append, wholly or not at all."""
        try:
            write_all(self.fd, data)
        except OSError as error:
            with self._errors:
                os.ftruncate(self.fd, self._size)
            raise self._errors.translate(error) from error
        self._size += len(data)

    def read(self) -> Iterator[memoryview]:
        """Yield the bytes from the start."""
        buffer = memoryview(bytearray(_PIECE))
        position = 0
        while got := self._read_piece(buffer, position):
            yield buffer[:got]
            position += got

    def discard(self) -> None:
        """Remove the file, unless it has become content already."""
        with self._errors, suppress(FileNotFoundError):
            os.unlink(self.path)

    def _read_piece(self, buffer: memoryview, position: int) -> int:
        with self._errors:
            return os.preadv(self.fd, [buffer], position)
