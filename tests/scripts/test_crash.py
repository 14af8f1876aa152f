"""The crash tool: a server that keeps its word passes, and whatever it may do wrong is found."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scripts import count_calls
from scripts.crashes import calls, operations
from scripts.crashes.__main__ import main
from scripts.crashes.audit import Audit
from scripts.crashes.book import Book, Broken, Register
from scripts.crashes.calls import Trial
from scripts.crashes.disks import Disk
from scripts.crashes.judge import Judge
from scripts.crashes.load import Hand
from scripts.history.client import MANIFEST, Client, Lost
from tests.servers import Server
from zot.oci import digest as digests
from zot.registry import facts, tags
from zot.registry.store import Store

TAG = Register("tag", "a", "v1")


def test_a_server_that_keeps_its_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server survives a few kills, with a configuration of one's own."""
    config = tmp_path / "config.yaml"
    config.write_text(f"storage: {{rootDirectory: {tmp_path}/root, dedupe: false}}\nhttp: {{port: 8080}}\n")
    assert main(["kills", "--kills", "5", "--seed", "1", "--config", str(config)]) == 0, capsys.readouterr().out
    assert "nothing acknowledged was lost" in capsys.readouterr().out
    assert (tmp_path / "root/_zot-blobs/repositories").is_dir()


def test_what_is_unknown_may_be_either() -> None:
    """A request without an answer leaves both possible, and an acknowledged one only what it asked for."""
    book = Book()
    with book.attempt({TAG: "sha256:1"}):
        pass
    assert book.possible(TAG) == {"sha256:1"}
    with pytest.raises(Lost), book.attempt({TAG: None}):
        raise Lost
    assert book.possible(TAG) == {"sha256:1", None}
    book.settle(TAG, None)
    book.compare(TAG, None)
    with pytest.raises(Broken, match="should be None"):
        book.compare(TAG, "sha256:1")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A connection to the server."""
    with closing(Client(server.url.removeprefix("http://"))) as connected:
        yield connected


@pytest.fixture
def hand(client: Client) -> Hand:
    """A client that has done some things, all of them acknowledged."""
    hand = Hand(0, 1, "crash", 5)
    while not (len(hand.book.held("tag", hand.shared)) > 1 and hand.book.held("referrer", hand.shared)):
        hand.step(client)
    return hand


def lost_tag(own: Path, name: Path) -> None:
    """Take a tag away."""
    next((own / "facts/crash.1shared/tags").iterdir()).unlink()


def older_tag(own: Path, name: Path) -> None:
    """Let a tag stand for what another one stands for."""
    documents = {path.read_bytes(): path for path in (own / "facts/crash.1shared/tags").iterdir()}
    first, second, *_ = documents
    documents[first].write_bytes(second.replace(documents[second].name.encode(), documents[first].name.encode()))


def lost_blob(own: Path, name: Path) -> None:
    """Take all blobs away that are no manifests."""
    manifests = {path.name.partition("-")[2] for path in (own / "facts/crash.1shared/manifests").iterdir()}
    for path in (name / "blobs/sha256").iterdir():
        if path.name not in manifests:
            path.unlink()


def lost_referrer(own: Path, name: Path) -> None:
    """Take the lists of referrers away."""
    for path in (own / "facts/crash.1shared/referrers").glob("*/*"):
        path.unlink()


@pytest.mark.parametrize("harm", [lost_tag, older_tag, lost_blob, lost_referrer])
def test_harm_is_found(server: Server, client: Client, hand: Hand, harm: Callable[[Path, Path], None]) -> None:
    """Whatever is taken away, or set back, behind the server's back is missed."""
    Judge(client).check(hand.book, hand.book.living())
    harm(server.root / "_zot-blobs", server.root / "crash/shared")
    with pytest.raises(Broken, match=r"should be|without its blob"):
        Judge(client).check(hand.book, hand.book.living())


def test_what_came_back_is_found(client: Client, hand: Hand) -> None:
    """A tag that its client knows to be deleted is not overlooked."""
    tag = hand.book.held("tag", hand.shared)[0]
    hand.book.settle(tag, None)
    judge = Judge(client)
    with pytest.raises(Broken, match="should be None"):
        judge.check_changed([hand.book], random.Random(1), 10_000)
    with pytest.raises(Broken, match="too many"):
        judge.check_lists([hand.book], [hand.shared])


@pytest.mark.parametrize(
    "stray", ["crash/shared/stray", "stray", "_zot-blobs/stray", "_zot-blobs/facts/crash.1shared/tags/sub/stray"]
)
def test_a_file_that_no_sweep_knows_is_found(server: Server, hand: Hand, stray: str) -> None:
    """A file outside of all that the store's keys can be is found."""
    Audit(server.root).check()
    (server.root / stray).parent.mkdir(exist_ok=True)
    (server.root / stray).write_text("stray")
    with pytest.raises(Broken, match="no sweep knows"):
        Audit(server.root)


@pytest.mark.parametrize("harm", [lost_blob])
def test_what_does_not_fit_is_found_on_disk(server: Server, hand: Hand, harm: Callable[[Path, Path], None]) -> None:
    """The files are looked at too, without a server."""
    harm(server.root / "_zot-blobs", server.root / "crash/shared")
    with pytest.raises(Broken, match="without its blob"):
        Audit(server.root).check()


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_store_that_does_not_sync_loses(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The power cuts are real: with `commit: false` something acknowledged is lost soon."""
    if os.geteuid() != 0 and not os.environ.get("ZOT_REQUIRE_ALL"):
        pytest.skip("mounting a disk wants root")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path), "commit": False}}))
    assert main(["cuts", "--cuts", "10", "--file-system", kind, "--seed", "1", "--config", str(config)]) == 1
    assert "BROKEN" in capsys.readouterr().out
    assert not any(kind in line and "zot-crash" in line for line in Path("/proc/mounts").read_text().splitlines())


@pytest.mark.e2e
def test_an_operation_in_the_wrong_order_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[..., str]
) -> None:
    """A tag that is written before what it stands for dangles when the next call is the last."""
    need("strace")
    right = operations.steps()["push a manifest with a subject"]

    def tag_first(store: Store) -> None:
        body = right.effects[Register("tag", "a", "new")]
        assert body is not None
        tags.point(store, "a", facts.TagFact("new", MANIFEST, digests.parse(body), 1, 1.0, ""))
        right.do(store)

    monkeypatch.setattr(calls, "steps", lambda: {"wrong": right._replace(do=tag_first)})
    with pytest.raises(Broken, match="on disk the tag new of a stands for"):
        Trial(tmp_path).run("signal=SIGKILL", print)


@pytest.mark.e2e
def test_no_operation_syncs_too_often(tmp_path: Path, need: Callable[..., str]) -> None:
    """The syncs of each operation are as few as DESIGN.md says, counted by strace."""
    need("strace")
    counted = count_calls.count(tmp_path)
    assert {name: syncs for name, (_, syncs) in counted.items() if syncs > count_calls.BOUNDS.get(name, syncs)} == {}
    assert (counted["push a blob"][1], counted["push a manifest"][1]) == (2, 9)


def test_a_disk_that_can_not_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root nothing is tried, the reason is told, and the exit status is that of wrong use."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["cuts"]) == 2
    with pytest.raises(Exception, match="wants root"):
        Disk("ext4", tmp_path)
