"""Cleaning a repository while others change it, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gc.conftest import Pushes
from tests.gc.worlds import HOUR, Clock, state
from tests.gc.worlds import NAME as A
from tests.images import OCI_MANIFEST, descriptor, digest_of, manifest
from zot.gc import cleaning
from zot.gc.cleaning import Cleaned
from zot.gc.hashing import Hashing
from zot.gc.planning import Kind, Reason
from zot.gc.removing import Remover
from zot.gc.scrubbing import Scrubber
from zot.logs import configure_audit
from zot.oci import digest as digests
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry import blobs, manifests, paths, repositories, tags
from zot.registry.retention import Keep, Policy, Retention
from zot.registry.store import Store
from zot.storage.protocol import Idle, Unavailable

DAY = 24 * HOUR


def clean(store: Store, clock: Clock, name: str = A, **more: bool) -> Cleaned:
    """Clean a repository now."""
    return cleaning.clean(store, name, clock.now, dry_run=more.get("dry_run", False), go_on=lambda: None)


def keeping(store: Store, keep: Keep) -> Store:
    """Return the store with this rule for tags."""
    return replace(store, retention=Retention(policies=(Policy((compile_glob("**"),), keep_tags=(keep,)),)))


def meanwhile(store: Store, clock: Clock, act: Callable[[], object]) -> list[str]:
    """Plan, let something happen, then remove; returns what was removed all the same."""
    snapshot, made = cleaning.look(store, A, clock.now)
    assert made.removals, "there is something to do"
    act()
    return [removal.reference for removal in Remover(store, snapshot, made, lambda: None).run()]


def test_a_blob_that_somebody_asked_for_stays(store: Store, push: Pushes, clock: Clock) -> None:
    """HEAD, a second upload and a mount each renew a blob's age, also after it was found to be garbage."""
    digest = digests.parse(digest_of(b"layer"))
    for act in (
        lambda: blobs.ask(store, A, digest),
        lambda: push.blob(A, b"layer"),
        lambda: blobs.mount(store, A, digest, "other"),
    ):
        push.blob(A, b"layer")
        push.blob("other", b"layer")
        clock.now += 2 * HOUR
        assert meanwhile(store, clock, act) == []
        assert not clean(store, clock).removed
        clock.now += HOUR
        assert {removal.reference for removal in clean(store, clock).removed} >= {str(digest)}


def test_a_blob_that_a_new_manifest_names_stays(store: Store, push: Pushes, clock: Clock) -> None:
    """A manifest that is pushed between the look and the removal keeps its blobs, however old they are."""
    for content in (b"{}", b"layer", b"garbage"):
        push.blob(A, content)
    clock.now += DAY
    push.image("other", "t")
    assert len(meanwhile(store, clock, lambda: push.put(A, manifest(), OCI_MANIFEST, "v1"))) == 1
    assert state(store)[0] == {"v1"}
    assert len(state(store)[2]) == 3


def test_a_manifest_that_is_pushed_anew_stays(store: Store, push: Pushes, clock: Clock) -> None:
    """One that was untagged, and is tagged, listed by an index, or pushed once more meanwhile is not removed."""
    digest = push.image(A)
    body = store.storage.read(paths.blob(A, digest))
    clock.now += DAY
    for act in (
        lambda: push.put(A, body, OCI_MANIFEST),
        lambda: push.put(A, body, OCI_MANIFEST, "v1"),
    ):
        assert meanwhile(store, clock, act) == []
        clock.now += DAY
    manifests.delete_tag(store, A, "v1")
    clock.now += DAY
    assert meanwhile(store, clock, lambda: push.index(A, "multi", children=(digest,))) == []
    assert state(store)[1] >= {str(digest)}


def test_a_manifest_that_loses_its_tag_is_kept_from_then_on(store: Store, push: Pushes, clock: Clock) -> None:
    """The delay begins when the last tag was taken or moved away, not when the manifest was pushed."""
    first, second = push.image(A, "v1"), push.image(A, "v2")
    clock.now += 10 * DAY
    push.image(A, "v1")
    manifests.delete_tag(store, A, "v2")
    assert not clean(store, clock).removed
    clock.now += HOUR
    removed = {removal.reference for removal in clean(store, clock).removed if removal.kind is Kind.MANIFEST}
    assert removed == {str(first), str(second)}


def test_a_tag_that_moved_or_was_pulled_stays(store: Store, push: Pushes, clock: Clock) -> None:
    """A tag that is to go stays if it was pushed or pulled after it was found."""
    store = keeping(store, Keep(pulled_within=DAY))
    push.image(A, "v1")
    clock.now += 2 * DAY

    def pull() -> None:
        manifests.get(store, A, "v1")
        store.gathered.flush(store.storage)

    assert meanwhile(store, clock, pull) == []
    clock.now += 2 * DAY
    push.store = store
    assert meanwhile(store, clock, lambda: push.image(A, "v1")) == []
    clock.now += 2 * DAY
    assert [removal.reference for removal in clean(store, clock).removed if removal.kind is Kind.TAG] == ["v1"]


def test_a_rank_is_given_anew_when_a_kept_tag_went(store: Store, push: Pushes, clock: Clock) -> None:
    """If the newest tag is deleted after the look, the next one may be the newest: none goes in this run."""
    store = keeping(store, Keep(most_recently_pushed=1))
    push.image(A, "old")
    clock.now += DAY
    push.image(A, "new")
    assert meanwhile(store, clock, lambda: manifests.delete_tag(store, A, "new")) == []
    assert decided(store, clock) == {"old": True}


def decided(store: Store, clock: Clock) -> dict[str, bool]:
    """Return what is decided on each tag now."""
    return {one.tag: one.kept for one in cleaning.look(store, A, clock.now)[1].decisions}


def test_a_manifest_that_cannot_be_read_protects_all(store: Store, push: Pushes, clock: Clock) -> None:
    """As nobody knows what it names, no manifest and no blob goes; it is reported, and nothing is repaired silently."""
    digest = push.image(A, "v1", layers=(b"layer",))
    push.image(A)
    push.blob(A, b"garbage")
    store.storage.write(paths.blob(A, digest), b"{}")
    clock.now += DAY
    done = clean(store, clock)
    assert not done.removed
    assert str(digest) in done.plan.problems[0]
    store.storage.delete(paths.blob(A, digest))
    done = clean(store, clock)
    assert not done.removed
    assert "gone" in done.plan.problems[0]


def test_what_a_crash_left_goes(store: Store, push: Pushes, clock: Clock) -> None:
    """Facts about manifests that are not here are removed: notes of tags, children of an index, referrers."""
    subject = push.image(A, "v1")
    lost = push.image(A, "v2", subject=descriptor(b"x", OCI_MANIFEST) | {"digest": str(subject)})
    index = push.index(A, "v3", children=(subject,))
    for digest, tag in ((lost, "v2"), (index, "v3")):
        store.storage.delete(paths.manifest(A, digest), paths.tag(A, tag))
    clock.now += DAY
    removed = {removal.reference for removal in clean(store, clock).removed if removal.reason is Reason.LEFT_BEHIND}
    assert removed == {
        f"{paths.tagged(A, lost)}/v2",
        f"{paths.tagged(A, index)}/v3",
        paths.index(A, index),
        paths.referrer(A, subject, lost),
    }
    assert list(store.storage.list(paths.subjects(A))) == []
    assert state(store)[1] == {str(subject)}
    assert not clean(store, clock).removed


def test_an_empty_repository_goes_and_those_below_it_stay(store: Store, push: Pushes, clock: Clock) -> None:
    """Its own entries are removed one by one; a repository below it keeps all of its own."""
    push.image("a", "v1")
    push.image(A, "v1")
    manifests.delete_tag(store, "a", "v1")
    clock.now += DAY
    assert clean(store, clock, "a").removed[-1].kind is Kind.REPOSITORY
    assert list(repositories.names(store)) == [A]
    assert state(store)[0] == {"v1"}
    assert clean(store, clock).removed == ()
    push.image("a", "v2")
    assert tags.read(store, "a", "v2").name == "v2"


def test_pulls_of_what_is_gone_are_forgotten(store: Store, push: Pushes, clock: Clock) -> None:
    """The document of pulls holds no more than what is here."""
    store = keeping(store, Keep((Pattern("v2"),)))
    push.image(A, "v1")
    kept = push.image(A, "v2")
    for tag in ("v1", "v2"):
        manifests.get(store, A, tag)
    store.gathered.flush(store.storage)
    clock.now += DAY
    clean(store, clock)
    assert json.loads(store.storage.read(paths.statistics(A))).keys() == {str(kept), "v2"}


@pytest.mark.parametrize("dry_run", [True, False])
def test_stopping_leaves_the_rest(store: Store, push: Pushes, clock: Clock, dry_run: bool) -> None:
    """A run that is told to stop does so between two batches; what it has not done is done by the next."""

    class Enough(Exception):
        pass

    def stop() -> None:
        raise Enough

    push.image(A)
    clock.now += DAY
    before = state(store)
    if dry_run:
        cleaning.clean(store, A, clock.now, dry_run=True, go_on=stop)
    else:
        with pytest.raises(Enough):
            cleaning.clean(store, A, clock.now, dry_run=False, go_on=stop)
    assert state(store) == before
    clean(store, clock)
    assert not repositories.exists(store, A)


def test_a_damaged_fact_stops_nothing_but_its_own_repository(store: Store, push: Pushes, clock: Clock) -> None:
    """A fact, a tag or a record of pulls that can't be read: nothing that it may be about goes, and it is reported."""
    store = keeping(store, Keep((Pattern("v2"),)))
    image = push.image(A, "v1")
    manifests.get(store, A, "v1")
    store.gathered.flush(store.storage)
    push.blob(A, b"garbage")
    clock.now += DAY
    for key, still_goes in (
        (paths.manifest(A, image), {"v1"}),
        (paths.tag(A, "v1"), set[str]()),
        (paths.statistics(A), {str(digests.parse(digest_of(b"garbage")))}),
    ):
        good = store.storage.read(key)
        store.storage.write(key, b"\x00")
        _, made = cleaning.look(store, A, clock.now)
        assert len(made.problems) == 1
        assert {removal.reference for removal in made.removals} == still_goes
        assert cleaning.clean(store, A, clock.now, dry_run=True, go_on=lambda: None).plan == made
        store.storage.write(key, good)
    clock.now += DAY
    assert clean(store, clock).removed[-1].kind is Kind.REPOSITORY


def test_what_can_not_be_read_is_mended_as_the_report_says(store: Store, push: Pushes, clock: Clock) -> None:
    """The remedy is named for a tag, a manifest's content and the fact about it, and after it nothing is reported."""
    image = push.image(A, "v1")
    body = store.storage.read(paths.blob(A, image))

    def push_again() -> None:
        push.put(A, body, OCI_MANIFEST, "v1")

    def scrub() -> None:
        Scrubber(store, A, Hashing(0), lambda: None).scrub()

    for key, remedy, mend in (
        (paths.tag(A, "v1"), "until it is pushed again:", push_again),
        (paths.blob(A, image), "until it is pushed again or deleted:", push_again),
        (paths.manifest(A, image), "until zot scrub run has mended it:", scrub),
    ):
        store.storage.write(key, b"\x00")
        (problem,) = cleaning.look(store, A, clock.now)[1].problems
        assert remedy in problem
        mend()
        assert cleaning.look(store, A, clock.now)[1].problems == ()


@pytest.mark.parametrize("kind", [Kind.TAG, Kind.MANIFEST, Kind.BLOB])
def test_what_went_before_a_step_failed_is_audited(
    store: Store, push: Pushes, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """What is gone when the store fails in the middle has its line in the audit log; what stayed has none."""
    for number in "123":
        match kind:
            case Kind.BLOB:
                push.blob(A, number.encode())
            case Kind.TAG:
                push.image(A, number)
            case Kind.MANIFEST:
                push.image(A)
    clock.now += DAY
    rules = keeping(store, Keep((Pattern("kept"),)))
    first, second, *_ = [one.reference for one in cleaning.look(rules, A, clock.now)[1].removals]
    delete, remove = store.storage.delete, store.storage.remove_idle
    told: list[cleaning.Cleaned] = []

    def delete_some(*keys: str) -> None:
        fails = (paths.tag(A, second), paths.manifest(A, digests.parse(second)) if kind is Kind.MANIFEST else "")
        at = next((place for place, key in enumerate(keys) if key in fails), None)
        delete(*keys[:at])
        if at is not None:
            raise Unavailable("the disk fails")

    def remove_some(contents: Iterable[Idle], removed: list[str]) -> None:
        remove([next(iter(contents))], removed)
        raise Unavailable("the disk fails")

    monkeypatch.setattr(store.storage, "delete", delete_some)
    monkeypatch.setattr(store.storage, "remove_idle", remove_some)
    configure_audit(str(tmp_path / "audit"))
    try:
        with pytest.raises(Unavailable):
            cleaning.clean(rules, A, clock.now, dry_run=False, go_on=lambda: None, told=told.append)
    finally:
        configure_audit("")
    assert [removal.reference for done in told for removal in done.removed] == [first]
    (line,) = map(json.loads, (tmp_path / "audit").read_text().splitlines())
    assert (line["object"].rpartition("/")[2], line["result"]) == (first, "deleted")
    left = dict(zip((Kind.TAG, Kind.MANIFEST, Kind.BLOB), state(store), strict=True))[kind]
    assert {first, second} & left == {second}
