"""Repositories and their layouts, when others write to them while we run and while we don't."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.images import OCI_INDEX, digest_of, index, manifest
from tests.layouts import LayoutWriter, tags_of
from tests.registry.conftest import PushBlob, PushManifest
from zot.errors import ManifestUnknown
from zot.gc.passes import Settings, clean_one
from zot.oci import digest as digests
from zot.oci.globs import compile_glob
from zot.registry import generations, layout, manifests, paths, referrers, repositories, tags
from zot.registry.keeping import Absence, Keeper, absence
from zot.registry.retention import Immutable, Policy, Retention
from zot.registry.store import Store
from zot.storage import layout_files
from zot.storage.filesystem import Filesystem
from zot.storage.layout_files import LayoutFiles

ALWAYS = Absence(0, 2**40)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store on disk."""
    driver = Filesystem(str(tmp_path), private=paths.PRIVATE)
    driver.start()
    return Store(driver, layouts=driver.layouts)


def keep(store: Store, absent: Absence | None = None) -> Keeper:
    """Return a keeper that remembers nothing, as after a start."""
    assert store.layouts is not None
    return Keeper(store, store.layouts, absent)


@pytest.fixture
def keeper(store: Store) -> Keeper:
    """A keeper that has seen no absence of a server."""
    return keep(store)


@pytest.fixture
def files(tmp_path: Path) -> LayoutWriter:
    """Another program's view of repository `a`."""
    return LayoutWriter(tmp_path / "a")


@pytest.fixture
def images(push_blob: PushBlob) -> list[bytes]:
    """Three manifests whose blobs are in repository `a`."""
    push_blob("a", b"{}")
    layers = [b"one", b"two", b"three"]
    for layer in layers:
        push_blob("a", layer)
    return [manifest(layers=(layer,)) for layer in layers]


def tagged(store: Store) -> dict[str, str]:
    """Return the digest of each tag of `a`."""
    return {tag: str(tags.read(store, "a", tag).digest) for tag in tags.page(store, "a", 1000, "").names}


def test_the_layout_follows(store: Store, keeper: Keeper, images: list[bytes], push_manifest: PushManifest) -> None:
    """index.json lists each tag and each manifest without one; a repository is projected once for what it got."""
    digest = push_manifest("a", images[0], "v1", "v2")
    untagged = push_manifest("a", images[1])
    assert list(layout.dirty(store)) == ["a"]
    store.storage.write(paths.projecting("a"), b"")
    assert set(layout.dirty(store)) == {"a"}
    keeper.project_dirty()
    assert list(layout.dirty(store)) == []
    index = json.loads(store.storage.read("a/index.json"))
    assert tags_of(index) == {"v1": str(digest), "v2": str(digest)}
    assert [entry["digest"] for entry in index["manifests"]] == [str(digest), str(digest), str(untagged)]
    assert json.loads(store.storage.read("a/oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    manifests.delete_tag(store, "a", "v1")
    keeper.project_dirty()
    again = json.loads(store.storage.read("a/index.json"))
    assert tags_of(again) == {"v2": str(digest)}
    before, after = (one["annotations"][generations.GENERATION] for one in (index, again))
    assert after == before.replace(".1", ".2")


def test_a_damaged_repository_keeps_no_other_from_its_turn(
    store: Store,
    keeper: Keeper,
    images: list[bytes],
    push_manifest: PushManifest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A tag that can't be read, as a directory stands in its place, is said once; what is pushed elsewhere follows."""
    push_manifest("a", images[0], "v1")
    body = index()
    push_manifest("b", body, "v1", media_type=OCI_INDEX)
    stray = tmp_path / paths.tag("a", "stray")
    stray.mkdir()
    for _ in range(2):
        keeper.project_dirty()
        push_manifest("b", body, "v2", media_type=OCI_INDEX)
    assert set(layout.dirty(store)) == {"a", "b"}
    assert b"v1" in store.storage.read("b/index.json")
    assert [message for message in caplog.messages if "not in step" in message] == [
        "a and its layout are not in step: a directory stands where a file of the registry should be"
    ]
    stray.rmdir()
    keeper.project_dirty()
    assert b"v1" in store.storage.read("a/index.json")


@pytest.mark.parametrize("document", [b"", b"\0" * 20, b"{}", b'{"foreign": 7, "entries": []}'])
def test_a_damaged_generation_is_begun_anew(
    store: Store, keeper: Keeper, images: list[bytes], push_manifest: PushManifest, document: bytes
) -> None:
    """What was last written can't be read: nothing is lost, the leader goes on, and the index is written again."""
    push_manifest("a", images[0], "v1")
    keeper.project_dirty()
    store.storage.write(paths.generation("a"), document)
    before = tagged(store)
    keep(store, ALWAYS).look()
    push_manifest("a", images[1], "v2")
    keeper.project_dirty()
    assert tagged(store) == tags_of(json.loads(store.storage.read("a/index.json")))
    assert tagged(store).items() > before.items()


def test_tags_that_another_program_adds(
    store: Store, keeper: Keeper, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """A late rewrite of the index adds what its writer adds, and reverts no push, move or delete of ours."""
    for tag in ("moves", "goes", "stays"):
        push_manifest("a", images[0], tag)
    keeper.project_dirty()
    files.load()
    push_manifest("a", images[1], "moves", "new")
    manifests.delete_tag(store, "a", "goes")
    keeper.project_dirty()
    theirs = files.image(b"theirs", "theirs")
    files.write()
    keeper.look()
    expected = {
        "moves": digest_of(images[1]),
        "new": digest_of(images[1]),
        "stays": digest_of(images[0]),
        "theirs": digest_of(theirs),
    }
    assert tagged(store) == tags_of(files.read()) == expected
    assert manifests.get(store, "a", "theirs").body == theirs
    before = files.index.stat()
    keeper.look()
    assert files.index.stat() == before


@pytest.mark.parametrize("absent", [None, ALWAYS])
def test_moves_and_deletions(
    store: Store,
    files: LayoutWriter,
    images: list[bytes],
    push_manifest: PushManifest,
    absent: Absence | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What another program moves and deletes is done if no server ran; else it is put back, and the log says so."""
    for tag, body in zip(("moves", "goes", "stays"), images, strict=True):
        push_manifest("a", body, tag)
    keep(store).project_dirty()
    files.load()
    moved = files.image(b"theirs", "moves", "added")
    files.remove("goes")
    files.write()
    keep(store, absent).look()
    if absent is None:
        expected = dict(zip(("moves", "goes", "stays"), map(digest_of, images), strict=True))
        assert "zot layout sync --prune a" in caplog.text
    else:
        expected = {"moves": digest_of(moved), "stays": digest_of(images[2])}
        with pytest.raises(ManifestUnknown):
            manifests.get(store, "a", digests.of(images[1]))
    expected["added"] = digest_of(moved)
    assert tagged(store) == tags_of(files.read()) == expected


def test_what_was_pushed_since_is_not_undone(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """Moves made in our absence count no more when somebody has pushed since, were it the same again."""
    push_manifest("a", images[0], "v1", "v2")
    keep(store).project_dirty()
    files.load()
    files.image(b"theirs", "v1", "added")
    files.write()
    push_manifest("a", images[0], "v1")
    keep(store, ALWAYS).project_dirty()
    assert tagged(store)["v1"] == digest_of(images[0])
    assert set(tagged(store)) == {"v1", "v2", "added"}


def test_an_older_base_only_adds(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """An index written in our absence, but based on a generation before our last, moves and deletes nothing."""
    push_manifest("a", images[0], "v1", "v2")
    keep(store).project_dirty()
    files.load()
    push_manifest("a", images[1], "v3")
    keep(store).project_dirty()
    files.image(b"theirs", "v1", "added")
    files.write()
    keep(store, ALWAYS).look()
    assert set(tagged(store)) == {"v1", "v2", "v3", "added"}
    assert tagged(store)["v1"] == digest_of(images[0])


def test_when_no_server_ran(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """The time without a server is from the last sign of life, which a look leaves, to now."""
    push_manifest("a", images[0], "v1")
    assert absence(store) is None
    first = keep(store, absence(store))
    first.leave()
    assert absence(store) is None, "nothing was looked at yet"
    first.look()
    first.project_dirty()
    first.leave()
    files.load()
    files.remove("v1")
    time.sleep(0.05)
    files.write()
    time.sleep(0.05)
    keep(store, absence(store)).look()
    assert tagged(store) == {}


def test_prune(store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest) -> None:
    """With prune an index that was put back is done all the same, but for what was pushed after it was written."""
    push_manifest("a", images[0], "v1", "v2")
    push_manifest("a", images[2])
    keep(store).project_dirty()
    files.load()
    files.remove("v1")
    files.entries = [entry for entry in files.entries if entry["digest"] != digest_of(images[2])]
    time.sleep(0.05)
    files.write()
    time.sleep(0.05)
    push_manifest("a", images[1], "later")
    keeper = keep(store)
    outcome = keeper.attend("a")
    assert outcome.refused == {"v1", digest_of(images[2])}
    assert set(tags_of(files.read())) == {"v1", "v2", "later"}
    outcome = keeper.attend("a", prune=True)
    assert (outcome.deleted, outcome.refused) == ({"v1", digest_of(images[2])}, set())
    assert set(tagged(store)) == set(tags_of(files.read())) == {"v2", "later"}
    assert not keeper.attend("a", prune=True).is_changed


def test_an_image_goes_with_its_index(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """When an index is deleted in our absence, its images, the index and its signature go, whatever their order."""
    for body in images:
        push_manifest("a", body)
    push_manifest("a", images[0], "kept")
    keep(store).project_dirty()
    files.load()
    multi = files.multi(*images, tag="multi")
    signature = files.image(b"signature", "signed", subject=files.entries[-1])
    files.write()
    keep(store, ALWAYS).look()
    assert tagged(store)["multi"] == digest_of(multi)
    assert len(referrers.page(store, "a", digests.of(multi), frozenset(), "").descriptors) == 1
    files.load()
    files.entries = [entry for entry in files.entries if entry["digest"] == digest_of(images[0])]
    files.path(signature).unlink()
    files.write()
    keep(store, ALWAYS).look()
    assert tagged(store) == {"kept": digest_of(images[0])}
    assert list(store.storage.list(paths.manifests("a"))) == [digests.of(images[0]).filename]
    assert referrers.page(store, "a", digests.of(multi), frozenset(), "").descriptors == []


def test_a_damaged_index_is_left_alone_for_a_while(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """An index that can't be read stays for a minute, as its writer may not be done, and is written anew after."""
    push_manifest("a", images[0], "v1")
    keeper = keep(store)
    keeper.project_dirty()
    files.index.write_text('{"schemaVersion": 2, "mani')
    push_manifest("a", images[1], "v2")
    keeper.project_dirty()
    keeper.look()
    assert files.index.read_text() == '{"schemaVersion": 2, "mani'
    assert list(layout.dirty(store)) == ["a"]
    files.age(61)
    keeper.project_dirty()
    assert set(tags_of(files.read())) == {"v1", "v2"}


def test_a_lost_index_is_written_again(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """index.json comes back when somebody removed it, and so does what oci-layout has to say."""
    push_manifest("a", images[0], "v1")
    keeper = keep(store)
    keeper.project_dirty()
    files.index.unlink()
    (files.root / "oci-layout").write_text("")
    keeper.look()
    assert set(tags_of(files.read())) == {"v1"}
    assert json.loads((files.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_an_old_index_of_ours_is_replaced(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """Who puts back an index that we wrote some time ago gets today's."""
    push_manifest("a", images[0], "v1")
    keep(store).project_dirty()
    old = files.index.read_bytes()
    push_manifest("a", images[1], "v2")
    keep(store).project_dirty()
    files.index.write_bytes(old)
    keep(store).look()
    assert set(tagged(store)) == set(tags_of(files.read())) == {"v1", "v2"}


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_a_write_in_the_last_moment_is_seen(
    store: Store,
    files: LayoutWriter,
    images: list[bytes],
    push_manifest: PushManifest,
    monkeypatch: pytest.MonkeyPatch,
    exchanges: bool,
    in_place: bool,
) -> None:
    """What another program writes between our last look at the index and its exchange is found in what came out.

    Without renameat2 the same is found only if it was written before the rename began.
    """
    push_manifest("a", images[0], "v1")
    keeper = keep(store)
    keeper.project_dirty()
    push_manifest("a", images[1], "v2")
    files.load()
    files.image(b"theirs", "theirs")
    real = LayoutFiles.replace

    def late(self: LayoutFiles, key: str, document: bytes, aside: str) -> layout_files.Version:
        monkeypatch.setattr(LayoutFiles, "replace", real)
        if not in_place:
            files.index.rename(files.index.with_name("old"))
        files.write()
        return real(self, key, document, aside)

    monkeypatch.setattr(LayoutFiles, "replace", late)
    if not exchanges:
        monkeypatch.setattr(layout_files, "exchange", lambda *_: False)
    keeper.project_dirty()
    expected = {"v1", "v2", "theirs"} if exchanges else {"v1", "v2"}
    assert set(tagged(store)) == set(tags_of(files.read())) == expected


def test_a_write_into_the_replaced_file_is_seen(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """A program that had opened the index before it was exchanged writes into the old one; that is found there."""
    push_manifest("a", images[0], "v1")
    keeper = keep(store)
    keeper.project_dirty()
    files.load()
    files.image(b"theirs", "theirs")
    with files.index.open("r+") as opened:
        push_manifest("a", images[1], "v2")
        keeper.project_dirty()
        opened.truncate(0)
        opened.write("{")
        opened.flush()
        keeper.look()
        opened.seek(0)
        opened.write(json.dumps(files.fields | {"manifests": files.entries}))
    keeper.look()
    assert set(tagged(store)) == set(tags_of(files.read())) == {"v1", "v2", "theirs"}


@pytest.mark.parametrize("step", ["replace", "saved"])
def test_a_crash_makes_no_index_foreign(
    store: Store,
    files: LayoutWriter,
    images: list[bytes],
    push_manifest: PushManifest,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A projection that breaks off, before or after the index has its name, is done again by the next leader."""
    push_manifest("a", images[0], "v1", "v2")
    keep(store).project_dirty()
    manifests.delete_tag(store, "a", "v1")
    real = LayoutFiles.replace

    def broken(self: LayoutFiles, key: str, document: bytes, aside: str) -> layout_files.Version:
        if step == "saved":
            real(self, key, document, aside)
        raise KeyboardInterrupt

    monkeypatch.setattr(LayoutFiles, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        keep(store).project_dirty()
    monkeypatch.undo()
    push_manifest("a", images[1], "v3")
    keep(store, ALWAYS).project_dirty()
    assert set(tagged(store)) == set(tags_of(files.read())) == {"v2", "v3"}


def test_marks_of_what_never_was_a_repository(store: Store, keeper: Keeper, tmp_path: Path) -> None:
    """A mark whose repository does not exist goes, and makes nothing."""
    store.storage.write(paths.dirty("a"), b"")
    keeper.project_dirty()
    assert list(layout.dirty(store)) == []
    assert not (tmp_path / "a").exists()


def test_the_layout_of_an_emptied_repository_is_not_taken_over(
    store: Store, keeper: Keeper, images: list[bytes], push_manifest: PushManifest
) -> None:
    """An index of ours whose repository is no more makes no repository."""
    push_manifest("a", images[0], "v1")
    keeper.project_dirty()
    store.storage.delete(paths.repository("a"))
    keep(store).look()
    assert not repositories.exists(store, "a")


def test_a_look_ends_when_the_leader_is_to_end(store: Store, files: LayoutWriter) -> None:
    """A look at many repositories stops in between, and then leaves no sign of having looked."""
    files.image(b"layer", "v1")
    files.write()
    keep(store).look(lambda: True)
    assert list(repositories.names(store)) == []
    assert absence(store) is None


def test_a_look_goes_on_after_a_failure(store: Store, keeper: Keeper, tmp_path: Path) -> None:
    """One repository that can't be read does not keep others from being looked at."""
    for name in ("a", "b"):
        other = LayoutWriter(tmp_path / name)
        other.image(b"layer", "v1")
        other.write()
    (tmp_path / "a/index.json").unlink()
    (tmp_path / "a/index.json").mkdir()
    keeper.look()
    assert list(repositories.names(store)) == ["b"]


def test_immutable_tags_stay(
    store: Store,
    files: LayoutWriter,
    images: list[bytes],
    push_manifest: PushManifest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A tag that never moves, by the configuration, is neither moved nor deleted by another program, not with prune."""
    push_manifest("a", images[0], "moves", "goes")
    keep(store).project_dirty()
    files.load()
    files.image(b"theirs", "moves")
    files.remove("goes")
    files.write()
    policy = Policy(repositories=(compile_glob("**"),), immutable=(Immutable(),))
    strict = replace(store, retention=Retention(policies=(policy,)))
    keeper = keep(strict, ALWAYS)
    for prune in (False, True):
        outcome = keeper.attend("a", prune=prune)
        assert outcome.immutable == {"moves", "goes"} <= outcome.refused
        assert outcome.deleted == set(), "what they stand for stays too"
        assert "2 immutable tags of a in index.json; they stay as they are (goes, moves)" in caplog.text
        assert "--prune" not in caplog.text
    assert keeper.attend("a", prune=True).refused == set()
    assert tagged(store) == dict.fromkeys(("goes", "moves"), digest_of(images[0]))


def test_garbage_collection_waits_for_what_others_wrote(
    store: Store, files: LayoutWriter, images: list[bytes], push_manifest: PushManifest
) -> None:
    """What an index names that was not taken in yet is no garbage, however old it is."""
    push_manifest("a", images[0], "v1")
    keep(store).project_dirty()
    files.load()
    body = files.image(b"theirs", "theirs")
    files.write()
    rules = Retention(gc_delay=-60.0, delay=-60.0)
    eager = replace(store, retention=rules)
    done = clean_one(eager, "a", Settings(), lambda: None)
    assert done.removed == ()
    assert "another program" in done.plan.problems[0]
    keep(store).look()
    clean_one(eager, "a", Settings(), lambda: None)
    assert manifests.get(store, "a", "theirs").body == body
    assert files.path(b"theirs").exists()


def test_what_is_emptied_meanwhile_leaves_nothing(
    store: Store,
    files: LayoutWriter,
    images: list[bytes],
    push_manifest: PushManifest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A repository that garbage collection removes while its index is being written leaves no file of that."""
    digest = push_manifest("a", images[0], "v1")
    manifests.delete_digest(store, "a", digest)
    real = LayoutFiles.replace

    def late(self: LayoutFiles, key: str, document: bytes, aside: str) -> layout_files.Version:
        clean_one(replace(store, retention=Retention(gc_delay=-60.0, delay=-60.0)), "a", Settings(), lambda: None)
        return real(self, key, document, aside)

    monkeypatch.setattr(LayoutFiles, "replace", late)
    keep(store).project_dirty()
    assert not repositories.exists(store, "a")
    assert not files.index.exists()
    assert list(store.storage.list(f"{paths.PRIVATE}/generations")) == []
