"""What every driver promises; see `zot.storage.protocol`."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zot.storage.protocol import Busy, NotFound, Storage


def put(storage: Storage, key: str, content: bytes, name: str = "u") -> None:
    """Store content under a key."""
    with storage.upload(name, create=True) as upload:
        upload.write(content)
        storage.put(key, upload)


def content(storage: Storage, key: str, start: int = 0) -> bytes:
    """Read content whole."""
    opened = storage.open(key, start)
    with opened.file as file:
        return file.read()


def test_put_content_is_read_back(storage: Storage) -> None:
    """What was put is what is opened, from any byte, with its size and one link."""
    put(storage, "a/b/one", b"0123456789")
    assert content(storage, "a/b/one") == b"0123456789"
    assert content(storage, "a/b/one", 7) == b"789"
    with storage.open("a/b/one").file as file:
        assert len(file.read()) == 10
    assert storage.stat("a/b/one")[::2] == (10, 1)


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
    """A second put of a key that has content of that size changes nothing that shares it."""
    put(storage, "a/one", b"same")
    storage.link("a/two", "a/one")
    put(storage, "a/one", b"same")
    assert storage.stat("a/one").links == 2


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


def test_an_upload_has_one_holder(storage: Storage) -> None:
    """Whoever wants an upload that is held is told so at once."""
    with storage.upload("u", create=True), pytest.raises(Busy), storage.upload("u"):
        pass
    with storage.upload("u"):
        pass


def test_a_discarded_upload_is_gone(storage: Storage) -> None:
    """Discard leaves no upload."""
    with storage.upload("u", create=True) as upload:
        upload.write(b"x")
        upload.discard()
    with pytest.raises(NotFound), storage.upload("u"):
        pass


def test_link_shares_content(storage: Storage) -> None:
    """Both keys stand for the content, each outlives the other, and both count their links."""
    put(storage, "a/one", b"shared")
    storage.link("b/two", "a/one", new_directory=True)
    assert storage.stat("a/one").links == storage.stat("b/two").links == 2
    storage.delete("a/one")
    assert content(storage, "b/two") == b"shared"
    assert storage.stat("b/two").links == 1


def test_link_to_nothing_is_not_found(storage: Storage) -> None:
    """A link needs something to share, and makes nothing without it."""
    with pytest.raises(NotFound):
        storage.link("a/two", "a/one")
    with pytest.raises(NotFound):
        storage.stat("a/two")


def test_link_again_changes_nothing(storage: Storage) -> None:
    """Linking a key that shares the content already is no error."""
    put(storage, "a/one", b"shared")
    storage.link("a/two", "a/one")
    storage.link("a/two", "a/one", durable=False)
    assert storage.stat("a/one").links == 2


def test_documents_are_made_changed_and_taken_away(storage: Storage) -> None:
    """Update sees what is there, replaces it, and removes it for None."""
    seen: list[bytes | None] = []

    def step(after: bytes | None) -> None:
        storage.update("d/doc", lambda before: [seen.append(before), after][1])  # type: ignore[func-returns-value]

    step(None)
    step(b"one")
    step(b"")
    step(b"two")
    assert storage.read("d/doc") == b"two"
    step(None)
    assert seen == [None, None, b"one", b"", b"two"]
    with pytest.raises(NotFound):
        storage.read("d/doc")


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
    """A document that shares its content with another key gets its own before it is kept."""
    put(storage, "a/one", b"same")
    storage.link("a/two", "a/one")
    storage.update("a/one", lambda _: b"same")
    assert storage.stat("a/one").links == storage.stat("a/two").links == 1


def test_delete_passes_over_what_is_not_there(storage: Storage) -> None:
    """Deleting several keys removes those that are there; a prefix goes only when it is empty."""
    for key in ("p/x/1", "p/x/2", "p/y/1"):
        storage.update(key, lambda _: b"v")
    storage.delete("p/x/1", "p/none", "nowhere/at/all", "p/x/", "p/y/1", "p/y/")
    assert list(storage.list("p/x")) == ["2"]
    assert list(storage.list("p")) == ["x"]


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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    inside = threading.Barrier(2, timeout=5)

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
        thread.join(5)
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
        thread.join(20)
    if failures:
        raise failures[0]
