"""Image layouts as other programs write them, made by no program of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.images import OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, manifest

REF_NAME = "org.opencontainers.image.ref.name"
Document = dict[str, Any]


class LayoutWriter:
    """An image layout in a directory; nothing is listed before `write`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: list[Document] = []
        self.fields: Document = {"schemaVersion": 2}
        (root / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    @property
    def index(self) -> Path:
        """The path of its index.json."""
        return self.root / "index.json"

    def read(self) -> Document:
        """Return what index.json says."""
        found: Document = json.loads(self.index.read_bytes())
        return found

    def load(self) -> None:
        """Go on from what index.json says, as other programs do: all that they know not is kept."""
        found = self.read()
        self.entries = found.pop("manifests")
        self.fields = found

    def blob(self, content: bytes) -> bytes:
        """Store a blob."""
        self.path(content).write_bytes(content)
        return content

    def path(self, content: bytes) -> Path:
        """Return where a blob lies."""
        return self.root / "blobs" / digest_of(content).replace(":", "/")

    def image(self, layer: bytes, *tags: str, **more: Any) -> bytes:
        """Store an image of one layer, and list it under each tag; `more` are further fields of its manifest."""
        body = self.blob(manifest(self.blob(b"{}"), (self.blob(layer),), **more))
        for tag in tags:
            self.add(body, OCI_MANIFEST, tag)
        return body

    def multi(self, *children: bytes, tag: str) -> bytes:
        """Store an index of images, and list only that."""
        listed = [descriptor(child, OCI_MANIFEST) for child in children]
        body = self.blob(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode())
        self.add(body, OCI_INDEX, tag)
        return body

    def add(self, body: bytes, media_type: str, tag: str | None = None, **more: Any) -> None:
        """List something, in the place of what had the tag."""
        if tag is not None:
            self.remove(tag)
            more["annotations"] = more.get("annotations", {}) | {REF_NAME: tag}
        self.entries.append(descriptor(body, media_type, **more))

    def remove(self, tag: str) -> None:
        """List a tag no more."""
        self.entries = [entry for entry in self.entries if tag_of(entry) != tag]

    def write(self) -> None:
        """Write index.json in place, as skopeo does."""
        self.index.write_text(json.dumps(self.fields | {"manifests": self.entries}))

    def age(self, seconds: float) -> None:
        """Let index.json be as old as that."""
        times = os.stat(self.index)
        os.utime(self.index, (times.st_atime - seconds, times.st_mtime - seconds))


def tag_of(entry: Document) -> str | None:
    """Return the tag of an entry."""
    found: str | None = entry.get("annotations", {}).get(REF_NAME)
    return found


def tags_of(index: Document) -> dict[str, str]:
    """Return the digest of each tag of an index."""
    return {tag: entry["digest"] for entry in index["manifests"] if (tag := tag_of(entry)) is not None}
