"""What the manifests of a repository name, noted by a full pass, so that others need not read each of them again.

A manifest never changes, so what is noted stays true; at most something is missing, and is read. A note that is
damaged, or of another form, counts as none. Its first line is the form and the check of the others. Each of those has
the file name of a manifest's digest, a plus if the manifest lists others or has a subject, and the file names of all
digests that it names.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress

from zot.gc.snapshot import Node, Snapshot
from zot.oci.digest import Digest
from zot.registry import paths
from zot.registry.store import Store
from zot.storage.protocol import Damaged, Full, NotFound

log = logging.getLogger(__name__)

# Fewer manifests are as soon read as a note about them.
_WORTH = 10
# A note is written again when it lacks so much of what it should hold, or holds so much too much.
_PART = 1 / 8
_FORM = b"2 "
_NOT_ALONE = "+ "


class Note:
    """What is known of the manifests of a repository. All digests are given by their file names."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._names = {manifest: names for manifest, _, names in (line.partition(" ") for line in lines)}
        self.manifests = self._names.keys()

    def names(self, manifests: Iterable[str]) -> list[str]:
        """Return what manifests name; nothing for one that is not known."""
        known = self._names
        return " ".join([known[one] for one in manifests if one in known]).split()

    def is_alone(self, manifest: str) -> bool:
        """Tell whether a manifest is known to name blobs only: it lists no other, and has no subject."""
        names = self._names.get(manifest)
        return names is not None and not names.startswith(_NOT_ALONE)


def recall(store: Store, name: str, count: int) -> Note:
    """Return what is known of the manifests of a repository, which has so many."""
    if count < _WORTH:
        return Note(())
    try:
        head, _, lines = store.storage.read(paths.named(name)).partition(b"\n")
    except (NotFound, Damaged):
        return Note(())
    if head == _head(lines):
        return Note(lines.decode().splitlines())
    if head.startswith(_FORM):
        log.warning("what was noted of the manifests of %s is damaged; they are read", name)
    return Note(())


def note(store: Store, snapshot: Snapshot) -> None:
    """Note what the manifests of a repository name, if all of them were read and it is worth while."""
    if snapshot.held or snapshot.blind or not snapshot.is_listed or len(snapshot.manifests) < _WORTH:
        return
    now = {digest.filename for digest in snapshot.manifests}
    known = recall(store, snapshot.name, len(now)).manifests
    if len(now ^ known) > _PART * len(now):
        # A full store is in need of what comes after this, and can do without it.
        with suppress(Full):
            store.storage.write(paths.named(snapshot.name), _encode(snapshot.manifests.items()))


def _encode(nodes: Iterable[tuple[Digest, Node]]) -> bytes:
    lines = "".join(f"{digest.filename} {_line(node)}\n" for digest, node in nodes).encode()
    return _head(lines) + b"\n" + lines


def _line(node: Node) -> str:
    names = " ".join(sorted(digest.filename for digest in node.named()))
    return names if node.subject is None and not node.children else f"{_NOT_ALONE}{names}"


def _head(lines: bytes) -> bytes:
    return _FORM + hashlib.sha256(lines).hexdigest().encode()
