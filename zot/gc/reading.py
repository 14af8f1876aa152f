"""Reading a repository as a `Snapshot`, without a lock: what changes meanwhile is seen when a plan is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zot.errors import ManifestInvalid
from zot.gc.snapshot import Node, Snapshot, Tag
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import ALGORITHMS, Digest
from zot.oci.manifest import Manifest
from zot.registry import facts, paths, repositories, statistics
from zot.registry.facts import TagFact
from zot.registry.statistics import Pulled, Pulls
from zot.registry.store import Store
from zot.storage.protocol import Damaged, NotFound, Stat

_NEVER = Pulled(0, 0.0)


class Held(NamedTuple):
    """The file names of manifests that are kept, and which of the blobs that may go those name that were not read."""

    manifests: frozenset[str]
    blobs: frozenset[Digest]


_NONE_HELD = Held(frozenset(), frozenset())


class Reader:
    """Reads one repository."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._nodes: dict[Digest, Node] = {}
        self._unreadable: set[Digest] = set()
        self._problems: list[str] = []
        self._doubt = ""
        self._blind = False

    def read(self) -> Snapshot:
        """Return what is there. Tags are read last, so that what was tagged meanwhile is not taken for untagged."""
        name, storage = self._name, self._store.storage
        pulls = self._pulls()
        blobs = frozenset(self._blobs())
        for filename in list(storage.list(paths.manifests(name))):
            self._read_manifest(digests.from_filename(filename), pulls)
        tags = dict(self._tags(pulls))
        loose, since = tuple(self._loose()), statistics.counted_since(storage)
        return self._snapshot(tags, blobs, loose, since, is_listed=repositories.exists(self._store, name))

    def read_some(self, chosen: Iterable[Digest]) -> Snapshot:
        """Return these manifests only."""
        for digest in chosen:
            self._read_manifest(digest, {})
        return self._snapshot({}, frozenset())

    def take(self, digest: Digest, blobs: Iterable[str]) -> Node:
        """Take in a manifest that need not be read: it is known to name nothing but blobs, of these file names.

        They come from a note of ours, and are not checked again.
        """
        node = self._nodes[digest] = Node(0.0, blobs=frozenset(Digest(*blob.split("-", 1)) for blob in blobs))
        return node

    def part(self, tags: dict[str, Tag], blobs: frozenset[Digest], held: Held) -> Snapshot:
        """Return these tags and blobs, the manifests that were read, and those that are kept."""
        return self._snapshot(tags, blobs, held=held)

    def _snapshot(
        self,
        tags: dict[str, Tag],
        blobs: frozenset[Digest],
        loose: tuple[tuple[Digest, str], ...] = (),
        since: float = 0.0,
        *,
        is_listed: bool = True,
        held: Held = _NONE_HELD,
    ) -> Snapshot:
        return Snapshot(
            self._name,
            tags,
            self._nodes,
            blobs,
            look=self._look,
            cared=lambda chosen, enough: cared(self._store, self._name, chosen, enough),
            unreadable=frozenset(self._unreadable),
            blind=self._blind,
            doubt=self._doubt,
            loose=loose,
            counted_since=since,
            is_listed=is_listed,
            held=held.manifests,
            named=held.blobs,
            problems=tuple(self._problems),
        )

    def _pulls(self) -> Pulls:
        try:
            return statistics.read(self._store.storage, self._name)
        except Damaged as error:
            self._doubt = "suspended, as the statistics can't be read"
            self._problems.append(str(error))
            return {}

    def _blobs(self) -> Iterator[Digest]:
        for algorithm in ALGORITHMS:
            for hexadecimal in self._store.storage.list(paths.blobs(self._name, algorithm)):
                yield Digest(algorithm, hexadecimal)

    def _read_manifest(self, digest: Digest, pulls: Pulls) -> None:
        try:
            fact = facts.decode_manifest(self._store.storage.read(paths.manifest(self._name, digest)))
        except NotFound:
            return
        except Damaged as error:
            self._nodes[digest] = self._unknown(digest, f"until zot scrub run has mended it: {error}", Node(0.0))
            return
        pulled = pulls.get(str(digest), _NEVER).last
        self._nodes[digest] = self._node(digest, fact.media_type, fact.pushed, pulled)

    def _tags(self, pulls: Pulls) -> Iterator[tuple[str, Tag]]:
        for name in list(self._store.storage.list(paths.tags(self._name))):
            try:
                fact = facts.decode_tag(self._store.storage.read(paths.tag(self._name, name)))
            except NotFound:
                continue
            except Damaged as error:
                self._blind = True
                self._doubt = self._doubt or f"suspended, as the tag {name} can't be read"
                self._problems.append(
                    f"the tag {name} can't be read, so nothing is removed here until it is pushed again: {error}"
                )
                continue
            pulled = max(pulls.get(key, _NEVER).last for key in (str(fact.digest), fact.name))
            yield fact.name, Tag(fact.digest, fact.pushed, pulled)
            if fact.digest not in self._nodes:
                self._read_lone(fact, pulled)

    def _read_lone(self, fact: TagFact, pulled: float) -> None:
        """Take in a manifest whose tag is served though the fact that it belongs here is gone, or not read yet."""
        self._nodes[fact.digest] = self._node(fact.digest, fact.media_type, fact.pushed, pulled)

    def _node(self, digest: Digest, media_type: str, pushed: float, pulled: float) -> Node:
        try:
            parsed = self._parse(digest, media_type)
        except (NotFound, Damaged, ManifestInvalid) as error:
            why = "its content is gone" if isinstance(error, NotFound) else str(error)
            return self._unknown(digest, f"until it is pushed again or deleted: {why}", Node(pushed, pulled))
        return Node(pushed, pulled, parsed.subject, frozenset(parsed.children), frozenset(parsed.blobs))

    def _unknown(self, digest: Digest, until: str, node: Node) -> Node:
        self._blind = True
        self._unreadable.add(digest)
        self._problems.append(f"the manifest {digest} can't be read, so only tags are removed here {until}")
        return node

    def _parse(self, digest: Digest, media_type: str) -> Manifest:
        body = self._store.storage.read(paths.blob(self._name, digest))
        if digests.of(body, digest.algorithm) != digest:
            raise ManifestInvalid("its content is not what was pushed", "push it again")
        return oci_manifest.parse(body, media_type)

    def _loose(self) -> Iterator[tuple[Digest, str]]:
        """Yield the facts about manifests that are not here: a crash left them, and nothing else ever reads them."""
        name, storage = self._name, self._store.storage
        for filename in storage.list(paths.indexes(name)):
            if (index := digests.from_filename(filename)) not in self._nodes:
                yield index, paths.index(name, index)
        for filename in storage.list(paths.all_tagged(name)):
            if (digest := digests.from_filename(filename)) not in self._nodes:
                notes = paths.tagged(name, digest)
                yield from ((digest, f"{notes}/{tag}") for tag in storage.list(notes))
        for filename in storage.list(paths.subjects(name)):
            subject = digests.from_filename(filename)
            for referrer in storage.list(paths.referrers(name, subject)):
                if (digest := digests.from_filename(referrer)) not in self._nodes:
                    yield digest, paths.referrer(name, subject, digest)

    def _look(self, chosen: Iterable[Digest], enough: float) -> Iterator[Stat | None]:
        name = self._name
        return self._store.storage.describe((paths.blob(name, digest) for digest in chosen), enough=enough)


def cared(store: Store, name: str, chosen: Iterable[Digest], enough: float) -> Iterator[float]:
    """Yield when somebody last pushed each manifest, or took a tag from it, in seconds since 1970; 0 if it is gone.

    `enough` is as `Storage.describe` has it.
    """
    keys = (paths.manifest(name, digest) for digest in chosen)
    return (0.0 if found is None else found.modified for found in store.storage.describe(keys, enough=enough))
