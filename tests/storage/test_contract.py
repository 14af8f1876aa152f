"""What every driver promises; see `zot.storage.protocol`."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import PATIENCE
from zot.storage.protocol import Busy, Idle, NotFound, Storage, Unavailable

SHARED = "s/content"


def put(storage: Storage, key: str, content: bytes, name: str = "u", shared: str | None = None) -> None:
    """Store content under a key."""
    with storage.upload(name, create=True) as upload:
        upload.write(content)
        storage.put(key, upload, shared=shared)


def content(storage: Storage, key: str, start: int = 0) -> bytes:
    """Read content whole."""
    opened = storage.open(key, start)
    with opened.file as file:
        return file.read()


def test_put_content_is_read_back(storage: Storage) -> None:
    """What was put is what is opened, from any byte, with its size; nothing is suspected."""
    put(storage, "a/b/one", b"0123456789")
    assert content(storage, "a/b/one") == b"0123456789"
    assert content(storage, "a/b/one", 7) == b"789"
    with storage.open("a/b/one").file as file:
        assert len(file.read()) == 10
    opened = storage.open("a/b/one")
    with opened.file:
        assert storage.stat("a/b/one")[::2] == opened[1:] == (10, False)


def test_empty_content_is_content(storage: Storage) -> None:
    """No bytes at all are something that is there."""
    put(storage, "a/empty", b"")
    assert content(storage, "a/empty") == b""
    assert storage.stat("a/empty").size == 0


@pytest.mark.parametrize("method", ["stat", "open", "read"])
def test_what_is_not_there_is_not_found(storage: Storage, method: str) -> None:
    """Asking for a key that stands for nothing raises NotFound, also below a key that is content."""
    put(storage, "a/one", b"x")
    for key in ("a/two", "b/one", "a/one/below"):
        with pytest.raises(NotFound):
            getattr(storage, method)(key)


def test_put_ends_the_upload(storage: Storage) -> None:
    """After put there is no such upload."""
    put(storage, "a/one", b"x", "session")
    with pytest.raises(NotFound), storage.upload("session"):
        pass


def test_existing_content_stays(storage: Storage) -> None:
    """A second put of a key that has content of that size changes nothing."""
    put(storage, "a/one", b"same")
    before = storage.stat("a/one").modified
    put(storage, "a/one", b"same")
    assert content(storage, "a/one") == b"same"
    assert storage.stat("a/one").modified >= before


def test_content_of_another_size_is_replaced(storage: Storage) -> None:
    """Content that lost bytes is mended by the next put of it."""
    put(storage, "a/one", b"sho")
    put(storage, "a/one", b"short")
    assert content(storage, "a/one") == b"short"


def test_an_upload_goes_on_where_it_stood(storage: Storage) -> None:
    """An upload keeps its bytes between holders, and yields them all to be hashed."""
    with storage.upload("u", create=True) as upload:
        upload.write(b"hello ")
    with storage.upload("u") as upload:
        assert upload.size == 6
        upload.write(memoryview(b"world"))
        assert b"".join(bytes(piece) for piece in upload.read()) == b"hello world"
        assert upload.size == 11


def test_an_upload_has_one_writer(storage: Storage) -> None:
    """Of two that write to an upload at once one is told so, at the latest when it ends; the other's bytes count."""
    with storage.upload("u", create=True):
        pass
    with pytest.raises(Busy), storage.upload("u") as first:
        first.write(b"first")
        with storage.upload("u") as second:
            second.write(b"second")
    with storage.upload("u") as upload:
        assert b"".join(bytes(piece) for piece in upload.read()) in {b"first", b"second"}


def test_a_discarded_upload_is_gone(storage: Storage) -> None:
    """Discard leaves no upload."""
    with storage.upload("u", create=True) as upload:
        upload.write(b"x")
        upload.discard()
    with pytest.raises(NotFound), storage.upload("u"):
        pass


def test_uploads_are_listed_with_their_last_write(storage: Storage) -> None:
    """Every upload is listed until it ends, and what is written to it makes it younger."""
    with storage.upload("one", create=True):
        pass
    with storage.upload("two", create=True) as upload:
        upload.write(b"x")
    before = dict(storage.uploads())
    assert set(before) == {"one", "two"}
    assert all(abs(time.time() - written) < 60 for written in before.values())
    # Times may be whole seconds.
    time.sleep(1.1)
    with storage.upload("one") as upload:
        assert upload.written == pytest.approx(before["one"], abs=1)
        upload.write(b"x")
    with storage.upload("two") as upload:
        upload.discard()
    after = dict(storage.uploads())
    assert set(after) == {"one"}
    assert after["one"] > before["one"]


@pytest.mark.parametrize("size", [6, 200_000])
@pytest.mark.parametrize("source", ["a/one", None])
def test_link_shares_content(storage: Storage, source: str | None, size: int) -> None:
    """Both keys stand for the content, small or large, each outlives the other, and the last takes it away."""
    value = b"s" * size
    put(storage, "a/one", value, shared=SHARED)
    assert storage.is_shared(SHARED) or size < 100_000, "a store may not think it worth while to share a few bytes"
    if source is None and not storage.is_shared(SHARED):
        return
    storage.link("b/two", source, shared=SHARED, new_directory=True)
    storage.remove("a/one", shared=SHARED)
    assert content(storage, "b/two") == value
    with pytest.raises(NotFound):
        storage.stat("a/one")
    storage.remove("b/two", shared=SHARED)
    assert not storage.is_shared(SHARED)
    with pytest.raises(NotFound):
        storage.open("b/two")


def test_put_takes_what_is_shared(storage: Storage) -> None:
    """Content that others have put is not stored again, and outlives each of them."""
    value = b"s" * 200_000
    put(storage, "a/one", value, shared=SHARED)
    put(storage, "b/two", value, shared=SHARED)
    put(storage, "b/two", value, shared=SHARED)
    storage.remove("a/one", shared=SHARED)
    put(storage, "c/three", value, shared=SHARED)
    storage.remove("b/two", shared=SHARED)
    assert content(storage, "c/three") == value
    storage.remove("c/three", shared=SHARED)
    assert not storage.is_shared(SHARED)


def test_of_old_content_less_may_be_told(storage: Storage) -> None:
    """If a time is enough, what is told is no later than that, and no earlier than the last interest."""
    put(storage, "a/one", b"content")
    exact = storage.stat("a/one")
    assert list(storage.describe(["a/one", "a/two", "a/one"], enough=exact.modified - 10)) == [exact, None, exact]
    (found,) = storage.describe(["a/one"], enough=exact.modified + 10)
    assert found is not None
    assert exact.modified <= found.modified <= exact.modified + 10
    assert found.size == exact.size


@pytest.mark.parametrize("size", [6, 200_000])
def test_only_idle_content_is_removed(storage: Storage, size: int) -> None:
    """What was changed later than the given time stays, what is not there is passed over, what is shared is kept.

    That one key goes is no interest in the others.
    """
    for key in ("a/one", "a/two", "b/one"):
        put(storage, key, b"s" * size, shared=SHARED)
    now = storage.stat("a/one").modified
    idle = [
        Idle("a/one", SHARED, now),
        Idle("a/two", SHARED, storage.stat("a/two").modified - 5),
        Idle("a/none", SHARED, now),
        Idle("b/one", SHARED, storage.stat("b/one").modified),
    ]
    removed: list[str] = []
    storage.remove_idle(iter(idle), removed)
    assert sorted(removed) == ["a/one", "b/one"]
    assert content(storage, "a/two") == b"s" * size
    for key in ("a/one", "b/one"):
        with pytest.raises(NotFound):
            storage.stat(key)
    storage.remove_idle([Idle("a/two", SHARED, storage.stat("a/two").modified)], removed)
    assert sorted(removed) == ["a/one", "a/two", "b/one"]
    assert not storage.is_shared(SHARED)


def test_what_had_gone_when_a_removal_failed_is_told(storage: Storage) -> None:
    """If it can't go on in the middle, what it removed before is told, and gone."""
    for key in ("a/one", "a/two"):
        put(storage, key, b"s", shared=SHARED)

    def idle() -> Iterator[Idle]:
        yield Idle("a/one", SHARED, storage.stat("a/one").modified)
        raise Unavailable("the store fails")

    removed: list[str] = []
    with pytest.raises(Unavailable):
        storage.remove_idle(idle(), removed)
    assert removed == ["a/one"]
    with pytest.raises(NotFound):
        storage.stat("a/one")
    assert content(storage, "a/two") == b"s"


@pytest.mark.parametrize("source", ["a/one", None])
def test_link_to_nothing_is_not_found(storage: Storage, source: str | None) -> None:
    """A link needs something to share, and makes nothing without it."""
    with pytest.raises(NotFound):
        storage.link("a/two", source, shared=SHARED)
    with pytest.raises(NotFound):
        storage.stat("a/two")


def test_link_again_changes_nothing(storage: Storage) -> None:
    """Linking a key that shares the content already is no error."""
    put(storage, "a/one", b"shared", shared=SHARED)
    storage.link("a/two", "a/one", shared=SHARED)
    storage.link("a/two", "a/one", shared=SHARED)
    assert content(storage, "a/two") == b"shared"


def test_what_is_set_aside_is_served_no_more(storage: Storage) -> None:
    """Damaged content is not there any more under its key, until it is put anew."""
    put(storage, "a/one", b"damaged", shared=SHARED)
    storage.vouch("a/one")
    storage.set_aside("a/one", shared=SHARED)
    with pytest.raises(NotFound):
        storage.open("a/one")


def test_a_document_is_written_once(storage: Storage) -> None:
    """A document that is there stays with `once`, and is replaced without; it can be touched."""
    storage.write("d/doc", b"first", once=True)
    storage.write("d/doc", b"second", once=True)
    assert storage.read("d/doc") == b"first"
    storage.write("d/doc", b"third")
    storage.touch("d/doc")
    assert storage.read("d/doc") == b"third"
    with pytest.raises(NotFound):
        storage.touch("d/none")


def test_many_documents_at_once(storage: Storage) -> None:
    """Documents written together are there, and replace what was there."""
    storage.write("m/0", b"old")
    storage.write_many((f"m/{number}", str(number).encode()) for number in range(30))
    assert storage.read("m/0") == b"0"
    assert len(list(storage.list("m"))) == 30


def test_documents_are_made_and_changed(storage: Storage) -> None:
    """Update sees what is there, or that nothing is, and replaces it."""
    seen: list[bytes | None] = []

    def step(after: bytes) -> None:
        def change(before: bytes | None) -> bytes:
            seen.append(before)
            return after

        storage.update("d/doc", change)

    for after in (b"one", b"", b"two", b"two"):
        step(after)
    assert storage.read("d/doc") == b"two"
    storage.delete("d/doc")
    step(b"three")
    assert seen == [None, b"one", b"", b"two", None]


def test_a_failing_change_changes_nothing(storage: Storage) -> None:
    """An exception from the change is passed on and the document stays."""

    def refuse(_: bytes | None) -> bytes:
        raise ValueError("no")

    storage.update("d/doc", lambda _: b"kept")
    with pytest.raises(ValueError, match="no"):
        storage.update("d/doc", refuse)
    assert storage.read("d/doc") == b"kept"


def test_updates_do_not_get_lost(storage: Storage) -> None:
    """Concurrent increments of one document all count."""

    def increment() -> None:
        for _ in range(50):
            storage.update("d/number", lambda before: str(int(before or b"0") + 1).encode())

    run([increment] * 4)
    assert storage.read("d/number") == b"200"


def test_update_does_not_write_through_a_link(storage: Storage) -> None:
    """A document that shares its content with another key gets its own before it changes."""
    put(storage, "a/one", b"same", shared=SHARED)
    storage.link("a/two", "a/one", shared=SHARED)
    storage.update("a/one", lambda _: b"other")
    assert content(storage, "a/two") == b"same"


def test_delete_passes_over_what_is_not_there(storage: Storage) -> None:
    """Deleting several keys removes those that are there, and a prefix only when it is empty.

    SeaweedFS lists an emptied prefix for a while, so nobody may take one that is listed for one that holds something.
    """
    for key in ("p/x/1", "p/x/2", "p/y/1"):
        storage.update(key, lambda _: b"v")
    storage.delete("p/x/1", "p/none", "nowhere/at/all", "p/x/", "p/y/1", "p/y/")
    assert list(storage.list("p/x")) == ["2"]
    assert list(storage.list("p/y")) == []
    assert "x" in storage.list("p")


def test_made_prefixes_are_no_keys(storage: Storage) -> None:
    """A prefix that was made holds nothing."""
    storage.make_prefixes("m/a/b", "m/c")
    storage.make_prefixes("m/a/b")
    assert list(storage.list("m/a/b")) == []
    storage.update("m/a/b/doc", lambda _: b"")
    assert list(storage.list("m/a/b")) == ["doc"]


def test_list_sees_every_change_at_once(storage: Storage) -> None:
    """Names come and go without delay, however often the list was read before."""
    for number in range(30):
        storage.update(f"l/{number:02}", lambda _: b"")
        assert len(list(storage.list("l"))) == number + 1
    time.sleep(0.1)
    assert len(list(storage.list("l"))) == len(list(storage.list("l"))) == 30
    storage.delete("l/07")
    assert "07" not in list(storage.list("l"))


@settings(max_examples=30)
@given(names=st.sets(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,10}", fullmatch=True), max_size=12), data=st.data())
def test_list_is_sorted_by_bytes_and_begins_after(storage: Storage, names: set[str], data: st.DataObject) -> None:
    """Listing gives each name once in byte order, from the first after a name that need not be there."""
    prefix = f"h/{uuid.uuid4()}"
    for name in names:
        storage.update(f"{prefix}/{name}", lambda _: b"")
    after = data.draw(st.text("AZaz09._-", max_size=3))
    assert list(storage.list(prefix, after)) == sorted(name for name in names if name > after)


def test_shared_holders_do_not_wait_for_each_other(storage: Storage) -> None:
    """Two shared holders are inside at once; an exclusive one is alone."""
    inside = threading.Barrier(2, timeout=PATIENCE)

    def share() -> None:
        with storage.lock("kind/a", shared=True):
            inside.wait()

    run([share, share])
    counted = {"inside": 0, "most": 0}

    def alone() -> None:
        for _ in range(20):
            with storage.lock("kind/a", shared=False):
                counted["inside"] += 1
                counted["most"] = max(counted["most"], counted["inside"])
                counted["inside"] -= 1

    run([alone] * 3)
    assert counted["most"] == 1


def test_a_stream_of_shared_holders_does_not_starve_an_exclusive_one(storage: Storage) -> None:
    """An exclusive holder gets in while others take the lock, shared, again and again without a pause."""
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            with storage.lock("kind/a", shared=True):
                time.sleep(0.002)

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    with storage.lock("kind/a", shared=False):
        done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


def run(functions: list[Callable[[], None]]) -> None:
    """Run functions in threads and raise what any of them raised."""
    failures: list[BaseException] = []

    def call(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # passed on below
            failures.append(error)

    threads = [threading.Thread(target=call, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("again", ["put", "put what is shared", "link", "touch"])
def test_interest_renews_the_time(storage: Storage, again: str) -> None:
    """Content that is there already, and is put, linked or touched again, counts as changed now, and is not suspect."""
    put(storage, "a/one", b"s" * 200_000, shared=SHARED)
    put(storage, "b/two", b"s" * 200_000, shared=SHARED)
    before = storage.stat("b/two").modified
    # Times of objects in a bucket are in whole seconds, and those of files move in steps of the kernel's clock.
    time.sleep(1.1 if before == int(before) else 0.02)
    if again == "put":
        put(storage, "b/two", b"s" * 200_000)
    elif again == "put what is shared":
        put(storage, "b/two", b"s" * 200_000, shared=SHARED)
    elif again == "link":
        storage.link("b/two", "a/one", shared=SHARED)
    else:
        storage.touch("b/two")
    after = storage.stat("b/two")
    assert after.modified > before
    assert not after.suspect


def test_keys_of_content_are_listed(storage: Storage) -> None:
    """Content shows up in the list of its prefix, as documents do, until it is removed."""
    put(storage, "a/blobs/sha256/one", b"1", shared="s/one")
    put(storage, "a/blobs/sha512/two", b"2", shared="s/two")
    assert list(storage.list("a/blobs/sha256")) == ["one"]
    storage.remove("a/blobs/sha256/one", shared="s/one")
    assert list(storage.list("a/blobs/sha256")) == []


def test_what_is_used_is_not_left_over(storage: Storage) -> None:
    """Content that a key stands for is no leftover, however it is shared."""
    put(storage, "a/one", b"s" * 200_000, shared=SHARED)
    put(storage, "b/two", b"s" * 200_000, shared=SHARED)
    storage.remove("a/one", shared=SHARED)
    assert list(storage.leftovers(time.time() + 60, shared="s")) == []
    storage.remove("b/two", shared=SHARED)
    for leftover in storage.leftovers(time.time() + 60, shared="s"):
        assert storage.discard(leftover)
    assert not storage.is_shared(SHARED)
