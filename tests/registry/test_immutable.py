"""Tags that the configuration lets nobody move or delete."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.images import manifest
from tests.registry.conftest import PushBlob
from zot.errors import Denied
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry import facts, manifests, paths, tags
from zot.registry.facts import TagFact
from zot.registry.retention import Immutable, Policy, Retention
from zot.registry.store import Store

RULES = Retention(
    policies=(Policy((compile_glob("a/**"),), immutable=(Immutable((Pattern("^v"),), (Pattern("-rc"),)),)),)
)
OCI = "application/vnd.oci.image.manifest.v1+json"


def put(store: Store, name: str, body: bytes, tag: str) -> None:
    """Push a manifest under a tag."""
    manifests.put(store, name, digests.of(body), body, oci_manifest.parse(body, OCI), (tag,))


@pytest.fixture
def ruled(store: Store, push_blob: PushBlob) -> Store:
    """A store with rules, and the blobs that the tests' manifests name."""
    for name in ("a/b", "c"):
        push_blob(name, b"{}")
        push_blob(name, b"layer")
    return replace(store, retention=RULES)


def test_an_immutable_tag_is_made_once(ruled: Store) -> None:
    """It can be pushed, and pushed again as it is; another manifest is refused, with the reason and what to do."""
    first, second = manifest(), manifest(annotations={"is": "another"})
    put(ruled, "a/b", first, "v1")
    put(ruled, "a/b", first, "v1")
    with pytest.raises(Denied, match="immutable") as refused:
        put(ruled, "a/b", second, "v1")
    assert refused.value.status == 409
    assert refused.value.detail["tag"] == "v1"
    assert "push under another tag" in refused.value.remedy
    assert tags.read(ruled, "a/b", "v1").digest == digests.of(first)
    assert digests.of(second).filename not in list(ruled.storage.list(paths.manifests("a/b"))), "nothing was written"


def test_other_tags_move(ruled: Store) -> None:
    """Tags that no pattern is about, exceptions, and other repositories are as free as ever."""
    for name, tag in (("a/b", "latest"), ("a/b", "v1-rc"), ("c", "v1")):
        put(ruled, name, manifest(), tag)
        put(ruled, name, manifest(annotations={"is": "another"}), tag)
        manifests.delete_tag(ruled, name, tag)


def test_an_immutable_tag_is_not_deleted(ruled: Store) -> None:
    """Neither itself nor with its digest, which keeps its other tags too; without the rule both can be."""
    put(ruled, "a/b", manifest(), "v1")
    put(ruled, "a/b", manifest(), "latest")
    with pytest.raises(Denied, match="immutable") as refused:
        manifests.delete_tag(ruled, "a/b", "v1")
    assert refused.value.remedy == "change the rule immutable in the retention policy of this repository"
    with pytest.raises(Denied, match="immutable"):
        manifests.delete_digest(ruled, "a/b", digests.of(manifest()))
    assert list(ruled.storage.list(paths.tags("a/b"))) == ["latest", "v1"]
    manifests.delete_digest(replace(ruled, retention=Retention()), "a/b", digests.of(manifest()))
    assert list(ruled.storage.list(paths.tags("a/b"))) == []


def test_of_two_first_pushes_one_wins(ruled: Store) -> None:
    """Whether a tag is there is decided in the swap itself: of many that race one makes it, the others are told."""
    facts_of = [TagFact("v9", OCI, digests.of(str(number).encode()), 1, float(number), "") for number in range(8)]
    ready = threading.Barrier(len(facts_of))
    outcomes: list[TagFact | None] = []

    def compete(fact: TagFact) -> None:
        ready.wait()
        try:
            tags.point(ruled, "a/b", fact)
            outcomes.append(fact)
        except Denied:
            outcomes.append(None)

    threads = [threading.Thread(target=compete, args=(fact,)) for fact in facts_of]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (fact for fact in outcomes if fact is not None)
    assert facts.decode_tag(ruled.storage.read(paths.tag("a/b", "v9"))) == winner
