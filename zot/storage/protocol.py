"""What every driver can do, and how it fails.

A key is a relative path of ASCII components joined by `/`. A document is a small value that is read and replaced whole;
content is a large value that is written once and then only read. Several keys may stand for the same content: those
that were put or linked with the same `shared` key, which is the driver's own and stands for nothing itself.

Whatever a method has done when it returns is durable, unless its sentence says otherwise or the store was opened with
`commit: false`. `new_directory` says that the last component but one of the key may be as new as the key itself,
perhaps made by another process a moment ago, so that a driver with directories makes that name durable too.

    StorageError
      NotFound     the key stands for nothing
      Busy         somebody else is writing to this upload
      CannotLink   this store can't let two keys share the content (limit of links, another device, not supported)
      Full         no space, no inodes or no quota left; what was written of this call is gone
      Damaged      content is not what the store was given
      Unavailable  the store doesn't answer, or fails
        Lapsed     a lock could not be kept
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Literal, NamedTuple, Protocol

Change = Callable[[bytes | None], bytes]


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


class Lapsed(Unavailable):
    """A lock could not be kept until it was given back, so what was done under it must not be acknowledged."""


class Stat(NamedTuple):
    """Size in bytes; when it was last changed or asked for, in seconds since 1970; whether it may have been altered."""

    size: int
    modified: float
    suspect: bool = False


class Content(NamedTuple):
    """Opened content and its whole size in bytes; the caller closes the file.

    It is suspect if its size or time differ from what the store gave it, as if another program had written to it.
    """

    file: BinaryIO
    size: int
    suspect: bool = False


class Idle(NamedTuple):
    """Content that goes unless somebody has cared for it since `modified`; `shared` as `Storage.remove` has it."""

    key: str
    shared: str
    modified: float


class Leftover(NamedTuple):
    """Something of the driver's own that a crash left, or that was set aside. Size in bytes."""

    kind: Literal["temporary", "shared", "damaged"]
    name: str
    size: int
    modified: float


class Upload(Protocol):
    """Content that is still arriving. Written by one request at a time, on all workers and replicas."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    @property
    def written(self) -> float:
        """When it was last written to, in seconds since 1970; when it began, if it never was."""

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

    def describe(self, keys: Iterable[str], *, enough: float = 0.0) -> Iterator[Stat | None]:
        """Describe contents in the order of their keys, None for what is not there; quicker than one by one.

        Of what nobody has cared for since `enough`, in seconds since 1970, no more may be told than that, and the size:
        `modified` is then a time after which nobody has, and whether it is suspect is not looked at.
        """

    def open(self, key: str, start: int = 0) -> Content:
        """Open content from byte `start`; on disk a real file, so that sendfile works. Raises `NotFound`."""

    def upload(self, name: str, *, create: bool = False) -> AbstractContextManager[Upload]:
        """Take hold of an upload, making it first if `create`. Raises `NotFound` and `Busy`.

        If another request writes to it meanwhile, one of them gets `Busy`, at the latest when it lets go; its bytes do
        not count.
        """

    def uploads(self) -> Iterator[tuple[str, float]]:
        """Yield the uploads that are there, each with the time of its last write, in seconds since 1970."""

    def put(self, key: str, upload: Upload, *, shared: str | None = None, new_directory: bool = False) -> None:
        """Let the key stand for a finished and verified upload, which ends with that.

        With `shared` the content that others have put under that name is taken instead, if there is any. Content of
        the same size that is there already stays, as if just changed, unless it is suspect; of another size it is
        damaged, and replaced.
        """

    def link(self, key: str, to: str | None, *, shared: str, new_directory: bool = False) -> None:
        """Let the key stand for the content of `to`; None means whatever others have put under `shared`.

        Content of the same size that is there already stays, as if just changed. Raises `NotFound` if there is nothing
        to link to, and `CannotLink`.
        """

    def is_shared(self, shared: str) -> bool:
        """Tell whether `link` would find content under this name."""

    def remove(self, key: str, *, shared: str) -> None:
        """Let the key stand for nothing, and forget its content when no other key shares it."""

    def remove_idle(self, contents: Iterable[Idle], removed: list[str]) -> None:
        """Remove content that was neither changed nor asked for since its time; adds the keys that went to `removed`.

        What is gone is gone durably when this returns, all of it together: cheaper than one by one. If it raises, also
        because `contents` did, `removed` has what had gone before.
        """

    def vouch(self, key: str) -> None:
        """Take content as it is now for what the store was given: it is suspect no longer."""

    def set_aside(self, key: str, *, shared: str) -> None:
        """Let the key stand for nothing, and keep its damaged content where nobody is served it, or shares it anew."""

    def read(self, key: str) -> bytes:
        """Return a document. Raises `NotFound`."""

    def write(self, key: str, document: bytes, *, once: bool = False, new_directory: bool = False) -> None:
        """Let the key stand for a document, at once and whatever it stood for; for what never changes.

        With `once` a document that is there already stays.
        """

    def write_many(self, documents: Iterable[tuple[str, bytes]]) -> None:
        """Write documents, in no order, which are durable together when this returns: cheaper than one by one."""

    def touch(self, key: str) -> None:
        """Renew when a document or content was last changed; needs no space. Raises `NotFound`."""

    def update(self, key: str, change: Change, *, new_directory: bool = False) -> None:
        """Replace a document atomically by what `change` makes of it; it gets None if there is no document.

        Documents are removed by `delete`, under a lock that keeps others from changing them. An exception from `change`
        leaves the document as it is and is passed on. `change` may be called several times.
        """

    def leftovers(self, before: float, *, shared: str) -> Iterator[Leftover]:
        """Yield what no key stands for and nobody has cared for since `before`, in seconds since 1970.

        Below the prefix `shared` are the names that content was shared by.
        """

    def discard(self, leftover: Leftover) -> bool:
        """Remove it, unless a key stands for it by now; True if it is gone by this."""

    def make_prefixes(self, *prefixes: str) -> None:
        """Make sure that a key directly below one of these prefixes is durable when its method returns.

        For the prefixes that keys of many processes share; a store without directories has nothing to do.
        """

    def delete(self, *keys: str) -> None:
        """Remove keys in the order given, but those that follow one another below one prefix together.

        One that is not there is passed over.

        A key that ends in `/` is a prefix: if nothing is left below it, the store may forget it.
        """

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the names directly below `prefix` that sort after `after`, in byte order."""

    def lock(self, name: str, *, shared: bool) -> AbstractContextManager[None]:
        """Hold a lock over all processes of the store. Nobody takes a second one of a kind while holding one.

        Waiting exclusive holders get their turn however many shared ones come. A store may bound the waiting, and raise
        `Unavailable`, and may lose a lock, and raise `Lapsed`: from then on whatever its holder wants to change, too.
        """
