"""Writing to a POSIX file system so that what was written is there after a power cut.

A file is synced before it gets its name, and its directory after. A file whose sync failed is never synced again: the
kernel may have dropped the dirty pages and would report success; the caller starts afresh or gives up.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from zot.storage.linux import sync_filesystem
from zot.storage.protocol import Damaged, Full, NotFound, StorageError, Unavailable

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
# A directory that was just emptied may be removed by another process between making it and using it.
_TRIES = 3
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})

T = TypeVar("T")


class Disk:
    """File operations that sync, below one directory for temporary files.

    With `commit` false nothing is synced: quicker, and a power cut may lose what was acknowledged.
    """

    def __init__(self, temporary: str, *, commit: bool) -> None:
        self._temporary = temporary
        self._commit = commit

    def sync_file(self, fd: int) -> None:
        """Make the content of an open file durable."""
        if self._commit:
            os.fsync(fd)

    def sync_directory(self, directory: str) -> None:
        """Make the names in a directory durable."""
        if not self._commit:
            return
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync_name(self, path: str, *, new_directory: bool = False) -> None:
        """Make the name of a file durable, and that of its directory if it may be new."""
        directory = os.path.dirname(path)
        self.sync_directory(directory)
        if new_directory:
            self.sync_directory(os.path.dirname(directory))

    def make_directories(self, directory: str, *, sync_last: bool = True) -> None:
        """Make a directory and those above it, each name durable; the last one only if `sync_last`."""
        try:
            os.mkdir(directory, DIRECTORY_MODE)
        except FileExistsError:
            return
        except FileNotFoundError:
            self.make_directories(os.path.dirname(directory))
            with suppress(FileExistsError):
                os.mkdir(directory, DIRECTORY_MODE)
        if sync_last:
            self.sync_directory(os.path.dirname(directory))

    def make_durable(self, root: str, prefixes: Iterable[str]) -> None:
        """Make directories below the root and sync every name on the way, even of those that are there already.

        Another process may have made one a moment ago and not have synced it yet, or may remove an empty one.
        """
        wanted = list(prefixes)
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                self._make_all(root, wanted)
                return
        self._make_all(root, wanted)

    def _make_all(self, root: str, prefixes: list[str]) -> None:
        to_sync: dict[str, None] = {}
        for prefix in prefixes:
            directory = root
            for component in prefix.split("/"):
                to_sync[directory] = None
                directory = f"{directory}/{component}"
                with suppress(FileExistsError):
                    os.mkdir(directory, DIRECTORY_MODE)
        for directory in to_sync:
            self.sync_directory(directory)

    def write_unsynced(self, path: str, content: bytes) -> None:
        """Give a file this content; after a power cut it may have none, or not be there."""
        if not content:
            self._write_empty(path, sync_last=False)
            return
        self._rename(self._write_temporary(content, synced=False), path, sync_last=False)

    def sync_everything(self, directory: str) -> None:
        """Make all that was ever written to the file system of this directory durable."""
        if self._commit:
            sync_filesystem(directory)

    def temporary_name(self) -> str:
        """Return a path that no other file has."""
        return f"{self._temporary}/{secrets.token_hex(12)}"

    def write(self, path: str, content: bytes, *, new_directory: bool = False) -> None:
        """Give a file this content, at once or not at all, and make its name durable."""
        if content:
            self._write_and_rename(path, content, new_directory)
        else:
            self._write_empty(path, sync_last=not new_directory)
        self.sync_name(path, new_directory=new_directory)

    def _write_empty(self, path: str, *, sync_last: bool) -> None:
        """Make an empty file, which is whole as soon as it has its name, and has nothing else to sync."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        os.close(self.in_directory(path, lambda: os.open(path, flags, FILE_MODE), sync_last=sync_last))

    def _write_and_rename(self, path: str, content: bytes, new_directory: bool) -> None:
        self._rename(self._write_temporary(content, synced=True), path, sync_last=not new_directory)

    def _write_temporary(self, content: bytes, *, synced: bool) -> str:
        """Return the path of a new file with this content; there is none if that fails."""
        temporary = self.temporary_name()
        fd = os.open(temporary, _NEW, FILE_MODE)
        try:
            try:
                write_all(fd, content)
                if synced:
                    self.sync_file(fd)
            finally:
                os.close(fd)
        except BaseException:
            os.unlink(temporary)
            raise
        return temporary

    def _rename(self, temporary: str, path: str, *, sync_last: bool) -> None:
        try:
            self.in_directory(path, lambda: os.rename(temporary, path), sync_last=sync_last)
        except BaseException:
            os.unlink(temporary)
            raise

    def in_directory(self, path: str, make: Callable[[], T], *, sync_last: bool) -> T:
        """Call `make`, which gives a file its name at `path`, making the directories above it if they are missing.

        With `sync_last` false the caller syncs the name of the last directory, or does not need it.
        """
        for _ in range(_TRIES):
            try:
                return make()
            except FileNotFoundError:
                self.make_directories(os.path.dirname(path), sync_last=sync_last)
        return make()


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class TranslatedErrors:
    """A context that turns the operating system's errors into those of the storage protocol."""

    def __init__(self, root: str) -> None:
        self._root = root

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Raise the protocol's error for an `OSError`."""
        if isinstance(error, OSError):
            raise self.translate(error) from error

    def translate(self, error: OSError) -> StorageError:
        """Return the protocol's error for one of the operating system."""
        if error.errno in _NOT_THERE:
            return NotFound(str(error.filename or error))
        what = os.strerror(error.errno or 0)
        if error.errno in _NO_ROOM:
            return Full(f"the storage is full: {self._what_is_short(what)}")
        if error.errno == errno.EISDIR:
            return Damaged("a directory stands where a file of the registry should be")
        return Unavailable(f"the storage failed: {what}")

    def _what_is_short(self, what: str) -> str:
        try:
            state = os.statvfs(self._root)
        except OSError:
            return what
        if state.f_files and not state.f_favail:
            return "no inodes are left"
        return what
