"""What only the S3 driver promises: parts, claims, conditions, and what it does when the server fails."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults import Fault, FaultProxy, fault_proxy
from tests.servers import PATIENCE
from tests.services import ACCESS_KEY, SECRET_KEY, S3Server
from tests.storage.conftest import REAL
from zot.errors import StartupError
from zot.storage.protocol import Busy, Damaged, Full, Lapsed, Leftover, NotFound, Unavailable
from zot.storage.s3 import S3, Settings, locks, uploads
from zot.storage.s3.bucket import pauses

MIB = 1024 * 1024
SHARED = "s/content"


class Servers:
    """Opens drivers on one root of one bucket, each as a server of its own would."""

    def __init__(self, server: S3Server, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack
        self.root = uuid.uuid4().hex

    def open(self, endpoint: str | None = None) -> S3:
        """Open one more."""
        settings = Settings(
            self._server.bucket,
            endpoint=endpoint or self._server.endpoint,
            root=self.root,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            part_size=5 * MIB,
        )
        driver = S3(settings, private="_own")
        self._stack.callback(driver.close)
        return driver


@pytest.fixture(params=["moto", *(pytest.param(real, marks=pytest.mark.e2e) for real in REAL)])
def s3(request: pytest.FixtureRequest) -> S3Server:
    """An imitation, or a real server."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def servers(s3: S3Server) -> Iterator[Servers]:
    """Drivers on an empty root."""
    with ExitStack() as stack:
        yield Servers(s3, stack)


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultProxy]:
    """A proxy before the server."""
    with fault_proxy(s3.endpoint) as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between tries."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def put(driver: S3, key: str, content: bytes, shared: str | None = None) -> None:
    """Store content."""
    with driver.upload(uuid.uuid4().hex, create=True) as upload:
        upload.write(content)
        driver.put(key, upload, shared=shared)


def content(driver: S3, key: str, start: int = 0) -> bytes:
    """Read content."""
    with driver.open(key, start).file as file:
        return file.read()


def sweep(driver: S3) -> None:
    """Remove all leftovers, however young."""
    for leftover in list(driver.leftovers(time.time() + 60, shared="s")):
        driver.discard(leftover)


def everything(driver: S3) -> set[str]:
    """Return all keys below the root, without it."""
    client, found = driver.bucket.client, set()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=driver.bucket.name):
        found |= {one["Key"] for one in page.get("Contents", ())}
    prefix = driver.bucket._prefix
    return {key.removeprefix(prefix) for key in found if key.startswith(prefix)}


def test_an_upload_goes_on_on_other_servers(servers: Servers) -> None:
    """Chunks of one upload that go to two servers in turns make one content, of parts of one size."""
    one, other = servers.open(), servers.open()
    sent: list[int] = []
    for driver in (one, other):
        driver.bucket.client.meta.events.register(
            "before-parameter-build.s3.UploadPart", lambda params, **_: sent.append(len(params["Body"]))
        )
    whole = os.urandom(13 * MIB + 17)
    with one.upload("u", create=True):
        pass
    position = 0
    for number, size in enumerate((1, 3 * MIB, 6 * MIB, 100, 14 * MIB)):
        with (one, other)[number % 2].upload("u") as upload:
            assert upload.size == position
            for begin in range(position, min(position + size, len(whole)), 300_000):
                upload.write(whole[begin : min(begin + 300_000, position + size)])
            position = upload.size
    with other.upload("u") as upload:
        assert b"".join(bytes(piece) for piece in upload.read()) == whole
        other.put("a/one", upload)
    assert content(one, "a/one") == whole
    assert content(one, "a/one", 13 * MIB) == whole[13 * MIB :]
    assert sent == [5 * MIB, 5 * MIB, 3 * MIB + 17]
    assert {key.partition("/")[0] for key in everything(one)} == {"a", "_own"}
    assert len(everything(one)) == 2


def test_whoever_sends_parts_is_alone(servers: Servers) -> None:
    """While a request sends parts another one is told at once that the upload is busy."""
    one, other = servers.open(), servers.open()
    with one.upload("u", create=True) as upload:
        upload.write(bytes(6 * MIB))
        with pytest.raises(Busy), other.upload("u"):
            pass
    with other.upload("u") as upload:
        assert upload.size == 6 * MIB


def test_a_dead_claim_is_taken_over(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that was not renewed for long holds nobody up, and its owner, if it lives after all, gets Busy."""
    one, other = servers.open(), servers.open()
    with pytest.raises(Busy), one.upload("u", create=True) as upload:
        upload.write(bytes(6 * MIB))
        monkeypatch.setattr(uploads, "VOID_AFTER", -1.0)
        with other.upload("u") as second:
            # The first part was not noted yet when the session was saved last.
            assert second.size in {5 * MIB, 6 * MIB}
            second.write(b"x")
    monkeypatch.setattr(uploads, "LAPSES_AFTER", -1.0)
    with pytest.raises(Unavailable), one.upload("v", create=True) as upload:
        upload.write(bytes(6 * MIB))
        upload.write(b"x")


@pytest.mark.parametrize("size", [10, 100_000, 6 * MIB])
def test_a_discarded_upload_leaves_nothing(servers: Servers, size: int) -> None:
    """Neither objects nor parts stay behind."""
    driver = servers.open()
    with driver.upload("u", create=True) as upload:
        upload.write(bytes(size))
    with driver.upload("u") as upload:
        upload.discard()
    assert everything(driver) == set()
    client = driver.bucket.client
    assert servers.root not in str(client.list_multipart_uploads(Bucket=driver.bucket.name).get("Uploads"))


def test_a_put_that_was_interrupted_is_done_again(servers: Servers, proxy: FaultProxy, quick: None) -> None:
    """After a server failed though it had completed the parts, or written the pointer, the same put succeeds."""
    through, driver = servers.open(proxy.endpoint), servers.open()
    whole = os.urandom(6 * MIB)
    with through.upload("u", create=True) as upload:
        upload.write(whole)
    for method, step in (("POST", "uploadId"), ("PUT", "a/one")):
        proxy.once(method, Fault(500, afterwards=True), step, times=9)
        with pytest.raises(Unavailable), through.upload("u") as upload:
            through.put("a/one", upload)
    proxy.rule = lambda *_: None
    with through.upload("u") as upload:
        through.put("a/one", upload)
    assert content(driver, "a/one") == whole
    assert len(everything(driver)) == 2


def test_sharing_survives_a_remover(servers: Servers) -> None:
    """While somebody may be removing shared content a new holder keeps its own, which goes with its key."""
    driver = servers.open()
    big = os.urandom(100_000)
    put(driver, "a/one", big, SHARED)
    before = everything(driver)
    driver.bucket.put("_own/removing/s-content/somebody", b"")
    put(driver, "b/two", big, SHARED)
    assert len([key for key in everything(driver) if "/data/" in key]) == 2
    driver.bucket.delete("_own/removing/s-content/somebody")
    driver.remove("b/two", shared=SHARED)
    assert everything(driver) == before
    driver.remove("a/one", shared=SHARED)
    assert everything(driver) == set()


def test_what_was_published_outlives_its_session(servers: Servers, proxy: FaultProxy, quick: None) -> None:
    """A put that died when others could share its bytes leaves its session; whoever throws that away takes nothing."""
    through, driver = servers.open(proxy.endpoint), servers.open()
    whole = os.urandom(6 * MIB)
    with driver.upload("u", create=True) as upload:
        upload.write(whole)
    proxy.once("PUT", Fault(403), "a/one", times=9)
    with pytest.raises(Unavailable), through.upload("u") as upload:
        through.put("a/one", upload, shared=SHARED)
    proxy.rule = lambda *_: None
    put(driver, "b/two", whole, SHARED)
    with driver.upload("u") as upload:
        upload.discard()
    sweep(driver)
    assert content(driver, "b/two") == whole
    driver.remove("b/two", shared=SHARED)
    assert everything(driver) == set()


def test_bytes_that_became_content_outlive_their_session(servers: Servers, proxy: FaultProxy, quick: None) -> None:
    """A pointer that was written, though the server said that it failed, stands for bytes that nobody takes away."""
    through, driver = servers.open(proxy.endpoint), servers.open()
    whole = os.urandom(6 * MIB)
    proxy.once("PUT", Fault(500, afterwards=True), "a/one", times=9)
    with through.upload("u", create=True) as upload:
        upload.write(whole)
        with pytest.raises(Unavailable):
            through.put("a/one", upload, shared=SHARED)
        upload.discard()
    sweep(driver)
    assert content(driver, "a/one") == whole


def test_one_key_that_is_put_by_two_stays_linked(servers: Servers) -> None:
    """Of two that put one key at once, one that sees a remover does not take away the link of the other."""
    driver = servers.open()
    big = os.urandom(100_000)
    put(driver, "a/one", big, SHARED)
    sharing = driver._sharing
    assert sharing.join(SHARED, "b/two")
    driver.bucket.put("_own/removing/s-content/somebody", b"")
    assert not sharing.join(SHARED, "b/two")
    driver.bucket.delete("_own/removing/s-content/somebody")
    driver.remove("a/one", shared=SHARED)
    found = sharing.find(SHARED)
    assert found is not None
    driver._point("b/two", found)
    assert content(driver, "b/two") == big


def test_lone_links_and_what_they_kept_go(servers: Servers) -> None:
    """What a crash left between link and pointer, or between a key's removal and its link's, goes, and nothing else."""
    driver = servers.open()
    put(driver, "a/kept", b"k" * 100_000, "s/kept")
    put(driver, "b/kept", b"k" * 100_000, "s/kept")
    kept = everything(driver)
    driver._sharing.join("s/kept", "c/never")
    driver._sharing.join("s/none", "c/never")
    put(driver, "a/removed", b"r" * 100_000, "s/removed")
    driver.bucket.delete("a/removed")
    put(driver, "a/forgotten", b"f" * 100_000, "s/forgotten")
    driver.bucket.delete("a/forgotten")
    for link in list(driver.bucket.walk(driver._sharing.links_of("s/forgotten", "a/forgotten"))):
        driver.bucket.delete(link.key)
    sweep(driver)
    assert everything(driver) == kept


def test_a_link_that_somebody_came_back_to_stays(servers: Servers) -> None:
    """Between the finding of a lone link and its removal a push may need the content behind it."""
    driver = servers.open()
    big = os.urandom(100_000)
    put(driver, "a/one", big, SHARED)
    driver.bucket.delete("a/one")
    found = list(driver.leftovers(time.time() + 60, shared="s"))
    assert len(found) == 1
    put(driver, "a/one", big, SHARED)
    assert not any(driver.discard(leftover) for leftover in found)
    assert not driver.discard(Leftover("shared", SHARED, 0, 0.0))
    assert content(driver, "a/one") == big


def test_a_key_that_is_put_anew_keeps_its_content(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remover that stood still for longer than its lock takes nothing from whoever has put the key meanwhile."""
    driver, other = servers.open(), servers.open()
    big = os.urandom(100_000)
    put(driver, "a/one", big, SHARED)
    delete = driver.bucket.delete

    def stand_still(key: str) -> None:
        delete(key)
        if key == "a/one":
            put(other, key, big, SHARED)

    monkeypatch.setattr(driver.bucket, "delete", stand_still)
    driver.remove("a/one", shared=SHARED)
    assert content(other, "a/one") == big
    other.remove("a/one", shared=SHARED)
    assert everything(other) == set()


def test_links_of_the_first_kind_stay_with_their_keys(servers: Servers) -> None:
    """A link that names its key only, as there were before each holder had its own, is no leftover."""
    driver = servers.open()
    put(driver, "a/one", b"k" * 100_000, SHARED)
    driver.bucket.put(driver._sharing.links_of(SHARED, "a/one"), b"a/one")
    sweep(driver)
    assert content(driver, "a/one") == b"k" * 100_000
    driver.remove("a/one", shared=SHARED)
    assert everything(driver) == set()


def test_looking_for_leftovers_asks_for_few_objects(servers: Servers, proxy: FaultProxy) -> None:
    """Pointers to what is shared are known by their ETags: not each key costs a request, nor does a manifest."""
    driver, through = servers.open(), servers.open(proxy.endpoint)
    for number in range(20):
        put(driver, f"a/key{number}", b"k" * 100_000, SHARED)
        driver.write(f"a/manifest{number}", b"{" + b" " * 600 + b"}")
    proxy.seen.clear()
    assert list(through.leftovers(time.time() + 60, shared="s")) == []
    assert len(proxy.seen) < 15


def test_shared_content_whose_bytes_are_gone_is_not_shared(servers: Servers) -> None:
    """A push mends what lost its bytes, and nobody is served half of it."""
    driver = servers.open()
    big = os.urandom(100_000)
    put(driver, "a/one", big, SHARED)
    data = next(key for key in everything(driver) if "/data/" in key)
    driver.bucket.delete(data)
    with pytest.raises(Damaged):
        content(driver, "a/one")
    driver.bucket.put(data, big[:-1])
    with pytest.raises(Damaged):
        content(driver, "a/one")
    put(driver, "b/two", big, SHARED)
    put(driver, "a/one", big, SHARED)
    assert content(driver, "a/one") == content(driver, "b/two") == big


def test_what_is_set_aside_is_shared_with_nobody_new(servers: Servers) -> None:
    """After damage was found a push brings the content anew."""
    driver = servers.open()
    put(driver, "a/one", b"x" * 100_000, SHARED)
    driver.set_aside("a/one", shared=SHARED)
    assert not driver.is_shared(SHARED)
    put(driver, "a/one", b"y" * 100_000, SHARED)
    assert content(driver, "a/one") == b"y" * 100_000


def test_manifests_are_blobs(servers: Servers) -> None:
    """What was written as a document is opened as content, and content is read as a document, large or small."""
    driver = servers.open()
    for size in (10, 200_000):
        driver.write(f"a/written{size}", bytes(size))
        assert content(driver, f"a/written{size}") == bytes(size)
        assert driver.stat(f"a/written{size}").size == size
        put(driver, f"a/put{size}", bytes(size))
        assert driver.read(f"a/put{size}") == bytes(size)
        put(driver, f"a/written{size}", bytes(size))
        assert driver.read(f"a/written{size}") == bytes(size)
        driver.touch(f"a/put{size}")
        assert driver.read(f"a/put{size}") == bytes(size)


@pytest.mark.parametrize("size", [50_000, 6 * MIB])
def test_a_body_that_breaks_off_is_gone_on_with(servers: Servers, proxy: FaultProxy, quick: None, size: int) -> None:
    """A reader gets all bytes though the connection breaks again and again, and an error when it breaks for good."""
    driver, through = servers.open(), servers.open(proxy.endpoint)
    whole = os.urandom(size)
    put(driver, "a/one", whole)
    part = "/data/" if size > MIB else "/a/one"
    for cut in (0, 1000):
        proxy.once("GET", Fault(cut=cut), part, times=3)
        assert content(through, "a/one") == whole
    proxy.rule = lambda method, path, _: Fault(cut=0) if method == "GET" and part in path else None
    with pytest.raises(Unavailable):
        content(through, "a/one")


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_is_asked_again(servers: Servers, proxy: FaultProxy, quick: None, status: int) -> None:
    """Two failures are not noticed; a server that goes on failing makes the store unavailable."""
    through = servers.open(proxy.endpoint)
    for fault in (Fault(status), Fault(status, afterwards=True)):
        key = uuid.uuid4().hex
        proxy.once("PUT", fault, times=2)
        through.write(key, b"first", once=True)
        proxy.once("PUT", fault, times=2)
        through.update(key, lambda before: (before or b"") + b" and second")
        assert through.read(key) == b"first and second"
    proxy.rule = lambda *_: Fault(status)
    for call in (lambda: through.read("x"), lambda: through.write("x", b""), lambda: list(through.list("x"))):
        with pytest.raises(Unavailable):
            call()


def test_a_full_server_is_full(servers: Servers, proxy: FaultProxy, quick: None) -> None:
    """507 is not an outage: something has to be removed."""
    through = servers.open(proxy.endpoint)
    proxy.rule = lambda *_: Fault(507)
    with pytest.raises(Full):
        through.write("x", b"")


def test_no_update_is_lost_in_a_storm_of_conflicts(servers: Servers, proxy: FaultProxy) -> None:
    """Conditional writes that are refused for nothing, or done and then refused, count once each all the same."""
    refusals = iter(range(10_000))

    def storm(method: str, _path: str, headers: Any) -> Fault | None:
        if method != "PUT" or not (headers.get("If-Match") or headers.get("If-None-Match")):
            return None
        return [None, Fault(412), Fault(412, afterwards=True)][next(refusals) % 3]

    proxy.rule = storm
    through = servers.open(proxy.endpoint)

    def increment() -> None:
        for _ in range(10):
            through.update("d/number", lambda before: str(int(before or b"0") + 1).encode())

    threads = [threading.Thread(target=increment) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert through.read("d/number") == b"30"
    with through.lock("kind/a", shared=False):
        pass


def test_endless_conflicts_end(servers: Servers, proxy: FaultProxy, quick: None) -> None:
    """An update that never gets through gives up."""
    through = servers.open(proxy.endpoint)
    proxy.rule = lambda method, *_: Fault(412) if method == "PUT" else None
    with pytest.raises(Unavailable):
        through.update("d/doc", lambda _: b"x")


@pytest.mark.parametrize(("ignored", "named"), [("if-none-match", "If-None-Match"), ("if-match", "If-Match")])
def test_a_server_that_ignores_conditions_is_refused(moto: S3Server, ignored: str, named: str) -> None:
    """The start fails, and says why and what to do; conditions are signed, so only an imitation can be made deaf."""
    with ExitStack() as stack:
        proxy = stack.enter_context(fault_proxy(moto.endpoint))
        proxy.rule = lambda *_: Fault(without=(ignored,))
        with pytest.raises(StartupError) as caught:
            Servers(moto, stack).open(proxy.endpoint).start()
    assert f"ignores {named}" in caught.value.problem
    assert "conditional writes" in caught.value.remedy


def test_etags_without_quotes(servers: Servers, proxy: FaultProxy) -> None:
    """A server that compares ETags with their quotes, as Ceph does, is found out and served."""
    proxy.rule = lambda _method, _path, headers: Fault(412) if '"' in headers.get("If-Match", "") else None
    through = servers.open(proxy.endpoint)
    through.start()
    through.update("d/doc", lambda _: b"one")
    through.update("d/doc", lambda _: b"two")
    assert through.read("d/doc") == b"two"


@pytest.mark.parametrize(
    ("bucket", "endpoint", "remedy"),
    [
        ("none-of-that-name", None, "make the bucket"),
        ("registry", "http://127.0.0.1:9", "until the S3 server answers"),
    ],
)
def test_a_bucket_that_is_not_there(s3: S3Server, quick: None, bucket: str, endpoint: str | None, remedy: str) -> None:
    """The start fails with a remedy for a bucket or a server that is not there."""
    settings = Settings(bucket, endpoint=endpoint or s3.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    driver = S3(settings, private="_own")
    with pytest.raises(StartupError) as caught:
        driver.start()
    assert remedy in caught.value.remedy
    driver.close()


@pytest.mark.e2e
def test_a_wrong_key_is_named(seaweedfs: S3Server) -> None:
    """The start fails with what to correct."""
    settings = Settings(seaweedfs.bucket, endpoint=seaweedfs.endpoint, access_key=ACCESS_KEY, secret_key="wrong")
    driver = S3(settings, private="_own")
    with pytest.raises(StartupError) as caught:
        driver.start()
    assert "accesskey and secretkey" in caught.value.remedy
    driver.close()


def test_a_lapsed_lock_changes_nothing(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who could not renew a lock in time may neither change anything under it nor acknowledge what was done."""
    driver = servers.open()
    with pytest.raises(Lapsed), driver.lock("kind/a", shared=True):
        monkeypatch.setattr(locks, "LAPSES_AFTER", -1.0)
        changes: list[Callable[[], object]] = [
            lambda: driver.write("x", b""),
            lambda: driver.update("x", lambda _: b""),
            lambda: driver.delete("x"),
            lambda: driver.remove("x", shared=SHARED),
        ]
        for change in changes:
            with pytest.raises(Lapsed):
                change()
    monkeypatch.undo()
    driver.write("x", b"")


def test_a_lock_that_lapses_during_a_look(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is idle by an answer that came too late is not removed: somebody may have asked for it since."""
    driver = servers.open()
    driver.write("x", b"")
    head = driver.bucket.head

    def late(key: str) -> object:
        monkeypatch.setattr(locks, "LAPSES_AFTER", -1.0)
        return head(key)

    with pytest.raises(Lapsed), driver.lock("kind/a", shared=False):
        monkeypatch.setattr(driver.bucket, "head", late)
        driver.remove("x", shared=SHARED)
    monkeypatch.undo()
    assert driver.read("x") == b""


def test_the_dead_hold_nothing(servers: Servers, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """Intents and marks that nobody renewed are passed over; those of the living are waited for, but not for ever."""
    driver = servers.open()
    driver.bucket.put("_own/locks/kind/a/shared-dead", b"")
    with monkeypatch.context() as short:
        short.setattr(locks, "_PATIENCE", 0.3)
        with pytest.raises(Unavailable), driver.lock("kind/a", shared=False):
            pass
        driver.bucket.put("_own/locks/kind/b/exclusive", b"")
        for shared in (True, False):
            with pytest.raises(Unavailable), driver.lock("kind/b", shared=shared):
                pass
    assert everything(driver) == {"_own/locks/kind/a/shared-dead", "_own/locks/kind/b/exclusive"}
    monkeypatch.setattr(locks, "VOID_AFTER", -1.0)
    with driver.lock("kind/a", shared=False), driver.lock("kind/b", shared=False):
        pass
    assert everything(driver) == set()


def test_a_lock_is_renewed(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held for long stays one, and is gone when it is given back."""
    monkeypatch.setattr(locks, "RENEWED_AFTER", 0.04)
    driver = servers.open()
    changed = threading.Event()

    def note(params: dict[str, Any], **_: Any) -> None:
        if "IfMatch" in params:
            changed.set()

    driver.bucket.client.meta.events.register("before-parameter-build.s3.PutObject", note)
    for shared in (True, False):
        changed.clear()
        with driver.lock("kind/a", shared=shared):
            assert changed.wait(PATIENCE)
    assert everything(driver) == set()


def test_a_forked_process_has_connections_of_its_own(servers: Servers) -> None:
    """What was connected before a fork is not used after it: the answers of one would go to the other."""
    driver = servers.open()
    driver.write("x", b"one")
    made = multiprocessing.get_context("fork").Process(target=_is_alone, args=(driver,))
    made.start()
    made.join(PATIENCE)
    assert made.exitcode == 0
    assert driver.read("x") == b"one"


def _is_alone(driver: S3) -> None:
    manager = driver.bucket._client._endpoint.http_session._manager  # type: ignore[attr-defined]
    assert len(manager.pools) > 0
    assert driver.bucket.client is driver.bucket._client
    assert len(manager.pools) == 0
    assert driver.read("x") == b"one"


def test_settings_say_nothing_secret() -> None:
    """Keys are not in what a settings object shows of itself."""
    shown = repr(Settings("b", access_key="the access", secret_key="the secret", session_token="the token"))
    assert "the " not in shown


def test_not_found_is_not_an_outage(servers: Servers) -> None:
    """A missing key is told from a failing server."""
    with pytest.raises(NotFound):
        servers.open().read("none")


def test_a_list_begins_after_anything(servers: Servers) -> None:
    """What a client says that it has seen last may be no name at all, and dots and control characters do no harm."""
    driver = servers.open()
    driver.write_many((f"l/{name}", b"") for name in ("a", "b.c", "b/d", "b-e"))
    for after, left in (
        ("", ["a", "b", "b-e", "b.c"]),
        ("..", ["a", "b", "b-e", "b.c"]),
        ("../../x", ["a", "b", "b-e", "b.c"]),
        ("a\0", ["b", "b-e", "b.c"]),
        ("b", ["b-e", "b.c"]),
        ("b-é", ["b.c"]),
        ("ä", []),
    ):
        assert list(driver.list("l", after)) == left


def test_pauses_are_bounded() -> None:
    """However often one tries, no pause is longer than said."""
    assert max(pauses(3000, longest=0.5)) <= 0.5
