"""The store on a local file system: a key is a path below the root.

What is the driver's own (uploads, temporary files, locks) lies in one private directory, so that temporary files never
show up among keys.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from zot.errors import StartupError
from zot.owners import foreign_owner
from zot.storage.disk import FILE_MODE, Disk, TranslatedErrors
from zot.storage.file_upload import FileUpload
from zot.storage.layout_files import LayoutFiles
from zot.storage.leftovers import Leftovers
from zot.storage.locks import FileLocks
from zot.storage.names import NameCache
from zot.storage.protocol import Busy, Change, Content, Full, Idle, Leftover, NotFound, Stat, Upload
from zot.storage.sharing import NO_LINKS, Sharing
from zot.storage.stamps import examine, is_suspect, latest_care, renew, stamp


class Filesystem:
    """The driver.

    `private` is the directory below the root that belongs to it; `commit` as `Disk` has it; `key` is that of the
    configuration which names the root.
    """

    def __init__(self, root: str, *, private: str, commit: bool = True, key: str = "storage.rootDirectory") -> None:
        self._root = os.path.abspath(root)
        self._key = key
        self._private = f"{self._root}/{private}"
        self._disk = Disk(f"{self._private}/tmp", commit=commit)
        self.sharing = Sharing(self._disk)
        self._errors = TranslatedErrors(self._root)
        self.layouts = LayoutFiles(self._root, self._disk, self._errors)
        self._locks = FileLocks(f"{self._private}/locks", self._errors)
        self._names = NameCache()
        self._leftovers = Leftovers(self._root, self._private)

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
            return _stat(self._path(key), 0.0)

    def describe(self, keys: Iterable[str], *, enough: float = 0.0) -> Iterator[Stat | None]:
        """Describe the files; the note of one whose ctime is enough is not read."""
        with self._errors:
            for key in keys:
                try:
                    yield _stat(self._path(key), enough)
                except (FileNotFoundError, NotADirectoryError):
                    yield None

    def open(self, key: str, start: int = 0) -> Content:
        """Open the file."""
        with self._errors:
            file = io.FileIO(self._path(key))
            found = os.fstat(file.fileno())
            if start:
                file.seek(start)
        return Content(file, found.st_size, is_suspect(file.fileno(), found))

    @contextmanager
    def upload(self, name: str, *, create: bool = False) -> Iterator[Upload]:
        """Open the upload's file and hold its flock."""
        path = f"{self._private}/uploads/{name}"
        with self._errors:
            flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
            fd = os.open(path, flags, FILE_MODE)
        try:
            with self._errors:
                self._hold(fd, path)
                held = FileUpload(fd, path, self._errors)
            yield held
        finally:
            os.close(fd)

    def uploads(self) -> Iterator[tuple[str, float]]:
        """Yield the uploads' files."""
        with self._errors, os.scandir(f"{self._private}/uploads") as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False).st_mtime

    def put(self, key: str, upload: Upload, *, shared: str | None = None, new_directory: bool = False) -> None:
        """Link the key to the master, the file under `shared`; without one the upload's file is it from now on.

        The file is renamed, so to speak: linked, then unlinked, so that existing content stays. The name of a master is
        not synced: losing it costs a duplicate.
        """
        assert isinstance(upload, FileUpload), "a store takes only its own uploads"
        path = self._path(key)
        with self._errors:
            if shared is not None and self.sharing.share(path, self._path(shared), upload.size, new_directory):
                upload.discard()
                return
            stamp(upload.fd)
            self._sync_once(upload)
            is_new = self._disk.in_directory(
                path, lambda: self.sharing.take_over(upload, path), sync_last=not new_directory
            )
            self._disk.sync_name(path, new_directory=new_directory)
            # A file that was there already may be one that other programs rewrite in place.
            if shared is not None and is_new:
                self.sharing.become_master(path, self._path(shared))

    def link(self, key: str, to: str | None, *, shared: str, new_directory: bool = False) -> None:
        """Make a hard link, and a master if there is none yet."""
        path, source = self._path(key), self._path(shared if to is None else to)
        with self._errors:
            self.sharing.link(source, path, os.stat(source).st_size, new_directory)
            if to is not None and not self.is_shared(shared):
                # The file came from another program.
                self.sharing.become_master(path, self._path(shared))

    def is_shared(self, shared: str) -> bool:
        """Tell whether there is a master."""
        return os.path.exists(self._path(shared))

    def remove(self, key: str, *, shared: str) -> None:
        """Unlink the file, and its master if that has no other name; a link made meanwhile keeps the content."""
        self.delete(key)
        with self._errors:
            self.sharing.leave(self._path(shared))

    def remove_idle(self, contents: Iterable[Idle], removed: list[str]) -> None:
        """Unlink the files, sync their directories, then unlink the masters that have no other name."""
        gone: list[tuple[Idle, int]] = []
        with self._errors:
            try:
                for one in contents:
                    names = _unlink_idle(self._path(one.key), one.modified)
                    if names:
                        gone.append((one, names))
                        removed.append(one.key)
            finally:
                # Also when one of them failed, those before it are gone.
                for prefix in {one.key.rpartition("/")[0] for one, _ in gone}:
                    self._disk.sync_directory(self._path(prefix))
                for one, names in gone:
                    self.sharing.leave(self._path(one.shared), names)

    def vouch(self, key: str) -> None:
        """Stamp the file as it is."""
        with self._errors:
            fd = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                stamp(fd)
            finally:
                os.close(fd)

    def set_aside(self, key: str, *, shared: str) -> None:
        """Rename the file into a directory of the store's own, and unlink its master."""
        path, master = self._path(key), self._path(shared)
        with self._errors:
            with suppress(FileNotFoundError):
                if os.path.samefile(path, master):
                    os.unlink(master)
            aside = f"{self._private}/damaged/{time.time_ns()}-{os.path.basename(key)}"
            self._disk.in_directory(aside, lambda: os.rename(path, aside), sync_last=True)
            self._disk.sync_name(aside)
            self._disk.sync_name(path)

    def read(self, key: str) -> bytes:
        """Read the whole file."""
        with self._errors:
            return _read(self._path(key))

    def write(self, key: str, document: bytes, *, once: bool = False, new_directory: bool = False) -> None:
        """Replace the file, unless it is that already and has no other name."""
        if once:
            self.update(key, lambda before: document if before is None else before, new_directory=new_directory)
            return
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
            self._replace(path, found, change(found[0]), new_directory)

    def write_many(self, documents: Iterable[tuple[str, bytes]]) -> None:
        """Write files without syncing each, then the whole file system."""
        with self._errors:
            for key, document in documents:
                self._disk.write_unsynced(self._path(key), document)
            self._disk.sync_everything(self._root)

    def touch(self, key: str) -> None:
        """Renew the file's ctime."""
        with self._errors:
            renew(self._path(key))

    def leftovers(self, before: float, *, shared: str) -> Iterator[Leftover]:
        """Walk through the store's own directories."""
        with self._errors:
            yield from self._leftovers.find(before, shared)

    def discard(self, leftover: Leftover) -> bool:
        """Unlink the file."""
        with self._errors:
            return self._leftovers.discard(leftover)

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
        return map(names.__getitem__, range(bisect_right(names, after), len(names)))

    def lock(self, name: str, *, shared: bool) -> AbstractContextManager[None]:
        """Take a flock."""
        return self._locks.hold(name, shared=shared)

    def _path(self, key: str) -> str:
        if "/../" in f"/{key}/":
            raise NotFound(f"{key!r} is not a key")
        return f"{self._root}/{key}"

    def _sync_once(self, upload: FileUpload) -> None:
        """Sync an upload; if that fails it is forgotten, as the kernel may report success the next time."""
        try:
            self._disk.sync_file(upload.fd)
        except OSError:
            upload.discard()
            raise

    def _hold(self, fd: int, path: str) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another request is writing to this upload") from None
        found = os.fstat(fd)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), found):
                if found.st_nlink == 1:
                    return
                # It had become content when a crash came: to write to it now would be to write to that.
                os.unlink(path)
        raise NotFound("the upload was finished or cancelled by another request")

    def _replace(self, path: str, found: tuple[bytes | None, bool], after: bytes, new_directory: bool) -> None:
        before, alone = found
        if after != before or not alone:
            self._disk.write(path, after, new_directory=new_directory)
        else:
            # Whoever wrote it may not have synced its name yet.
            self._disk.sync_name(path, new_directory=new_directory)

    def _probe(self, path: str) -> bool:
        self._disk.write(path, b"written to see whether this can be done\n")
        try:
            os.link(path, f"{path}-link")
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        else:
            os.unlink(f"{path}-link")
            return True
        finally:
            os.unlink(path)

    def _unusable(self, error: OSError) -> StartupError:
        if isinstance(error, PermissionError):
            with suppress(OSError):
                if owner := foreign_owner(self._root):
                    return StartupError(
                        f"{self._key} {self._root} belongs to {owner}, and this user may not write there",
                        f"run this as {owner}, let the user that runs zot own it, or name another directory",
                    )
            return StartupError(
                f"{self._key} {self._root} is not writable",
                "let the user that runs zot own it, or name another directory",
            )
        translated = self._errors.translate(error)
        if isinstance(translated, Full):
            remedy = f"free some space, or name another {self._key}"
            return StartupError(f"{translated} ({self._root})", remedy)
        return StartupError(
            f"{self._key} {self._root} can't be used: {os.strerror(error.errno or 0)}",
            "name a directory that the user that runs zot can write to",
        )


def _stat(path: str, enough: float) -> Stat:
    found = os.stat(path)
    if (latest := latest_care(found)) <= enough:
        return Stat(found.st_size, latest)
    return Stat(found.st_size, *examine(path, found))


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


def _unlink_idle(path: str, modified: float) -> int:
    """Unlink a file that nobody has cared for since a time; returns how many names it had, 0 if it is not gone."""
    try:
        found = os.stat(path)
        if latest_care(found) > modified and examine(path, found)[0] > modified:
            return 0
        os.unlink(path)
    except FileNotFoundError:
        return 0
    return found.st_nlink


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
