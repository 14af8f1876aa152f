"""Files that stand for the same content: hard links of a master."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from zot.storage.disk import Disk
from zot.storage.file_upload import FileUpload
from zot.storage.protocol import CannotLink, NotFound
from zot.storage.stamps import is_suspect, renew

NO_LINKS = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def _ignore(*_: object) -> None:
    """Count nothing."""


class Sharing:
    """Makes hard links. `on_copy` is called when one can't be made, `on_damage` with the path of a damaged master."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.on_copy: Callable[[], None] = _ignore
        self.on_damage: Callable[[str], None] = _ignore

    def share(self, path: str, master: str, size: int, new_directory: bool) -> bool:
        """Link a key to its master; False if there is none, if it is damaged, or can't be linked once more."""
        try:
            found = os.stat(master)
            if found.st_size != size or is_suspect(master, found):
                self.on_damage(master)
                os.unlink(master)
                return False
            self.link(master, path, size, new_directory)
        except (FileNotFoundError, NotFound):
            return False
        except CannotLink:
            # It has as many links as the file system allows: the copy that comes now is the next master.
            self.on_copy()
            with suppress(FileNotFoundError):
                os.unlink(master)
            return False
        return True

    def become_master(self, path: str, master: str) -> None:
        """Link a master to a file that was just put. Losing this race costs a duplicate later."""
        try:
            self._disk.in_directory(
                master, lambda: self._link_once(path, master, os.stat(path).st_size), sync_last=False
            )
        except CannotLink:
            self.on_copy()
        except FileNotFoundError:
            # The key was removed already.
            return

    def link(self, source: str, path: str, size: int, new_directory: bool) -> None:
        """Link a key to a file of that size, and make the name durable; a good file that is there already stays."""
        if self._disk.in_directory(path, lambda: self._link_once(source, path, size), sync_last=not new_directory):
            renew(path)
        self._disk.sync_name(path, new_directory=new_directory)

    def leave(self, master: str, names: int = 0) -> None:
        """Unlink a master that has no other name; a link made meanwhile keeps the content.

        `names` is how many the file had just before its key went, 0 if that is not known. Of two the other one is taken
        for the master's, which is not looked at. A link made in this moment, or by another program, keeps the content,
        and a later push a copy.
        """
        if names == 1:
            return
        try:
            if names == 2 or os.stat(master).st_nlink == 1:
                os.unlink(master)
        except FileNotFoundError:
            return

    def take_over(self, upload: FileUpload, path: str) -> bool:
        """Give an upload's file its name; False if a good file has that name already."""
        try:
            is_new = self._link_once(upload.path, path, upload.size)
        except CannotLink:
            os.rename(upload.path, path)
            return True
        os.unlink(upload.path)
        return is_new

    def _link_once(self, source: str, path: str, size: int) -> bool:
        try:
            os.link(source, path)
        except FileExistsError:
            found = os.stat(path)
            if found.st_size == size and not is_suspect(path, found):
                renew(path)
                return False
            self._replace_by_link(source, path)
        except OSError as error:
            if error.errno in NO_LINKS:
                raise CannotLink(os.strerror(error.errno)) from error
            raise
        return True

    def _replace_by_link(self, source: str, path: str) -> None:
        temporary = self._disk.temporary_name()
        os.link(source, temporary)
        os.rename(temporary, path)
