"""Clients that know what must be there, beside a garbage collection that never pauses and waits for nothing.

With `gcDelay` 0 whatever nothing leads to may go at once: a blob before the manifest that is to name it comes, a
manifest before its index. So a client pushes those again when the registry says that they are missing; in the history
of distribution#3544 it did not say so. What a tag leads to, through an index too, must be there, whatever others delete
that share it: each client moves its own tags only, and so knows what they stand for.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from scripts.history.client import CONFIG, MANIFEST, Answer, Client, Lost, digest_of, manifest
from scripts.history.recorder import Violation
from scripts.history.run import Run

INDEX = "application/vnd.oci.image.index.v1+json"
_LAYERS = [f"shared layer {number}".encode() * 1000 for number in range(6)]
_TRIES = 60

T = TypeVar("T")


class Owner:
    """One client, its tags, and what each of them leads to: the bodies of manifests and the contents of blobs."""

    def __init__(self, run: Run, client: Client, chance: random.Random, number: int) -> None:
        self._client = client
        self._chance = chance
        self._number = number
        self._names = [f"{run.prefix}/garbage", f"{run.prefix}/garbage/{number % 3}"]
        self._steps = 0
        self._tags: dict[tuple[str, str], dict[str, bytes]] = {}
        self.counts = {"pulls": 0, "missing when pushed": 0}

    def step(self) -> None:
        """Do one thing, then pull one of the own tags."""
        self._steps += 1
        kinds = [self._push, self._push, self._push_index, self._retag, self._delete_tag, self._delete_digest]
        self._chance.choice(kinds)()
        self._pull()

    def _place(self) -> tuple[str, str]:
        return self._chance.choice(self._names), f"t{self._number}-{self._chance.randrange(3)}"

    def _image(self, name: str) -> dict[str, bytes]:
        """Push an image by its digest; returns what it needs, the image itself first."""
        layers = self._chance.sample(_LAYERS, self._chance.randrange(1, 4))
        layers.append(f"layer {self._number} {self._chance.randrange(5)}".encode())
        body = manifest(*layers, note=f"{self._number}-{self._steps}-{self._chance.random()}")
        parts = {digest_of(one): one for one in (body, CONFIG, *layers)}
        self._put(name, digest_of(body), parts, MANIFEST)
        return parts

    def _push(self) -> None:
        name, tag = self._place()
        parts = self._image(name)
        self._put(name, tag, parts, MANIFEST)
        self._tags[name, tag] = parts

    def _push_index(self) -> None:
        """Push an index of two images; what was collected before the index named it is pushed again."""
        name, tag = self._place()
        images = [self._image(name), self._image(name)]
        listed = [
            {"mediaType": MANIFEST, "digest": digest, "size": len(body)}
            for digest, body in (next(iter(parts.items())) for parts in images)
        ]
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        whole = {digest_of(body): body}
        # A tag is moved only when the index is there with all that it lists, so that no other pull can miss any.
        self._put(name, tag, whole, INDEX)
        for parts in images:
            self._put(name, next(iter(parts)), parts, MANIFEST)
            whole |= parts
        self._tags[name, tag] = whole

    def _retag(self) -> None:
        """Give what one tag leads to a second one."""
        if not self._tags:
            return
        (name, _), parts = self._chance.choice(list(self._tags.items()))
        tag = f"t{self._number}-{self._chance.randrange(3)}"
        body = next(iter(parts.values()))
        self._put(name, tag, {digest_of(body): body}, INDEX if b'"manifests"' in body else MANIFEST)
        self._tags[name, tag] = parts

    def _delete_tag(self) -> None:
        if self._tags:
            name, tag = self._chance.choice(list(self._tags))
            self._until_done(lambda: self._request("DELETE", f"/v2/{name}/manifests/{tag}", 202, 404))
            del self._tags[name, tag]

    def _delete_digest(self) -> None:
        """Delete a manifest with all its tags; the registry refuses what an index lists."""
        if not self._tags:
            return
        (name, _), parts = self._chance.choice(list(self._tags.items()))
        digest = next(iter(parts))
        answer = self._until_done(lambda: self._request("DELETE", f"/v2/{name}/manifests/{digest}", 202, 404, 405))
        if answer.status != 405:
            for place in [place for place, known in self._tags.items() if place[0] == name and digest in known]:
                if next(iter(self._tags[place])) == digest:
                    del self._tags[place]

    def _pull(self) -> None:
        """Pull one tag whole: nobody else moves it, so it stands for what was put last, and leads to all of it."""
        if not self._tags:
            return
        (name, tag), parts = self._chance.choice(list(self._tags.items()))
        digest = next(iter(parts))
        path = f"/v2/{name}/manifests"
        accept = {"Accept": f"{MANIFEST}, {INDEX}"}
        got = self._until_done(lambda: self._client.request("GET", f"{path}/{tag}", headers=accept))
        if (got.status, digest_of(got.body)) != (200, digest):
            raise Violation(f"{name}:{tag} answers {got.status} {got.body[:200]!r} and stands for {digest}")
        for part, content in list(parts.items())[1:]:
            kind = "manifests" if content[:1] == b"{" and b"schemaVersion" in content else "blobs"
            got = self._until_done(partial(self._client.request, "GET", f"/v2/{name}/{kind}/{part}", headers=accept))
            if (got.status, got.body) != (200, content):
                raise Violation(f"{kind} {part} of {name}:{tag} answers {got.status} {got.body[:200]!r}")
        self.counts["pulls"] += 1

    def _put(self, name: str, reference: str, parts: dict[str, bytes], media_type: str) -> None:
        """Put a manifest, the first of the parts; what the registry says is missing of the others is pushed again."""
        body = next(iter(parts.values()))
        blobs = [content for content in parts.values() if content is not body]
        headers = {"Content-Type": media_type}
        for tried in range(_TRIES):
            for content in blobs:
                self._until_done(partial(self._push_unless_there, name, content))
            answer = self._until_done(
                lambda: self._request("PUT", f"/v2/{name}/manifests/{reference}", 201, 400, body=body, headers=headers)
            )
            if answer.status == 201:
                return
            self.counts["missing when pushed"] += 1
            time.sleep(self._chance.random() * 0.02 * tried)
        raise Violation(f"a manifest of {name} could not be pushed {_TRIES} times: {answer.body[:300]!r}")

    def _push_unless_there(self, name: str, content: bytes) -> object:
        """Ask for a blob first, as docker does, and push it if it is not there."""
        at = f"/v2/{name}/blobs/{digest_of(content)}"
        if self._request("HEAD", at, 200, 404).status == 404:
            return self._client.push_blob(name, content)
        return None

    def _request(
        self, method: str, path: str, *statuses: int, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return self._client.expect(self._client.request(method, path, body, headers), *statuses)

    def _until_done(self, what: Callable[[], T]) -> T:
        """Do something again that a killed worker did not answer."""
        for _ in range(_TRIES):
            try:
                return what()
            except Lost:
                time.sleep(0.05)
        raise Violation("the server does not answer any more")


def garbage(run: Run) -> str:
    """Push, re-tag, delete and pull beside a collection without pause: what a tag leads to is there."""
    goes_on = run.until_end()
    totals = {"pulls": 0, "missing when pushed": 0}

    def work(client: Client, chance: random.Random, number: int) -> None:
        owner = Owner(run, client, chance, number)
        try:
            while goes_on():
                owner.step()
        finally:
            with run.guard:
                for key, count in owner.counts.items():
                    totals[key] += count

    run.in_parallel(work)
    missing = totals["missing when pushed"]
    return f"{totals['pulls']} whole pulls, {missing} times a blob was collected before its manifest came"
