"""Random repositories, pushed into a real store with a clock that the test moves, and described for the model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from tests.gc.model import World
from tests.images import CONFIG, DOCKER_MANIFEST, LAYER, OCI_INDEX, OCI_MANIFEST, digest_of
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry import facts, manifests, paths, statistics, tags, uploads
from zot.registry.facts import TagFact
from zot.registry.retention import Immutable, Keep, Policy, Retention
from zot.registry.store import Store

NAME = "a/b"
HOUR = 3600.0
START = 1_700_000_000.0
BLOBS = [f"blob {number}".encode() for number in range(5)]
GHOST = digest_of(b"nobody has pushed this")
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
TAGS = ["v1.0", "v2.0", "v2.1", "v3-prod", "latest", "x-prod"]
PATTERNS = ["v2.*", "v", "prod$", "^latest$", ".*", "x"]

_some = st.integers(0, 9)
_push_blob = st.tuples(st.just("blob"), st.integers(0, len(BLOBS) - 1))
_push_image = st.tuples(
    st.just("image"),
    st.sets(st.integers(0, len(BLOBS) - 1), max_size=3),
    st.one_of(st.none(), st.just("ghost"), _some),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from(TAGS)),
)
_push_index = st.tuples(
    st.just("index"),
    st.lists(st.one_of(st.just("ghost"), _some), max_size=3),
    st.one_of(st.none(), st.none(), _some),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from(TAGS)),
)
_tag = st.tuples(st.just("tag"), _some, st.sampled_from(TAGS))
_sign = st.tuples(
    st.just("sign"), st.one_of(st.just("ghost"), _some), st.sampled_from([".sig", ".att", ".sbom", ""]), _some
)
_pull = st.tuples(st.just("pull"), _some)
_event = st.one_of(_push_image, _push_image, _push_index, _push_blob, _tag, _sign, _pull)
# What happens, and how many hours pass before it.
events = st.lists(st.tuples(st.integers(0, 5), _event), max_size=16)
many_events = st.lists(st.tuples(st.integers(0, 5), _event), min_size=5, max_size=9)

_hours = st.integers(0, 30).map(lambda number: number * HOUR)
_rule = st.fixed_dictionaries(
    {},
    optional={
        "pulledWithin": _hours,
        "pushedWithin": _hours,
        "mostRecentlyPushedCount": st.integers(0, 3),
        "mostRecentlyPulledCount": st.integers(0, 3),
    },
)
_keep = st.tuples(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2), _rule).map(
    lambda pair: {"patterns": pair[0], **pair[1]}
)
policies = st.fixed_dictionaries(
    {
        "delay": _hours,
        "gcDelay": _hours,
        "deleteUntagged": st.booleans(),
        "deleteReferrers": st.booleans(),
        "keepTags": st.lists(_keep, max_size=3),
        "keepUntagged": st.one_of(st.none(), st.none(), _rule),
        "immutable": st.one_of(st.just([]), st.just([]), st.lists(st.sampled_from(PATTERNS[:4]), max_size=1)),
    }
)

# Those that wait for little and delete tags, for stores where each case takes long.
eager_policies = st.builds(
    lambda policy, keep: {**policy, "delay": 0.0, "gcDelay": 0.0, "keepTags": [keep], "immutable": []}, policies, _keep
)


class Clock:
    """What the store takes for the time."""

    def __init__(self) -> None:
        self.now = START

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it be the time of everything in this process."""
        with patch.object(time, "time", lambda: self.now):
            yield


def retention(policy: dict[str, Any]) -> Retention:
    """Return the rules that a description stands for."""
    return Retention(
        gc_delay=policy["gcDelay"],
        delay=policy["delay"],
        policies=(
            Policy(
                (compile_glob("a/*"),),
                policy["deleteReferrers"],
                policy["deleteUntagged"],
                tuple(_keeping(one) for one in policy["keepTags"]),
                None if policy["keepUntagged"] is None else _keeping(policy["keepUntagged"]),
                tuple(Immutable((Pattern(one),)) for one in policy["immutable"]),
            ),
        ),
    )


def _keeping(rule: dict[str, Any]) -> Keep:
    return Keep(
        tuple(Pattern(pattern) for pattern in rule.get("patterns", ())),
        rule.get("pushedWithin"),
        rule.get("pulledWithin"),
        rule.get("mostRecentlyPushedCount"),
        rule.get("mostRecentlyPulledCount"),
    )


class Builder:
    """Does what is said to a store, and keeps an account of its own of what is there."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pushed: list[str] = []
        self._types: dict[str, tuple[str, int]] = {}
        self.world: World = {"tags": {}, "manifests": {}, "blobs": {}}

    def do(self, hours: int, event: tuple[Any, ...]) -> None:
        """Let time pass, then do one thing."""
        self._clock.now += hours * HOUR
        getattr(self, f"_{event[0]}")(*event[1:])

    def finish(self) -> None:
        """Write what the worker has gathered."""
        self._store.gathered.flush(self._store.storage)

    def _blob(self, number: int) -> None:
        content = BLOBS[number]
        uploads.push(self._store, NAME, digests.parse(digest_of(content)), [content])
        self.world["blobs"][digest_of(content)] = self._clock.now

    def _image(self, layers: set[int], subject: object, docker: bool, tag: str | None) -> None:
        config = f'{{"config of": {len(self._pushed)}}}'.encode()
        uploads.push(self._store, NAME, digests.parse(digest_of(config)), [config])
        self.world["blobs"][digest_of(config)] = self._clock.now
        for layer in layers:
            self._blob(layer)
        named = [(config, CONFIG), *((BLOBS[layer], LAYER) for layer in sorted(layers))]
        described = [{"mediaType": kind, "digest": digest_of(one), "size": len(one)} for one, kind in named]
        media_type = DOCKER_MANIFEST if docker and subject is None else OCI_MANIFEST
        body = {"schemaVersion": 2, "mediaType": media_type, "config": described[0], "layers": described[1:]}
        self._put(body, media_type, subject, tag, [], [one["digest"] for one in described])

    def _index(self, members: list[object], subject: object, docker: bool, tag: str | None) -> None:
        children = sorted({self._chosen(member) for member in members})
        media_type = DOCKER_LIST if docker and subject is None else OCI_INDEX
        listed = [{"mediaType": OCI_MANIFEST, "digest": child, "size": 2} for child in children]
        body = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
        if not children:
            body["annotations"] = {"number": str(len(self._pushed))}
        self._put(body, media_type, subject, tag, children, [])

    def _tag(self, which: int, tag: str) -> None:
        if self._pushed:
            self._point(self._chosen(which), tag)

    def _sign(self, which: object, kind: str, signature: int) -> None:
        if self._pushed:
            self._point(self._chosen(signature), self._chosen(which).replace(":", "-") + kind)

    def _pull(self, which: int) -> None:
        if self.world["tags"]:
            tag = sorted(self.world["tags"])[which % len(self.world["tags"])]
            manifests.get(self._store, NAME, tag)
            if not tag.startswith("sha256-"):
                digest = self.world["tags"][tag]["digest"]
                for one in self.world["tags"].values():
                    if one["digest"] == digest:
                        one["pulled"] = self._clock.now
                self.world["manifests"][digest]["pulled"] = self._clock.now
                self.world.setdefault("pulled", {})[tag] = self._clock.now

    def delete(self, which: int) -> None:
        """Delete a tag, if there is any."""
        if self.world["tags"]:
            tag = sorted(self.world["tags"])[which % len(self.world["tags"])]
            manifests.delete_tag(self._store, NAME, tag)
            digest = self.world["tags"].pop(tag)["digest"]
            self.world["manifests"][digest]["cared"] = self._clock.now

    def _put(
        self,
        document: dict[str, Any],
        media_type: str,
        subject: object,
        tag: str | None,
        children: list[str],
        blobs: Any,
    ) -> None:
        lost = None if subject is None else self._chosen(subject)
        if lost is not None:
            document["subject"] = {"mediaType": OCI_MANIFEST, "digest": lost, "size": 2}
        body = json.dumps(document).encode()
        digest = digest_of(body)
        parsed = oci_manifest.parse(body, media_type)
        manifests.put(self._store, NAME, digests.parse(digest), body, parsed, () if tag is None else (tag,))
        known = self.world["manifests"].get(digest)
        self._types[digest] = (media_type, len(body))
        if known is None:
            self._pushed.append(digest)
            now = self._clock.now
            self.world["manifests"][digest] = {
                "pushed": now, "pulled": 0.0, "cared": now, "subject": lost, "children": children, "blobs": blobs,
            }  # fmt: skip
        self.world["blobs"][digest] = self._clock.now
        if tag is not None:
            self._note_tag(digest, tag)
        else:
            self.world["manifests"][digest]["cared"] = self._clock.now

    def _point(self, digest: str, tag: str) -> None:
        if digest not in self.world["manifests"] or self._store.retention.of(NAME).forbids_moving(tag):
            return
        media_type, size = self._types[digest]
        fact = TagFact(tag, media_type, digests.parse(digest), size, self._clock.now, "")
        with self._store.storage.lock(paths.lock(NAME), shared=True):
            tags.point(self._store, NAME, fact)
        self._note_tag(digest, tag)

    def _note_tag(self, digest: str, tag: str) -> None:
        before = self.world["tags"].get(tag)
        if before is not None and before["digest"] == digest:
            return
        if before is not None:
            self.world["manifests"][before["digest"]]["cared"] = self._clock.now
        by_digest = self.world["manifests"][digest]["pulled"]
        pulled = max(by_digest, self.world.get("pulled", {}).get(tag, 0.0))
        self.world["tags"][tag] = {"digest": digest, "pushed": self._clock.now, "pulled": pulled}

    def _chosen(self, which: object) -> str:
        if which == "ghost" or not self._pushed:
            return GHOST
        assert isinstance(which, int)
        return self._pushed[which % len(self._pushed)]


def state(store: Store) -> tuple[set[str], set[str], set[str]]:
    """Return the tags, the manifests and the blobs that are in the store."""
    storage = store.storage
    found = {facts.decode_tag(storage.read(paths.tag(NAME, tag))).name for tag in storage.list(paths.tags(NAME))}
    kept = {str(digests.from_filename(one)) for one in storage.list(paths.manifests(NAME))}
    blobs = {f"sha256:{one}" for one in storage.list(paths.blobs(NAME, "sha256"))}
    return found, kept, blobs


def fill(store: Store, clock: Clock, happened: list[tuple[int, tuple[Any, ...]]], deleted: Sequence[int] = ()) -> World:
    """Do all that happened, then delete some tags, and return the account of it; marks are written as time goes on."""
    statistics.begin(store.storage)
    builder = Builder(store, clock)
    for hours, event in happened:
        builder.do(hours, event)
        builder.finish()
    for which in deleted:
        builder.delete(which)
    builder.finish()
    return builder.world
