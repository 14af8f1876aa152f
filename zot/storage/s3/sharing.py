"""Content that several keys share, and that goes with the last of them.

The document at the shared key says where the bytes are. Every holder leaves a link before it looks at that document,
and whoever removes a key leaves a mark before it looks for links. So one of them always sees the other: a remover that
sees a link lets the content be, and a holder that sees a mark keeps a copy of its own, which costs space and never a
blob. A mark is void after a while, as its owner may have died; the owner goes no further long before that.

Each holder's link is its own, so that nobody takes away the one by which another request shares content by the same
key. A link too many keeps content, and is found by a full pass of garbage collection.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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

    def flat(self, shared: str) -> str:
        """Spell the key of what is shared as one component."""
        return shared.removeprefix(f"{self._private}/").replace("/", "-")

    def links_of(self, shared: str, key: str) -> str:
        """Return what the links begin with that say that a key shares some content."""
        return f"{self._links(shared)}{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    def join(self, shared: str, key: str) -> str | None:
        """Leave a link for a key and return it; None, and no link, if somebody may be removing the content just now."""
        link = f"{self.links_of(shared, key)}-{uuid.uuid4()}"
        self._bucket.put(link, json.dumps({"key": key, "shared": shared}).encode())
        for page in self._bucket.list(self._removing(shared)):
            if any(age < VOID_AFTER for age in page.ages().values()):
                self.leave(link)
                return None
        return link

    def leave(self, link: str) -> None:
        """Take away the link of a key that did not come to share the content."""
        self._bucket.delete(link)

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

    def held(self, pointer: Pointer, key: str) -> list[str]:
        """Return the links by which a key shares what it stands for."""
        return [link.key for link in self._bucket.walk(self.links_of(pointer.shared, key))] if pointer.shared else []

    def drop(self, pointer: Pointer, links: list[str]) -> None:
        """Remove the bytes that a key stood for, which it does no more, unless somebody else shares them.

        `links` are those that it had before it went: one that came later is of whoever has put it anew.
        """
        if not pointer.shared:
            self._bucket.delete(pointer.data)
            return
        with self._marked(pointer.shared) as begun:
            for link in links:
                self._bucket.delete(link)
            if not self._is_linked(pointer.shared):
                self._forget(pointer.shared, {pointer.data}, begun)

    def drop_link(self, link: str) -> bool:
        """Remove an old link, and what nobody is linked to then; False if its key shares the content."""
        try:
            said = json.loads(self._bucket.read(link)[0])
        except NotFound:
            return False
        with self._marked(said["shared"]) as begun:
            if self._shares(said["key"], said["shared"]):
                return False
            self._bucket.delete(link)
            if not self._is_linked(said["shared"]):
                self._forget(said["shared"], set(), begun)
        return True

    def drop_unlinked(self, shared: str) -> bool:
        """Remove the document that nobody is linked to, and the bytes that it names; False if somebody is."""
        with self._marked(shared) as begun:
            if self._is_linked(shared):
                return False
            self._forget(shared, set(), begun)
        return True

    def retire(self, pointer: Pointer) -> None:
        """Let nobody new share this content; those that do keep it."""
        if pointer.shared:
            found = self.find(pointer.shared)
            if found is None or found.data == pointer.data:
                self._bucket.delete(pointer.shared)

    @contextmanager
    def _marked(self, shared: str) -> Iterator[float]:
        """Keep others from beginning to share this content; yields since when."""
        begun = now()
        mark = f"{self._removing(shared)}{uuid.uuid4()}"
        self._bucket.put(mark, b"")
        try:
            yield begun
        finally:
            self._bucket.delete(mark)

    def _forget(self, shared: str, data: set[str], begun: float) -> None:
        """Remove what nobody is linked to; nobody new shares it while the mark is there."""
        with suppress(NotFound):
            data = data | {pointers.decode(self._bucket.read(shared)[0]).data}
        for key in (shared, *data):
            if now() - begun > LAPSES_AFTER:
                raise Unavailable("removing content took so long that others may share it again")
            self._bucket.delete(key)

    def _shares(self, key: str, shared: str) -> bool:
        try:
            pointer = pointers.of_metadata(self._bucket.head(key).metadata)
        except NotFound:
            return False
        return pointer is not None and pointer.shared == shared

    def _is_linked(self, shared: str) -> bool:
        return any(page.names for page in self._bucket.list(self._links(shared), most=1))

    def _links(self, shared: str) -> str:
        return f"{self._private}/links/{self.flat(shared)}/"

    def _removing(self, shared: str) -> str:
        return f"{self._private}/removing/{self.flat(shared)}/"
