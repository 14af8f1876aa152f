"""Whether a registry that was started again still has what it acknowledged, asked as its clients ask."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable

from scripts.crashes.book import Book, Broken, Register
from scripts.crashes.load import INDEX
from scripts.history.client import MANIFEST, Client, digest_of

_ACCEPT = {"Accept": f"{MANIFEST}, {INDEX}"}
_PAGE = 1000


class Judge:
    """Asks one running registry. What it has read once it does not ask for again."""

    def __init__(self, client: Client) -> None:
        self.asked = 0
        self._client = client
        self._whole: set[tuple[str, str]] = set()
        self._blobs: set[tuple[str, str]] = set()

    def check_changed(self, books: Collection[Book], chance: random.Random, sample: int) -> None:
        """Check what changed since the last time, and a sample of the rest. Raises `Broken`."""
        for book in books:
            others = [*book.living(), *book.gone]
            self.check(book, book.changed.union(chance.sample(others, min(len(others), sample))))
            book.changed.clear()

    def check(self, book: Book, registers: Iterable[Register]) -> None:
        """Read registers, compare each with what the book knows, and settle it there. Raises `Broken`."""
        for register in sorted(registers):
            found = self._read(register)
            book.compare(register, found)
            book.settle(register, found)

    def check_lists(self, books: Collection[Book], names: Iterable[str]) -> None:
        """See that the lists of tags are those of the books, which were settled. Raises `Broken`."""
        for name in names:
            expected = {register.key for book in books for register in book.held("tag", name)}
            if (listed := self._tags(name)) != expected:
                raise Broken(f"the tags of {name} lack {expected - listed} and have {listed - expected} too many")

    def _tags(self, name: str) -> set[str]:
        answer = self._get(f"/v2/{name}/tags/list?n={_PAGE}")
        return set() if answer is None else set(json.loads(answer)["tags"] or [])

    def _read(self, register: Register) -> str | None:
        if register.kind == "blob":
            return register.key if self._has_blob(register.name, register.key) else None
        if register.kind == "referrer":
            return register.key if self._lists_referrer(register.name, *register.key.split()) else None
        path = f"/v2/{register.name}/manifests/{register.key}"
        body = self._get(path)
        if body is None:
            return None
        digest = digest_of(body)
        if register.kind == "manifest" and digest != register.key:
            raise Broken(f"{path} is served with the digest {digest}")
        self._check_whole(register.name, body, digest)
        return digest

    def _check_whole(self, name: str, body: bytes, digest: str) -> None:
        """See that all is there that a manifest or index names."""
        if (name, digest) in self._whole:
            return
        document = json.loads(body)
        for one in (*document.get("layers", ()), *([document["config"]] if "config" in document else ())):
            if not self._has_blob(name, one["digest"]):
                raise Broken(f"{name} has the manifest {digest} without its blob {one['digest']}")
        for one in document.get("manifests", ()):
            if self._get(f"/v2/{name}/manifests/{one['digest']}") is None:
                raise Broken(f"{name} has the index {digest} without its child {one['digest']}")
        self._whole.add((name, digest))

    def _lists_referrer(self, name: str, subject: str, digest: str) -> bool:
        listed = json.loads(self._get(f"/v2/{name}/referrers/{subject}") or b"{}").get("manifests", ())
        return digest in [one["digest"] for one in listed]

    def _has_blob(self, name: str, digest: str) -> bool:
        if (name, digest) in self._blobs:
            return True
        body = self._get(f"/v2/{name}/blobs/{digest}")
        if body is None:
            return False
        if digest_of(body) != digest:
            raise Broken(f"the blob {digest} of {name} is served with the digest {digest_of(body)}")
        self._blobs.add((name, digest))
        return True

    def _get(self, path: str) -> bytes | None:
        self.asked += 1
        answer = self._client.expect(self._client.request("GET", path, headers=_ACCEPT), 200, 404)
        return answer.body if answer.status == 200 else None
