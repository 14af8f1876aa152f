"""Content that several keys share, and that goes with the last of them.

The document at the shared key says where the bytes are. Every holder leaves a link before it looks at that document,
and whoever removes a key leaves a mark before it looks for links. So one of them always sees the other: a remover that
sees a link lets the content be, and a holder that sees a mark keeps a copy of its own, which costs space and never a
blob. A mark is void after a while, as its owner may have died; the owner goes no further long before that.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress

from zot.storage.protocol import NotFound, Unavailable
from zot.storage.s3 import pointers
from zot.storage.s3.bucket import ABSENT, Bucket
from zot.storage.s3.client import Conflict
from zot.storage.s3.locks import LAPSES_AFTER, VOID_AFTER, now
from zot.storage.s3.pointers import Pointer


class Sharing:
    """Links and marks below the driver's own prefix."""

    def __init__(self, bucket: Bucket, private: str) -> None:
        self._bucket = bucket
        self._private = private

    def join(self, shared: str, key: str) -> bool:
        """Leave a link for a key; False, and no link, if somebody may be removing the content just now."""
        link = self._link(shared, key)
        self._bucket.put(link, key.encode())
        for page in self._bucket.list(self._removing(shared)):
            if any(age < VOID_AFTER for age in page.ages().values()):
                self._bucket.delete(link)
                return False
        return True

    def leave(self, shared: str, key: str) -> None:
        """Take a key's link away, whose key stands for nothing or for content of its own."""
        self._bucket.delete(self._link(shared, key))

    def find(self, shared: str) -> Pointer | None:
        """Return what holders share, if its bytes are there."""
        try:
            pointer = pointers.decode(self._bucket.read(shared)[0])
            return pointer if self._bucket.head(pointer.data).size == pointer.size else None
        except NotFound:
            return None

    def publish(self, shared: str, own: Pointer) -> Pointer:
        """Let holders share this content, or return what somebody else made them share first; the caller has joined."""
        offered = own._replace(shared=shared)
        try:
            self._bucket.put(shared, offered.encode(), only_if=ABSENT)
        except Conflict:
            found = self.find(shared)
            if found is not None and found.size == own.size:
                return found
            # What it names is gone or damaged.
            self._bucket.put(shared, offered.encode())
        return offered

    def drop(self, pointer: Pointer, key: str) -> None:
        """Remove the bytes that a key stood for, which it does no more, unless another key shares them."""
        if not pointer.shared:
            self._bucket.delete(pointer.data)
            return
        begun = now()
        mark = f"{self._removing(pointer.shared)}{uuid.uuid4()}"
        self._bucket.put(mark, b"")
        try:
            self.leave(pointer.shared, key)
            if not self._is_linked(pointer.shared):
                self._forget(pointer, begun)
        finally:
            self._bucket.delete(mark)

    def retire(self, pointer: Pointer) -> None:
        """Let nobody new share this content; those that do keep it."""
        if pointer.shared:
            found = self.find(pointer.shared)
            if found is None or found.data == pointer.data:
                self._bucket.delete(pointer.shared)

    def _forget(self, pointer: Pointer, begun: float) -> None:
        """Remove what nobody is linked to; nobody new shares it while the mark is there."""
        doomed = [pointer.data]
        with suppress(NotFound):
            doomed = [pointer.shared, *{pointer.data, pointers.decode(self._bucket.read(pointer.shared)[0]).data}]
        for key in doomed:
            if now() - begun > LAPSES_AFTER:
                raise Unavailable("removing content took so long that others may share it again")
            self._bucket.delete(key)

    def _is_linked(self, shared: str) -> bool:
        return any(page.names for page in self._bucket.list(self._links(shared), most=1))

    def _links(self, shared: str) -> str:
        return f"{self._private}/links/{self._flat(shared)}/"

    def _removing(self, shared: str) -> str:
        return f"{self._private}/removing/{self._flat(shared)}/"

    def _link(self, shared: str, key: str) -> str:
        return f"{self._links(shared)}{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    def _flat(self, shared: str) -> str:
        """Spell a key as one component."""
        return shared.removeprefix(f"{self._private}/").replace("/", "-")
