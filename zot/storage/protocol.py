"""What every driver can do, and how it fails.

A key is a relative path of ASCII components joined by `/`. A document is a small value that is read and replaced whole;
content is a large value that is written once and then only read. Whatever a method has done when it returns is durable,
unless its sentence says otherwise or the store was opened with `commit: false`. `new_directory` says that the last
component but one of the key may be as new as the key itself, perhaps made by another process a moment ago, so that a
driver with directories makes that name durable too.

    StorageError
      NotFound     the key stands for nothing
      Busy         somebody else is writing to this upload
      CannotLink   this store can't let two keys share the content (limit of links, another device, not supported)
      Full         no space, no inodes or no quota left; what was written of this call is gone
      Damaged      content is not what the store was given
      Unavailable  the store doesn't answer, or fails
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol

Change = Callable[[bytes | None], bytes | None]


class StorageError(Exception):
    """A store could not do what it was asked; the message is a sentence for the log and for the error document."""


class NotFound(StorageError):
    """The key stands for nothing."""


class Busy(StorageError):
    """Another request is writing to this upload."""


class CannotLink(StorageError):
    """The two keys can't share their content here."""


class Full(StorageError):
    """No space, no inodes or no quota is left."""


class Damaged(StorageError):
    """Content is not what the store was given."""


class Unavailable(StorageError):
    """The store doesn't answer, or it fails."""


class Stat(NamedTuple):
    """Size in bytes; when it was last changed or asked for, in seconds since 1970; how many keys share the content."""

    size: int
    modified: float
    links: int


class Content(NamedTuple):
    """Opened content and its whole size in bytes; the caller closes the file."""

    file: BinaryIO
    size: int


class Upload(Protocol):
    """Content that is still arriving. Held by one request at a time, on all workers and replicas."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; promises nothing before `Storage.put`. Raises `Full`."""

    def read(self) -> Iterator[memoryview]:
        """Yield the bytes from the start, in pieces; a piece is valid until the next one."""

    def discard(self) -> None:
        """Forget the upload and its bytes."""


class Storage(Protocol):
    """A store of documents and content. Every method may raise `Full` or `Unavailable`."""

    def stat(self, key: str) -> Stat:
        """Describe content. Raises `NotFound`."""

    def open(self, key: str, start: int = 0) -> Content:
        """Open content from byte `start`; on disk a real file, so that sendfile works. Raises `NotFound`."""

    def upload(self, name: str, *, create: bool = False) -> AbstractContextManager[Upload]:
        """Take hold of an upload, making it first if `create`. Raises `NotFound` and `Busy`."""

    def put(self, key: str, upload: Upload, *, new_directory: bool = False) -> None:
        """Let the key stand for a finished and verified upload, which ends with that.

        Content of the same size that is there already stays; of another size it is damaged, and replaced.
        """

    def link(self, key: str, to: str, *, durable: bool = True, new_directory: bool = False) -> None:
        """Let the key stand for the content of `to`, if it does not stand for content of that size already.

        A link that is not durable may be gone after a power cut. Raises `NotFound` if `to` is not there, `CannotLink`.
        """

    def read(self, key: str) -> bytes:
        """Return a document. Raises `NotFound`."""

    def write(self, key: str, document: bytes, *, new_directory: bool = False) -> None:
        """Let the key stand for a document, at once and whatever it stood for; for what never changes."""

    def update(self, key: str, change: Change, *, new_directory: bool = False) -> None:
        """Replace a document atomically by what `change` makes of it; None stands for no document, before and after.

        An exception from `change` leaves the document as it is and is passed on. `change` may be called several times.
        """

    def make_prefixes(self, *prefixes: str) -> None:
        """Make sure that a key directly below one of these prefixes is durable when its method returns.

        For the prefixes that keys of many processes share; a store without directories has nothing to do.
        """

    def delete(self, *keys: str) -> None:
        """Remove keys in the order given; one that is not there is passed over.

        A key that ends in `/` is a prefix: if nothing is left below it, the store may forget it.
        """

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the names directly below `prefix` that sort after `after`, in byte order."""

    def lock(self, name: str, *, shared: bool) -> AbstractContextManager[None]:
        """Hold a lock over all processes of the store. Nobody takes a second one while holding one.

        Waiting exclusive holders get their turn however many shared ones come.
        """
