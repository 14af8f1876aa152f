"""What the manifests of a repository name, noted by a full pass, so that others need not read each of them again.

A manifest never changes, so what is noted stays true; at most something is missing, and is read. Of a digest the note
has the first sixteen hexadecimal digits. Whoever looks for a digest finds too much if another one begins alike, and
never too little. A note that is damaged counts as none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
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

Names = Collection[str]


def start(digest: Digest) -> str:
    """Return what stands for a digest."""
    return digest.hex[:16]


def names_of(node: Node) -> Names:
    """Return what stands for the digests that a manifest names: its subject, what it lists, and its blobs."""
    about = () if node.subject is None else (node.subject,)
    return {start(digest) for digest in (*about, *node.children, *node.blobs)}


def recall(store: Store, name: str, count: int) -> Mapping[str, Names]:
    """Return what is known of the manifests of a repository, which has so many, by the file names of their digests."""
    if count < _WORTH:
        return {}
    try:
        check, _, lines = store.storage.read(paths.named(name)).partition(b"\n")
    except (NotFound, Damaged):
        return {}
    if _check(lines) != check:
        log.warning("what was noted of the manifests of %s is damaged; they are read", name)
        return {}
    return {filename: names for filename, *names in map(str.split, lines.decode().splitlines())}


def note(store: Store, snapshot: Snapshot) -> None:
    """Note what the manifests of a repository name, if all of them were read and it is worth while."""
    now = {digest.filename for digest in snapshot.manifests}
    if snapshot.held or snapshot.blind or not snapshot.is_listed or len(now) < _WORTH:
        return
    known = recall(store, snapshot.name, len(now)).keys()
    if len(now ^ known) > _PART * len(now):
        # A full store is in need of what comes after this, and can do without it.
        with suppress(Full):
            store.storage.write(paths.named(snapshot.name), _encode(snapshot.manifests.items()))


def _encode(nodes: Iterable[tuple[Digest, Node]]) -> bytes:
    lines = "".join(f"{' '.join((digest.filename, *sorted(names_of(node))))}\n" for digest, node in nodes).encode()
    return _check(lines) + b"\n" + lines


def _check(lines: bytes) -> bytes:
    return hashlib.sha256(lines).hexdigest().encode()
