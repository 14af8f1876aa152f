"""What was last written to a repository's `index.json`, so that what another program made of it can be told.

Each index that is written has a generation, an annotation that other tools keep: the lineage, a random word that this
repository got when its index was first written here, and a number that grows. What is kept is the content of the last
generation, and for the ones before what they had and the last has not. So it can be told of an index that is based on
any of them what its writer has added.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zot.registry import paths
from zot.registry.changes import DAMAGED
from zot.registry.store import Store
from zot.storage.protocol import NotFound

log = logging.getLogger(__name__)

GENERATION = "dev.zotregistry.generation"
# What was removed is remembered so far back; a program that read an index before that only adds.
_MOST_REMOVED = 20_000
_MOST_SEEN = 8

Descriptor = dict[str, Any]
# Stands for something that was there, and is not known more closely.
SOMETHING = "?"


@dataclass
class Foreign:
    """What other programs wrote into an index and no fact holds; it is written again as it came.

    `originals` are whole descriptors by the tag or digest that they are for, `unknown` those of what is no manifest
    that this registry serves, `fields` and `annotations` those of the index itself.
    """

    originals: dict[str, Descriptor] = field(default_factory=dict)
    unknown: list[Descriptor] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)


@dataclass
class Written:
    """What was last written.

    `seen` are digests of the last index files that we wrote or took in. `entries` says what each tag stood for, and for
    each manifest "", with the number of the generation since which it is so. `removed` says of what is no more with
    which generation it went, for all generations from `since` on.
    """

    lineage: str = field(default_factory=lambda: secrets.token_hex(4))
    number: int = 0
    since: int = 0
    seen: list[str] = field(default_factory=list)
    entries: dict[str, tuple[str, int]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    foreign: Foreign = field(default_factory=Foreign)

    @property
    def generation(self) -> str:
        """The last generation, as the annotation has it."""
        return f"{self.lineage}.{self.number}"

    def advance(self, now: Mapping[str, str]) -> None:
        """Begin the next generation, with this content."""
        self.number += 1
        before, self.entries = self.entries, {}
        for key, value in now.items():
            known = before.get(key)
            self.entries[key] = (value, known[1] if known is not None and known[0] == value else self.number)
            self.removed.pop(key, None)
        for key in before:
            if key not in now:
                self.removed[key] = self.number
        while len(self.removed) > _MOST_REMOVED:
            oldest = next(iter(self.removed))
            self.since = self.removed.pop(oldest)

    def base(self, generation: str | None) -> dict[str, str] | None:
        """Return what a generation had, as far as it matters to a merge; None if it is none that is known.

        What came, moved or went since is `SOMETHING`.
        """
        lineage, _, digits = (generation or "").partition(".")
        if lineage != self.lineage or not digits.isascii() or not digits.isdigit():
            return None
        number = int(digits)
        if not self.since <= number <= self.number:
            return None
        base = {key: SOMETHING for key, removed in self.removed.items() if removed > number}
        return base | {key: value if since <= number else SOMETHING for key, (value, since) in self.entries.items()}

    def see(self, content: bytes) -> None:
        """Remember an index file that is ours, or was taken in."""
        digest = hashlib.sha256(content).hexdigest()
        self.seen = [*(one for one in self.seen if one != digest), digest][-_MOST_SEEN:]

    def has_seen(self, content: bytes) -> bool:
        """Tell whether an index file has nothing new."""
        return hashlib.sha256(content).hexdigest() in self.seen

    def is_last(self, content: bytes) -> bool:
        """Tell whether an index file is the last that was written here."""
        return self.seen[-1:] == [hashlib.sha256(content).hexdigest()]


def load(store: Store, name: str) -> Written:
    """Return what was last written, which may be nothing. If that is damaged, it counts as nothing, and is logged."""
    try:
        document = store.storage.read(paths.generation(name))
    except NotFound:
        return Written()
    try:
        read = json.loads(document)
        foreign = Foreign(**read.pop("foreign"))
        entries = {key: (value, since) for key, (value, since) in read.pop("entries").items()}
        return Written(**read, entries=entries, foreign=foreign)
    except DAMAGED:
        log.warning("what was last written to the index of %s is damaged; only additions are taken from it", name)
        return Written()


def save(store: Store, name: str, written: Written) -> None:
    """Keep it, durably."""
    document = {**vars(written), "foreign": vars(written.foreign)}
    store.storage.write(paths.generation(name), json.dumps(document, separators=(",", ":")).encode())
