"""What lies below a root on disk: whether each file is one that somebody needs, or one that a sweep finds.

This reads the files and asks no server, so it sees what clients can't: what a crash left behind.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.crashes.book import Broken, Register
from scripts.history.client import digest_of
from zot.oci.names import decode
from zot.registry import paths

_DIGEST = r"sha\d{3}-[0-9a-f]{64,128}"
_NAME = r"[^/]+"
# Each file of the store's own is of one of these kinds; a file of another kind would never be found again.
_KINDS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "master": r"content/sha\d{3}/[0-9a-f]{2}/[0-9a-f]{64,128}",
        "repository": rf"repositories/{_NAME}",
        "tag": rf"facts/{_NAME}/tags/{_NAME}",
        "note": rf"facts/{_NAME}/tagged/{_DIGEST}/{_NAME}",
        "manifest": rf"facts/{_NAME}/manifests/{_DIGEST}",
        "index": rf"facts/{_NAME}/indexes/{_DIGEST}",
        "referrer": rf"facts/{_NAME}/referrers/{_DIGEST}/{_DIGEST}",
        "mark": rf"(?:dirty|projecting)/{_NAME}",
        "upload": rf"uploads/{_NAME}",
        "temporary file": rf"tmp/{_NAME}",
        "lock": rf"locks/{_NAME}",
        "set aside": rf"damaged/{_NAME}",
    }.items()
}
# What else the keys begin with: documents of the jobs and of the projection, which are read, and replaced, by name.
_SPELLED = frozenset(re.findall(r"\{PRIVATE\}/(\w+)", inspect.getsource(paths)))
_DOCUMENTS = _SPELLED - {"content", "facts", "repositories"}
_LAYOUT = re.compile(r"(?P<name>.+)/(?:oci-layout|index\.json|blobs/(?P<algorithm>sha\d{3})/(?P<hex>[0-9a-f]{64,128}))")


class Audit:
    """The files below a root at one moment; `left` counts what waits for a sweep, by kind.

    `foreign` is a layout that another program wrote: before the catalogue has it, it is passed by.
    """

    def __init__(self, root: Path, foreign: str = "") -> None:
        self.left: Counter[str] = Counter()
        self.tags: dict[tuple[str, str], str] = {}
        self.manifests: set[tuple[str, str]] = set()
        self.blobs: set[tuple[str, str]] = set()
        self.referrers: set[tuple[str, str]] = set()
        self._root = root
        self._indexes: set[tuple[str, str]] = set()
        self._repositories: set[str] = set()
        for path in _files(root):
            self._take(path)
        if foreign and foreign not in self._repositories:
            self._pass_by(foreign)
        # What follows from a manifest is written before it, so a crash leaves facts of one that never came to be.
        of_manifests = [*self._indexes, *((name, key.split()[1]) for name, key in self.referrers)]
        self.left["loose fact"] = sum(one not in self.manifests for one in of_manifests)

    def check(self) -> None:
        """See that what is there fits together. Raises `Broken`."""
        for name, tag in self.tags:
            digest = self.tags[name, tag]
            if (name, digest) not in self.manifests:
                raise Broken(f"on disk the tag {tag} of {name} stands for {digest}, which is no manifest there")
        for name, digest in self.manifests:
            self._check_manifest(name, digest)
        for name in {name for name, _ in self.blobs} - self._repositories:
            raise Broken(f"on disk {name} has blobs, and is no repository")

    def registers(self) -> dict[Register, str]:
        """Return what is there as registers; a referrer is only listed if it is a manifest of the repository."""
        referrers = {(name, key) for name, key in self.referrers if (name, key.split()[1]) in self.manifests}
        kinds = {"blob": self.blobs, "manifest": self.manifests, "referrer": referrers}
        found = {Register(kind, name, key): key for kind, keys in kinds.items() for name, key in keys}
        return found | {Register("tag", *tag): digest for tag, digest in self.tags.items()}

    def index(self, name: str) -> set[tuple[str, str | None]]:
        """Return what `index.json` of a repository lists: digests, each with its tag or None."""
        document = json.loads((self._root / name / "index.json").read_bytes())
        return {
            (one["digest"], one.get("annotations", {}).get("org.opencontainers.image.ref.name"))
            for one in document["manifests"]
        }

    def check_contents(self) -> None:
        """Hash every blob. Raises `Broken`."""
        for name, digest in self.blobs:
            if digest_of(self._blob(name, digest).read_bytes()) != digest:
                raise Broken(f"on disk the blob {digest} of {name} has another digest")

    def _pass_by(self, foreign: str) -> None:
        self.tags = {tag: digest for tag, digest in self.tags.items() if tag[0] != foreign}
        for held in (self.manifests, self.blobs, self.referrers, self._indexes):
            held -= {one for one in held if one[0] == foreign}

    def _take(self, path: str) -> None:
        own = path.removeprefix(f"{paths.PRIVATE}/")
        if own == path:
            layout = _LAYOUT.fullmatch(path)
            if layout is None:
                raise Broken(f"{path} is left on disk, and no sweep knows such files")
            if layout["hex"]:
                self.blobs.add((layout["name"], f"{layout['algorithm']}:{layout['hex']}"))
            return
        kind = next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(own)), None)
        if kind is None and re.split(r"[/.]", own)[0] in _DOCUMENTS:
            return
        if kind is None:
            raise Broken(f"{path} is left on disk, and no sweep knows such files")
        self._take_own(kind, own.split("/"), path)

    def _take_own(self, kind: str, components: list[str], path: str) -> None:
        if kind == "tag":
            self.tags[decode(components[1]), components[3]] = self._document(path)["digest"]
        elif kind == "manifest":
            self._document(path)
            self.manifests.add((decode(components[1]), _digest(components[3])))
        elif kind == "repository":
            self._repositories.add(decode(components[1]))
        elif kind == "index":
            self._indexes.add((decode(components[1]), _digest(components[3])))
        elif kind == "referrer":
            self.referrers.add((decode(components[1]), f"{_digest(components[3])} {_digest(components[4])}"))
        elif kind in ("upload", "temporary file", "mark", "set aside"):
            self.left[kind] += 1
        elif kind == "master" and (self._root / path).stat().st_nlink == 1:
            self.left["lone master"] += 1

    def _check_manifest(self, name: str, digest: str) -> None:
        if (name, digest) not in self.blobs:
            raise Broken(f"on disk {name} has the manifest {digest} without its content")
        body = self._blob(name, digest).read_bytes()
        if digest_of(body) != digest:
            raise Broken(f"on disk the manifest {digest} of {name} has another digest")
        document = json.loads(body)
        for one in (*document.get("layers", ()), *([document["config"]] if "config" in document else ())):
            blob = self._blob(name, one["digest"])
            if (name, one["digest"]) not in self.blobs or blob.stat().st_size != one["size"]:
                raise Broken(f"on disk {name} has the manifest {digest} without its blob {one['digest']}")

    def _blob(self, name: str, digest: str) -> Path:
        return self._root / name / "blobs" / digest.replace(":", "/")

    def _document(self, path: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads((self._root / path).read_bytes())
        except ValueError as error:
            raise Broken(f"{path} is no document on disk: {error}") from error
        return document


def _digest(filename: str) -> str:
    return filename.replace("-", ":", 1)


def _files(root: Path) -> Iterator[str]:
    """Yield the files below a root, relative to it."""
    above = len(str(root)) + 1
    for directory, _, files in os.walk(root):
        yield from (f"{directory}/{file}"[above:] for file in files)
