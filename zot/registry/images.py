"""Images as a person looks at them: platforms, layers, sizes, and what refers to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from zot.errors import BlobUnknown, ManifestUnknown
from zot.oci import digest as digests
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.registry import blobs, facts, manifests, paths, referrers
from zot.registry.store import Store
from zot.storage.protocol import NotFound

# A config is a small document; whatever is larger than this is none, and is not read.
_LARGEST_CONFIG = 4 * 1024 * 1024


@dataclass(frozen=True)
class Part:
    """A config or layer: what its descriptor says."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class Image:
    """A manifest or index with what it is made of; sizes are in bytes.

    `size` is that of the manifest itself. A child that is not here (a sparse index) has no parts and `is_here` False.
    """

    media_type: str
    digest: str
    size: int
    platform: str = ""
    artifact_type: str = ""
    config: Part | None = None
    layers: tuple[Part, ...] = ()
    children: tuple[Image, ...] = ()
    is_here: bool = True

    @property
    def total(self) -> int:
        """Bytes of the manifest and of all that it names and that is described here, each counted once."""
        return sum(self._sizes().values())

    def _sizes(self) -> dict[str, int]:
        sizes = {self.digest: self.size} if self.is_here else {}
        sizes |= {part.digest: part.size for part in (*self.layers, *([self.config] if self.config else []))}
        for child in self.children:
            sizes |= child._sizes()  # noqa: SLF001  # of its own class
        return sizes


@dataclass(frozen=True)
class Shown:
    """An image in its repository: its tags in byte order, when and by whom it was pushed, its referrers."""

    repository: str
    tags: tuple[str, ...]
    pushed: float
    by: str
    image: Image
    referrers: tuple[dict[str, object], ...]


def show(store: Store, name: str, reference: Digest | str) -> Shown:
    """Describe an image. Raises `ManifestUnknown`, or `NameUnknown` if there is no such repository."""
    found = manifests.get(store, name, reference)
    fact = facts.decode_manifest(store.storage.read(paths.manifest(name, found.digest)))
    return Shown(
        repository=name,
        tags=tuple(manifests.tags_of(store, name, found.digest)),
        pushed=fact.pushed,
        by=fact.by,
        image=_describe(store, name, found, ""),
        referrers=tuple(referrers.page(store, name, found.digest, frozenset(), "").descriptors),
    )


def _describe(store: Store, name: str, found: manifests.Found, platform: str) -> Image:
    read = json.loads(found.body)
    if found.media_type in media_types.INDEXES:
        return Image(
            media_type=found.media_type,
            digest=str(found.digest),
            size=len(found.body),
            artifact_type=read.get("artifactType") or "",
            children=tuple(_child(store, name, child) for child in read.get("manifests") or []),
        )
    config = _part(read["config"])
    return Image(
        media_type=found.media_type,
        digest=str(found.digest),
        size=len(found.body),
        platform=platform or _platform_of(store, name, config),
        artifact_type=read.get("artifactType") or "",
        config=config,
        layers=tuple(_part(layer) for layer in read.get("layers") or []),
    )


def _child(store: Store, name: str, descriptor: dict[str, Any]) -> Image:
    platform = _platform(descriptor.get("platform") or {})
    try:
        found = manifests.get(store, name, digests.parse(descriptor["digest"]))
    except ManifestUnknown:
        part = _part(descriptor)
        return Image(part.media_type, part.digest, part.size, platform, is_here=False)
    return _describe(store, name, found, platform)


def _part(descriptor: dict[str, Any]) -> Part:
    return Part(descriptor["mediaType"], descriptor["digest"], descriptor["size"])


def _platform_of(store: Store, name: str, config: Part) -> str:
    """Read the platform from an image's config; empty for what is no image (image specification, `config.md`)."""
    if config.size > _LARGEST_CONFIG:
        return ""
    try:
        with blobs.open_blob(store, name, digests.parse(config.digest)).file as file:
            read = json.loads(file.read(_LARGEST_CONFIG))
    except (BlobUnknown, NotFound, ValueError):
        return ""
    return _platform(read) if isinstance(read, dict) else ""


def _platform(read: dict[str, Any]) -> str:
    named = (read.get("os"), read.get("architecture"), read.get("variant"))
    return "/".join(str(part) for part in named if part)
