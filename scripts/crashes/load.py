"""What the clients do until the crash: each step asks for something and notes what was acknowledged."""

from __future__ import annotations

import json
import random
from typing import NamedTuple

from scripts.crashes.book import Book, Register
from scripts.history.client import MANIFEST, Client, digest_of

INDEX = "application/vnd.oci.image.index.v1+json"
_TAGS = 6
_MOST_IMAGES = 12
# So many of the layers are large, where there is something to be tried with that.
_LARGE = 0.15
# Contents that several repositories have in common, so that they share files and mount from each other.
_COMMON = [(f"common {number} " * size).encode() for number, size in enumerate([30, 300, 3000, 30, 300, 3000])]


class Image(NamedTuple):
    """A manifest or an index: its body, and the digests that its repository has to have for it."""

    name: str
    body: bytes
    media_type: str
    needs: frozenset[str]
    subject: str = ""

    @property
    def digest(self) -> str:
        """The digest of the body."""
        return digest_of(self.body)


class Hand:
    """One client. It writes to a repository of its own, and to its own tags and digests of one that all share.

    Now and then a layer has `large` bytes, if that is not 0.
    """

    def __init__(self, number: int, clients: int, prefix: str, seed: int, large: int = 0) -> None:
        self.book = Book()
        self.own, self.shared = f"{prefix}/own{number}", f"{prefix}/shared"
        self._others = [f"{prefix}/own{other}" for other in range(clients) if other != number]
        self._number = number
        self._large = large
        self._chance = random.Random(seed * 1000 + number)  # noqa: S311  # chance decides what clients do, and nothing else
        self._images: dict[tuple[str, str], Image] = {}
        self._step = 0

    def step(self, client: Client) -> None:
        """Do one thing. Raises `Lost` or `UnexpectedAnswer` as the client does."""
        self._step += 1
        name = self._chance.choice([self.own, self.shared])
        steps = [self._push, self._move, self._delete_tag, self._delete_digest, self._delete_blob, self._mount]
        weights = [6, 5, 2, 2, 4, 2] if len(self._living(name)) < _MOST_IMAGES else [0, 3, 1, 6, 4, 1]
        self._chance.choices([*steps, self._abandon, self._push_again], [*weights, 1, 1])[0](client, name)

    def _push(self, client: Client, name: str) -> None:
        """Push an image that is new, an index over images, or something that refers to one."""
        living = self._living(name)
        kind = self._chance.choices(["image", "index", "referrer"], [6, 1, 2])[0] if living else "image"
        if kind == "index":
            children = self._chance.sample(living, min(len(living), 2))
            document: dict[str, object] = {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [_descriptor(child.body, child.media_type) for child in children],
                "annotations": {"note": self._note()},
            }
            image = Image(name, _dump(document), INDEX, frozenset(child.digest for child in children))
        else:
            subject = self._chance.choice(living) if kind == "referrer" else None
            image = self._new_image(client, name, subject)
        self._put(client, image)

    def _new_image(self, client: Client, name: str, subject: Image | None) -> Image:
        config = _dump({"hand": self._number, "variant": self._chance.randrange(3)})
        layers = [self._layer(name) for _ in range(self._chance.randrange(3))]
        for content in (config, *layers):
            self._push_blob(client, name, content)
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [_descriptor(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
            "annotations": {"note": self._note()},
        }
        if subject is not None:
            document["subject"] = _descriptor(subject.body, subject.media_type)
        needs = frozenset(digest_of(content) for content in (config, *layers))
        return Image(name, _dump(document), MANIFEST, needs, subject.digest if subject else "")

    def _layer(self, name: str) -> bytes:
        if self._large and self._chance.random() < _LARGE:
            common = name == self.own and self._chance.random() < 0.5
            note = f"large {'and common' if common else self._note()} ".encode()
            return note * (self._large // len(note) + 1)
        if name == self.own and self._chance.random() < 0.5:
            return self._chance.choice(_COMMON)
        return f"{self._note()} {self._chance.random()} ".encode() * self._chance.choice([1, 10, 100, 1000])

    def _push_blob(self, client: Client, name: str, content: bytes) -> None:
        """Push a blob in one request, two or three, also if it is there already."""
        digest = digest_of(content)
        register = Register("blob", name, digest)
        if self.book.possible(register) == {digest} and self._chance.random() < 0.8:
            return
        uploads = f"/v2/{name}/blobs/uploads/"
        with self.book.attempt({register: digest}):
            requests = self._chance.randrange(1, 4)
            if requests == 1:
                client.expect(client.request("POST", f"{uploads}?digest={digest}", content), 201)
                return
            session = client.expect(client.request("POST", uploads), 202).headers["location"]
            if requests == 3:
                client.expect(client.request("PATCH", session, content), 202)
                content = b""
            client.expect(client.request("PUT", f"{session}?digest={digest}", content), 201)

    def _put(self, client: Client, image: Image) -> None:
        name, digest = image.name, image.digest
        reference = self._tag() if self._chance.random() < 0.8 else digest
        self._images[name, digest] = image
        effects = dict[Register, str | None]((one, one.key) for one in _registers(image))
        if reference != digest:
            effects[Register("tag", name, reference)] = digest
        path, headers = f"/v2/{name}/manifests/{reference}", {"Content-Type": image.media_type}
        with self.book.attempt(effects):
            client.expect(client.request("PUT", path, image.body, headers), 201)

    def _move(self, client: Client, name: str) -> None:
        """Let a tag stand for another image that is there."""
        if living := self._living(name):
            self._put(client, self._chance.choice(living))

    def _push_again(self, client: Client, name: str) -> None:
        """Push an image that was deleted, if all that it needs is there."""
        for image in [one for one in self._images.values() if one.name == name and one not in self._living(name)]:
            if image.media_type == MANIFEST and all(self._has(name, digest) for digest in image.needs):
                self._put(client, image)
                return

    def _delete(self, client: Client, path: str, *registers: Register) -> None:
        """Delete what the first register holds, and the others with it."""
        missing = [404] if None in self.book.possible(registers[0]) else []
        with self.book.attempt(dict.fromkeys(registers)):
            client.expect(client.request("DELETE", path), 202, *missing)

    def _delete_tag(self, client: Client, name: str) -> None:
        tags = self.book.held("tag", name)
        if tags:
            tag = self._chance.choice(tags)
            self._delete(client, f"/v2/{name}/manifests/{tag.key}", tag)

    def _delete_digest(self, client: Client, name: str) -> None:
        """Delete a manifest that no index lists, and with it its tags; its content stays a blob."""
        living = self._living(name)
        children = {digest for one in living if one.media_type == INDEX for digest in one.needs}
        if not (single := [one for one in living if one.digest not in children]):
            return
        image = self._chance.choice(single)
        tags = [tag for tag in self.book.held("tag", name) if image.digest in self.book.possible(tag)]
        self._delete(client, f"/v2/{name}/manifests/{image.digest}", *_registers(image)[1:], *tags)

    def _delete_blob(self, client: Client, name: str) -> None:
        """Delete what no manifest needs; and see that what one needs is not deleted."""
        living = self._living(name)
        needed = {digest for one in living for digest in (one.digest, *one.needs)}
        blobs = self.book.held("blob", name)
        if free := [blob for blob in blobs if blob.key not in needed]:
            blob = self._chance.choice(free)
            self._delete(client, f"/v2/{name}/blobs/{blob.key}", blob)
            if not self.book.holds(Register("manifest", name, blob.key)):
                self._images.pop((name, blob.key), None)
        elif living and self._chance.random() < 0.1:
            image = self._chance.choice(living)
            client.expect(client.request("DELETE", f"/v2/{name}/blobs/{image.digest}"), 405)

    def _mount(self, client: Client, _: str) -> None:
        """Mount what another client may have, and may be deleting now; upload it if it can't be mounted."""
        content = self._chance.choice(_COMMON)
        digest, uploads = digest_of(content), f"/v2/{self.own}/blobs/uploads/"
        source = self._chance.choice(self._others or [self.own])
        with self.book.attempt({Register("blob", self.own, digest): digest}):
            answer = client.expect(client.request("POST", f"{uploads}?mount={digest}&from={source}"), 201, 202)
            if answer.status == 202:
                client.expect(client.request("PUT", f"{answer.headers['location']}?digest={digest}", content), 201)

    def _abandon(self, client: Client, name: str) -> None:
        """Leave an upload behind."""
        session = client.expect(client.request("POST", f"/v2/{name}/blobs/uploads/"), 202).headers["location"]
        client.expect(client.request("PATCH", session, self._note().encode()), 202)

    def _living(self, name: str) -> list[Image]:
        return [
            image
            for image in self._images.values()
            if image.name == name and self.book.holds(Register("manifest", name, image.digest))
        ]

    def _has(self, name: str, digest: str) -> bool:
        return self.book.possible(Register("blob", name, digest)) == {digest}

    def _tag(self) -> str:
        return f"h{self._number}-t{self._chance.randrange(_TAGS)}"

    def _note(self) -> str:
        return f"client {self._number} step {self._step} {self._chance.random()}"


def _registers(image: Image) -> list[Register]:
    """Return the registers that an image fills: its content, itself, and its place in the list of referrers."""
    own = [Register(kind, image.name, image.digest) for kind in ("blob", "manifest")]
    return [*own, Register("referrer", image.name, f"{image.subject} {image.digest}")] if image.subject else own


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _dump(document: object) -> bytes:
    return json.dumps(document).encode()
