"""The store on a local file system: a key is a path below the root.

What is the driver's own (uploads, temporary files, locks) lies in one private directory, so that temporary files never
show up among keys.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from zot.errors import StartupError
from zot.storage.disk import FILE_MODE, Disk, TranslatedErrors, write_all
from zot.storage.locks import FileLocks
from zot.storage.names import NameCache
from zot.storage.protocol import Busy, CannotLink, Change, Content, Full, NotFound, Stat, Upload

_PIECE = 1024 * 1024
_NO_LINKS = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


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

    def write(self, data: bytes | memoryview) -> None:
        """Append, wholly or not at all."""
        try:
            write_all(self.fd, data)
        except OSError as error:
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


class Filesystem:
    """The driver. `private` is the directory below the root that belongs to it; `commit` as `Disk` has it."""

    def __init__(self, root: str, *, private: str, commit: bool = True) -> None:
        self._root = os.path.abspath(root)
        self._private = f"{self._root}/{private}"
        self._disk = Disk(f"{self._private}/tmp", commit=commit)
        self._locks = FileLocks(f"{self._private}/locks")
        self._names = NameCache()
        self._errors = TranslatedErrors(self._root)

    def start(self) -> bool:
        """Make the store's own directories and try what it needs; True if it has hard links.

        Raises `StartupError` if the root can't be used.
        """
        try:
            for own in ("tmp", "locks", "uploads"):
                self._disk.make_directories(f"{self._private}/{own}")
            return self._probe(self._disk.temporary_name())
        except OSError as error:
            raise self._unusable(error) from error

    def stat(self, key: str) -> Stat:
        """Describe the file."""
        with self._errors:
            found = os.stat(self._path(key))
        return Stat(found.st_size, found.st_ctime, found.st_nlink)

    def open(self, key: str, start: int = 0) -> Content:
        """Open the file."""
        with self._errors:
            file = io.FileIO(self._path(key))
            size = os.fstat(file.fileno()).st_size
            if start:
                file.seek(start)
        return Content(file, size)

    @contextmanager
    def upload(self, name: str, *, create: bool = False) -> Iterator[Upload]:
        """Open the upload's file and hold its flock."""
        path = f"{self._private}/uploads/{name}"
        with self._errors:
            flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
            fd = os.open(path, flags, FILE_MODE)
        try:
            self._hold(fd)
            yield FileUpload(fd, path, self._errors)
        finally:
            os.close(fd)

    def put(self, key: str, upload: Upload, *, new_directory: bool = False) -> None:
        """Sync the upload's file and rename it, so to speak: link, then unlink, so that existing content stays."""
        assert isinstance(upload, FileUpload), "a store takes only its own uploads"
        path = self._path(key)
        with self._errors:
            self._disk.sync_file(upload.fd)
            self._disk.in_directory(path, lambda: self._take_over(upload, path), sync_last=not new_directory)
            self._disk.sync_name(path, new_directory=new_directory)

    def link(self, key: str, to: str, *, durable: bool = True, new_directory: bool = False) -> None:
        """Make a hard link."""
        path, source = self._path(key), self._path(to)
        with self._errors:
            size = os.stat(source).st_size
            synced_here = durable and not new_directory
            self._disk.in_directory(path, lambda: self._link_once(source, path, size), sync_last=synced_here)
            if durable:
                self._disk.sync_name(path, new_directory=new_directory)

    def read(self, key: str) -> bytes:
        """Read the whole file."""
        with self._errors:
            return _read(self._path(key))

    def write(self, key: str, document: bytes, *, new_directory: bool = False) -> None:
        """Replace the file, unless it is that already and has no other name."""
        path = self._path(key)
        with self._errors:
            if document:
                self._replace(path, _read_for_change(path), document, new_directory)
            else:
                self._disk.write(path, document, new_directory=new_directory)

    def update(self, key: str, change: Change, *, new_directory: bool = False) -> None:
        """Read, change and replace the file under its own lock."""
        path = self._path(key)
        with self._errors, self._locks.exclusive(f"documents/{key}"):
            found = _read_for_change(path)
            after = change(found[0])
            if after is not None:
                self._replace(path, found, after, new_directory)
            elif found[0] is not None:
                os.unlink(path)
                self._disk.sync_name(path)

    def make_prefixes(self, *prefixes: str) -> None:
        """Make the directories."""
        with self._errors:
            self._disk.make_durable(self._root, prefixes)

    def delete(self, *keys: str) -> None:
        """Unlink files; a directory is synced when all its files of this call are gone."""
        changed = ""
        with self._errors:
            for key in keys:
                path = self._path(key)
                directory = os.path.dirname(path.rstrip("/"))
                if changed and changed != directory:
                    self._disk.sync_directory(changed)
                    changed = ""
                if _remove(path):
                    changed = directory
            if changed:
                self._disk.sync_directory(changed)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the names in the directory."""
        with self._errors:
            names = self._names.names(self._path(prefix))
        for place in range(bisect_right(names, after), len(names)):
            yield names[place]

    def lock(self, name: str, *, shared: bool) -> AbstractContextManager[None]:
        """Take a flock."""
        return self._locks.hold(name, shared=shared)

    def _path(self, key: str) -> str:
        if "/../" in f"/{key}/":
            raise NotFound(f"{key!r} is not a key")
        return f"{self._root}/{key}"

    def _hold(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another request is writing to this upload") from None
        if os.fstat(fd).st_nlink == 0:
            raise NotFound("the upload was finished or cancelled by another request")

    def _replace(self, path: str, found: tuple[bytes | None, bool], after: bytes, new_directory: bool) -> None:
        before, alone = found
        if after != before or not alone:
            self._disk.write(path, after, new_directory=new_directory)
        else:
            # Whoever wrote it may not have synced its name yet.
            self._disk.sync_name(path, new_directory=new_directory)

    def _take_over(self, upload: FileUpload, path: str) -> None:
        try:
            self._link_once(upload.path, path, upload.size)
        except CannotLink:
            os.rename(upload.path, path)
        else:
            os.unlink(upload.path)

    def _link_once(self, source: str, path: str, size: int) -> None:
        try:
            os.link(source, path)
        except FileExistsError:
            if os.stat(path).st_size != size:
                self._replace_by_link(source, path)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise CannotLink(os.strerror(error.errno)) from error
            raise

    def _replace_by_link(self, source: str, path: str) -> None:
        temporary = self._disk.temporary_name()
        os.link(source, temporary)
        os.rename(temporary, path)

    def _probe(self, path: str) -> bool:
        self._disk.write(path, b"written to see whether this can be done\n")
        try:
            os.link(path, f"{path}-link")
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        else:
            os.unlink(f"{path}-link")
            return True
        finally:
            os.unlink(path)

    def _unusable(self, error: OSError) -> StartupError:
        if isinstance(error, PermissionError):
            return StartupError(
                f"storage.rootDirectory {self._root} is not writable",
                "let the user that runs zot own it, or name another directory",
            )
        translated = self._errors.translate(error)
        if isinstance(translated, Full):
            remedy = "free some space, or name another storage.rootDirectory"
            return StartupError(f"{translated} ({self._root})", remedy)
        return StartupError(
            f"storage.rootDirectory {self._root} can't be used: {os.strerror(error.errno or 0)}",
            "name a directory that the user that runs zot can write to",
        )


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read_all(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _read_all(fd: int, size: int) -> bytes:
    content = os.read(fd, size + 1)
    while len(content) < size and (more := os.read(fd, size - len(content))):
        content += more
    return content


def _read_for_change(path: str) -> tuple[bytes | None, bool]:
    """Return a file's content, and whether it has no other name that a change in place would change too."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, True
    try:
        found = os.fstat(fd)
        return _read_all(fd, found.st_size), found.st_nlink == 1
    finally:
        os.close(fd)


def _remove(path: str) -> bool:
    """Unlink a file, or a directory if it is empty; True if a file went."""
    try:
        if path.endswith("/"):
            os.rmdir(path)
            return False
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            return False
        raise
    return True
