"""Taking in what another program made of the index of a repository that has facts of its own.

What it adds is added. What it moves or deletes is done only if that can't undo a push: see `zot.registry.merging`, and
DESIGN.md, "The projection".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from zot.logs import note_change
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import adoption, facts, foreign, manifests, paths, tags
from zot.registry.foreign import Layout, NoIndexError
from zot.registry.generations import Foreign, Written
from zot.registry.merging import Merge, merge
from zot.registry.store import Store
from zot.storage.layout_files import LayoutFiles
from zot.storage.protocol import NotFound

__all__ = ["IMMUTABLE", "NoIndexError", "Outcome", "is_marked", "take_in"]

log = logging.getLogger(__name__)

T = TypeVar("T")
_SHOWN = 10
# Why a tag stays as it is, whoever asks.
IMMUTABLE = "the tag is immutable by the retention policy of this repository"

# The repository's lock is held for so many changes at a time.
_BATCH = 50
_FEW = 20


@dataclass
class Outcome:
    """What became of a repository: what the index of another program added, moved and deleted, and what it could not.

    Tags and digests, in no order; `immutable` are those of the refused that stay whoever asks. `damaged` says what is
    wrong with the index, if it can't be read.
    """

    name: str
    adopted: bool = False
    damaged: str = ""
    added: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    immutable: set[str] = field(default_factory=set)

    @property
    def is_changed(self) -> bool:
        """Whether the repository is another than before."""
        return bool(self.added or self.moved or self.deleted)

    def report(self) -> None:
        """Log what was done, and what was not; all that was done is in the audit log."""
        for result, action in (("added", "PUT"), ("moved", "PUT"), ("deleted", "DELETE")):
            for key in sorted(getattr(self, result)):
                target = f"/v2/{self.name}/manifests/{key}"
                note_change("another program", action, target, self.name, result, "it wrote index.json")
        for key in sorted(self.refused):
            why = (
                IMMUTABLE if key in self.immutable else "a server ran when it wrote index.json, or it knew an older one"
            )
            target = f"/v2/{self.name}/manifests/{key}"
            note_change("another program", "PUT", target, self.name, "put back", why)
        if self.is_changed:
            log.info(
                "another program wrote %s/index.json: %d entries were added, %d moved, %d deleted",
                *(self.name, len(self.added), len(self.moved), len(self.deleted)),
            )
        if self.immutable:
            log.warning(
                "another program moved or deleted %d immutable tags of %s in index.json; they stay as they are (%s)",
                *(len(self.immutable), self.name, _some(self.immutable)),
            )
        if others := self.refused - self.immutable:
            log.warning(
                "another program moved or deleted %d entries of %s/index.json while a server ran, or without knowing "
                "the last index; they are put back. `zot layout sync --prune %s` does as it said (%s)",
                *(len(others), self.name, self.name, _some(others)),
            )


def take_in(
    store: Store,
    layouts: LayoutFiles,
    outcome: Outcome,
    index: bytes,
    written: Written,
    *,
    trusted: bool,
    written_at: float | None = None,
) -> None:
    """Take in an index that another program wrote over one of ours; the caller holds the layout's lock.

    Its moves and deletions are done if `trusted` and that one is our last, or if `written_at` is given: then they are
    done for all that was pushed until that time, in seconds since 1970. Raises `NoIndexError`.
    """
    name = outcome.name
    found = foreign.read(store, layouts, name, index)
    ours = content(store, name)
    if written_at is None:
        base = written.base(found.generation)
        trusted = trusted and found.generation == written.generation
    else:
        base, trusted = without_recent(store, name, ours, written_at), True
    changes = merge(base, ours, found.content, trusted=trusted)
    outcome.immutable |= _refuse_immutable(store, name, changes)
    add(store, layouts, name, found, changes)
    done = move_and_delete(store, name, found, changes, ours, unless_marked=written_at is None)
    outcome.added |= changes.added.keys()
    (outcome.moved if done else outcome.refused).update(changes.moved)
    (outcome.deleted if done else outcome.refused).update(changes.deleted)
    outcome.refused |= changes.refused
    if outcome.moved or outcome.deleted:
        store.gathered.changed(name)
        store.gathered.flush(store.storage)
    written.foreign = found.foreign if trusted and done else together(written.foreign, found.foreign)


def _refuse_immutable(store: Store, name: str, changes: Merge[str, str]) -> set[str]:
    """Refuse to move or delete tags of which the configuration says that they never move; returns all that stay so."""
    policy = store.retention.of(name)
    for tag in [key for key in (*changes.moved, *changes.deleted) if ":" not in key and policy.forbids_moving(key)]:
        changes.moved.pop(tag, None)
        changes.deleted.discard(tag)
        changes.refused.add(tag)
    return {key for key in changes.refused if ":" not in key and policy.forbids_moving(key)}


def _some(keys: set[str]) -> str:
    return ", ".join(sorted(keys)[:_SHOWN])


def content(store: Store, name: str) -> dict[str, str]:
    """Return what the repository has: what each tag stands for, and "" for each manifest."""
    found = {}
    for tag in store.storage.list(paths.tags(name)):
        fact = _tag(store, name, tag)
        if fact is not None:
            found[fact.name] = str(fact.digest)
    for filename in store.storage.list(paths.manifests(name)):
        found[str(digests.from_filename(filename))] = ""
    return found


def without_recent(store: Store, name: str, ours: Mapping[str, str], since: float) -> dict[str, str]:
    """Return what the repository has, without what was pushed after a time."""
    return {key: value for key, value in ours.items() if _pushed(store, name, key) <= since}


def add(store: Store, layouts: LayoutFiles, name: str, layout: Layout, changes: Merge[str, str]) -> None:
    """Let the repository have what is added, and the manifests that moved tags are to stand for.

    A tag that somebody made meanwhile stays as it is.
    """
    wanted = [digests.parse(key) for key in changes.added if ":" in key]
    new_tags = [tag for tag in changes.added if ":" not in tag]
    wanted += [layout.tags[tag] for tag in (*new_tags, *changes.moved)]
    found = list(layout.reach(wanted).items())
    for batch in _batches(found):
        with store.storage.lock(paths.lock(name), shared=True):
            _write(store, list(adoption.manifest_documents(store, layouts, name, dict(batch))))
    for names in _batches(new_tags):
        with store.storage.lock(paths.lock(name), shared=True):
            for tag in names:
                _settle(store, name, layout, tag, None)


def move_and_delete(
    store: Store, name: str, layout: Layout, changes: Merge[str, str], ours: Mapping[str, str], *, unless_marked: bool
) -> bool:
    """Do the moves and deletions of what still is as it is in `ours`.

    With `unless_marked` they end at the first sign that somebody pushes or deletes meanwhile; False if so.
    Manifests that a tag still stands for, or an index lists, stay, and are taken out of `changes.deleted`.
    """
    gone_tags = [key for key in changes.deleted if ":" not in key]
    for batch in _batches([*changes.moved, *gone_tags]):
        with store.storage.lock(paths.lock(name), shared=False):
            if unless_marked and is_marked(store, name):
                return False
            for tag in batch:
                before = digests.parse(ours[tag])
                if tag in changes.moved:
                    _settle(store, name, layout, tag, before)
                else:
                    tags.take_away(store, name, tag, before)
    left = [digests.parse(key) for key in changes.deleted if ":" in key]
    while left:
        # What an index lists goes after the index.
        needed = []
        for some in _batches(left):
            with store.storage.lock(paths.lock(name), shared=False):
                if unless_marked and is_marked(store, name):
                    return False
                needed += [digest for digest in some if not manifests.let_go(store, name, digest)]
        if len(needed) == len(left):
            changes.deleted.difference_update(map(str, needed))
            break
        left = needed
    return True


def is_marked(store: Store, name: str) -> bool:
    """Tell whether something changed here that no index has yet."""
    for key in (paths.dirty(name), paths.projecting(name)):
        try:
            store.storage.stat(key)
        except NotFound:
            continue
        return True
    return False


def together(ours: Foreign, theirs: Foreign) -> Foreign:
    """Return what two indexes hold that no fact does; theirs goes before."""
    known = {json.dumps(entry, sort_keys=True) for entry in theirs.unknown}
    unknown = [entry for entry in ours.unknown if json.dumps(entry, sort_keys=True) not in known]
    return Foreign(
        ours.originals | theirs.originals,
        [*theirs.unknown, *unknown],
        ours.fields | theirs.fields,
        ours.annotations | theirs.annotations,
    )


def _settle(store: Store, name: str, layout: Layout, tag: str, before: Digest | None) -> None:
    """Let a tag that stands for `before` stand for what the layout says, if that is still here."""
    digest = layout.tags[tag]
    held = layout.manifests[digest]
    if before is not None and _tag(store, name, tag) is None:
        return
    try:
        fact = facts.decode_manifest(store.storage.read(paths.manifest(name, digest)))
    except NotFound:
        return
    pushed = fact.pushed if held is None else held.written
    tags.settle(store, name, facts.TagFact(tag, fact.media_type, digest, fact.size, pushed, ""), before)


def _write(store: Store, documents: list[tuple[str, bytes]]) -> None:
    """Write a few documents one by one: syncing them together would also sync whatever else is being written."""
    if len(documents) > _FEW:
        store.storage.write_many(documents)
        return
    for key, document in documents:
        store.storage.write(key, document, new_directory=True)


def _pushed(store: Store, name: str, key: str) -> float:
    if ":" not in key:
        fact = _tag(store, name, key)
        return 0.0 if fact is None else fact.pushed
    try:
        return facts.decode_manifest(store.storage.read(paths.manifest(name, digests.parse(key)))).pushed
    except NotFound:
        return 0.0


def _tag(store: Store, name: str, tag: str) -> facts.TagFact | None:
    try:
        return facts.decode_tag(store.storage.read(paths.tag(name, tag)))
    except NotFound:
        return None


def _batches(values: Sequence[T]) -> list[Sequence[T]]:
    return [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]
