"""What is noted of manifests: passes over what changed need not read them, and never do wrong by it."""

from __future__ import annotations

from typing import cast

import pytest

from tests.gc.conftest import Pushes
from tests.gc.worlds import HOUR, Clock
from tests.gc.worlds import NAME as A
from tests.images import OCI_MANIFEST, descriptor
from zot.gc import cleaning, remembering
from zot.gc.cleaning import Cleaned
from zot.gc.planning import Kind
from zot.oci.digest import Digest
from zot.registry import manifests, paths
from zot.registry.store import Store
from zot.storage.memory import Memory
from zot.storage.protocol import Full

KEPT = 12


class Counting(Memory):
    """A store that notes which documents are read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def read(self, key: str) -> bytes:
        """Note the key."""
        self.reads.append(key)
        return super().read(key)


@pytest.fixture
def storage() -> Counting:
    """One that notes what is read."""
    return Counting()


@pytest.fixture
def kept(store: Store, push: Pushes, clock: Clock) -> list[Digest]:
    """Images that stay, all of which a full pass has read, and one that has lost its tag since."""
    kept = [push.image(A, f"kept{number}", layers=(f"own {number}".encode(),)) for number in range(KEPT)]
    push.image(A, "gone", layers=(b"own 0", b"lone"))
    cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None)
    manifests.delete_tag(store, A, "gone")
    clock.now += 2 * HOUR
    return kept


def clean(store: Store, clock: Clock) -> tuple[Cleaned, int]:
    """Look at the image that is gone; return what went, and how many contents of manifests were read."""
    cast(Counting, store.storage).reads.clear()
    gone = next(one for one in list(_digests(store)) if not manifests.tags_of(store, A, one))
    done = cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None, about=frozenset({gone}))
    return done, sum("/blobs/" in key for key in cast(Counting, store.storage).reads)


def _digests(store: Store) -> list[Digest]:
    names = store.storage.list(paths.manifests(A))
    return [Digest(*name.split("-", 1)) for name in names]


def test_only_what_goes_is_read(store: Store, kept: list[Digest], clock: Clock) -> None:
    """One image goes: its manifest, its config and its own layer; the content of no manifest is read."""
    done, reads = clean(store, clock)
    assert (len(done.removed), done.plan.is_whole, reads) == (4, False, 0)
    assert set(_digests(store)) == set(kept)


def test_what_leads_further_is_read(store: Store, kept: list[Digest], push: Pushes, clock: Clock) -> None:
    """An index and a referrer that are noted are read all the same: what they lead to goes with them."""
    image = push.image(A)
    index = push.index(A, "index", children=(image,))
    referrer = push.image(A, "referrer", subject=descriptor(b"", OCI_MANIFEST) | {"digest": str(kept[0])})
    store.storage.delete(paths.named(A))
    cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None)
    for tag in ("index", "referrer"):
        manifests.delete_tag(store, A, tag)
    clock.now += 2 * HOUR
    about = frozenset({index, referrer})
    done = cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None, about=about)
    gone = {one.digest for one in done.removed if one.kind is Kind.MANIFEST}
    # A referrer without a tag stays with its subject.
    assert (gone, done.plan.is_whole) == ({index, image}, False)
    manifests.delete_digest(store, A, referrer)
    assert not list(store.storage.list(paths.subjects(A)))


def test_new_manifests_are_read(store: Store, kept: list[Digest], push: Pushes, clock: Clock) -> None:
    """What came after the note counts: a layer that a new image names stays."""
    push.image(A, "new", layers=(b"lone",))
    clock.now += 2 * HOUR
    done, reads = clean(store, clock)
    assert (len(done.removed), done.plan.is_whole, reads) == (3, False, 1)


@pytest.mark.parametrize("damage", [b"", b"\n", b"x", b"not a check\nsha256-ab\n"])
def test_a_damaged_note_counts_as_none(store: Store, kept: list[Digest], clock: Clock, damage: bytes) -> None:
    """Cut off or altered, it is not believed: all manifests are read, and the same goes."""
    good = store.storage.read(paths.named(A))
    for spoilt in (damage, good[:-40], good.replace(b"sha256-", b"sha256-0", 1)):
        store.storage.write(paths.named(A), spoilt)
        assert not remembering.recall(store, A, KEPT).manifests
    done, reads = clean(store, clock)
    assert (len(done.removed), reads) == (4, 1 + len(kept))


def test_a_note_is_renewed_when_it_is_worth_while(store: Store, kept: list[Digest], push: Pushes, clock: Clock) -> None:
    """One manifest more or less changes nothing, an eighth does; few manifests have no note, and it goes with them."""
    before = store.storage.read(paths.named(A))
    cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None)
    assert store.storage.read(paths.named(A)) == before
    for number in range(3):
        push.image(A, f"new{number}")
    cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None)
    assert store.storage.read(paths.named(A)).count(b"\n") == 1 + KEPT + 3
    for digest in _digests(store):
        manifests.delete_digest(store, A, digest)
    clock.now += 2 * HOUR
    cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None)
    assert list(store.storage.list(paths.NAMED)) == []
    push.image("b", "few")
    cleaning.clean(store, "b", clock.now, dry_run=False, go_on=lambda: None)
    assert list(store.storage.list(paths.NAMED)) == []


def test_a_full_store_is_collected_without_a_note(
    store: Store, push: Pushes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no room for it, what is garbage goes all the same."""
    for _ in range(KEPT):
        push.image(A)
    clock.now += 24 * HOUR
    write = store.storage.write

    def write_little(key: str, document: bytes, **how: bool) -> None:
        if key == paths.named(A):
            raise Full("the storage is full")
        write(key, document, **how)

    monkeypatch.setattr(store.storage, "write", write_little)
    assert cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None).removed
    assert not _digests(store)


def test_looking_notes_nothing(store: Store, push: Pushes, clock: Clock) -> None:
    """A dry run reads all and writes nothing."""
    for number in range(KEPT):
        push.image(A, f"v{number}")
    cleaning.clean(store, A, clock.now, dry_run=True, go_on=lambda: None)
    assert list(store.storage.list(paths.NAMED)) == []
