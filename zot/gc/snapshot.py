"""What a repository looked like at one time: values only, read by `zot.gc.reading`. Times are in seconds since 1970."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from zot.oci.digest import Digest
from zot.storage.protocol import Stat


class Tag(NamedTuple):
    """A tag, when it was let stand for this digest, and when it was last pulled; 0 if that is not known."""

    digest: Digest
    pushed: float
    pulled: float = 0.0


class Node(NamedTuple):
    """A manifest and what it names; `pulled` is 0 if nobody is known to have pulled it."""

    pushed: float
    pulled: float = 0.0
    subject: Digest | None = None
    children: frozenset[Digest] = frozenset()
    blobs: frozenset[Digest] = frozenset()

    def named(self) -> frozenset[Digest]:
        """Return all that it names: its subject, what it lists, and its blobs."""
        return self.children.union(self.blobs, () if self.subject is None else (self.subject,))


@dataclass(frozen=True)
class Snapshot:
    """A repository.

    `look` gives the sizes of some contents and when somebody last cared for each, `cared` when somebody last cared for
    manifests; they are functions so that only that is looked at which may go, and get a time that is old enough, as
    `Storage.describe` has it. `unreadable` are manifests that nobody knows what they name; `blind` says that there is
    one, or a tag that nobody knows what it stands for. `doubt` is a reason for which no tag may be taken away. `loose`
    are keys of facts about manifests that are not here. Pulls before `counted_since` are not known. `is_listed` says
    whether the catalogue has the repository. If not all of it was read, `held` are the file names of the manifests on
    which is not decided: they are kept, and so is what they name of `blobs`, which is `named` where they are not among
    `manifests`.
    """

    name: str
    tags: Mapping[str, Tag]
    manifests: Mapping[Digest, Node]
    blobs: AbstractSet[Digest]
    look: Callable[[Iterable[Digest], float], Iterator[Stat | None]]
    cared: Callable[[Iterable[Digest], float], Iterator[float]]
    unreadable: frozenset[Digest] = frozenset()
    blind: bool = False
    doubt: str = ""
    loose: tuple[tuple[Digest, str], ...] = ()
    counted_since: float = 0.0
    is_listed: bool = True
    held: frozenset[str] = frozenset()
    named: frozenset[Digest] = frozenset()
    problems: tuple[str, ...] = field(default=())
