"""Files that other programs read and write too, beside the store: only a store on a local file system has them.

Such a program takes no lock of ours. It reads a file, does something for a while, and writes it again, in place or by a
rename. So a file here has a version, which tells whether somebody else wrote to it, and is replaced by an exchange,
which shows what it was replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from zot.storage.disk import Disk, TranslatedErrors
from zot.storage.linux import exchange
from zot.storage.protocol import NotFound


class Version(NamedTuple):
    """What tells whether a file is still the same: bytes, two times in nanoseconds, and the number of its inode."""

    size: int
    modified: int
    changed: int
    inode: int

    def has_content_of(self, other: Version | None) -> bool:
        """Tell whether both are the same file with the same content, though it may have got another name since."""
        return other is not None and self._replace(changed=0) == other._replace(changed=0)


class LayoutFiles:
    """The files below a root. Keys and errors are those of the storage protocol."""

    def __init__(self, root: str, disk: Disk, errors: TranslatedErrors) -> None:
        self._root = root
        self._disk = disk
        self._errors = errors

    def version(self, key: str) -> Version | None:
        """Return the version of a file, None if there is none."""
        with self._errors:
            try:
                return _version(os.stat(self._path(key)))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read(self, key: str) -> tuple[bytes, Version]:
        """Return a file's content, and the version that it had before it was read. Raises `NotFound`."""
        with self._errors, open(self._path(key), "rb") as file:
            version = _version(os.fstat(file.fileno()))
            return file.read(), version

    def is_linked(self, key: str) -> bool:
        """Tell whether a file has other names, through which it may be written to. Raises `NotFound`."""
        with self._errors:
            return os.stat(self._path(key)).st_nlink > 1

    def replace(self, key: str, document: bytes, aside: str) -> Version:
        """Give a file this content, durably, and the name `aside` to the file that had its name; returns the version.

        Where the system can't exchange two names there is no file `aside` afterwards.
        """
        path, other = self._path(key), self._path(aside)
        with self._errors:
            self._disk.write(other, document)
            if not os.path.exists(path) or not exchange(other, path):
                self._disk.in_directory(path, lambda: os.rename(other, path), sync_last=True)
            version = _version(os.stat(path))
            self._disk.sync_name(path)
            self._disk.sync_name(other)
        return version

    def holders(self, file: str) -> Iterator[str]:
        """Yield every prefix that has a file of this name, but those with a component that is hidden or is `blobs`.

        Hidden is what begins with `.` or `_`. The directories are read one by one, in no order, while the caller takes
        what is yielded.
        """
        left = [""]
        while left:
            prefix = left.pop()
            below, has_file = self._read_directory(prefix, file)
            left += below
            if has_file and prefix:
                yield prefix

    def _read_directory(self, prefix: str, file: str) -> tuple[list[str], bool]:
        below, has_file = [], False
        with suppress(NotFound), self._errors, os.scandir(f"{self._root}/{prefix}") as entries:
            for entry in entries:
                if entry.name == file:
                    has_file = True
                elif entry.name[0] not in "._" and entry.name != "blobs" and entry.is_dir(follow_symlinks=False):
                    below.append(f"{prefix}/{entry.name}" if prefix else entry.name)
        return below, has_file

    def _path(self, key: str) -> str:
        if "/../" in f"/{key}/":
            raise NotFound(f"{key!r} is not a key")
        return f"{self._root}/{key}"


def _version(found: os.stat_result) -> Version:
    return Version(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
