"""The sweep of the crash tool: it takes what crashes left, and tells what a collection would not find."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.crashes import operations, sweeping
from scripts.crashes.book import Broken
from scripts.history.client import digest_of
from zot.oci import digest as digests
from zot.registry import facts, paths


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store has images, a layout of another program, and what a crash may leave."""
    root = tmp_path / "root"
    operations.fill(root)
    store = operations.open_store(root)
    with store.storage.upload("abandoned", create=True) as upload:
        upload.write(b"half")
    lone = facts.encode_children((digests.parse(digest_of(operations.IMAGES[1])),))
    store.storage.write(paths.index("a", digests.of(b"an index that never came")), lone, new_directory=True)
    own = root / "_zot-blobs"
    (own / "tmp/half-written").write_bytes(b"half")
    (own / "content/sha256/ab").mkdir(parents=True, exist_ok=True)
    (own / "content/sha256/ab" / ("ab" * 32)).write_bytes(b"lone")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"storage": {"rootDirectory": str(root)}, "http": {"port": 0}}))
    return file


def test_what_crashes_left_goes(config: Path) -> None:
    """Sessions, temporary files and lone masters go, and so does what no tag leads to; two images of 4 things stay."""
    assert sweeping.sweep(config) == 8
    (config.parent / "root/theirs").rename(config.parent / "elsewhere")
    sweeping.check_disk(config.parent / "root")


@pytest.mark.parametrize("left_out", ["drop_leftovers", "clean"])
def test_a_collection_that_leaves_something_is_found_out(
    config: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """If a part of the collection did nothing the tool would say so."""
    monkeypatch.setattr(sweeping, left_out, lambda *_, **__: SimpleNamespace(removed=()))
    with pytest.raises(Broken, match="a collection leaves"):
        sweeping.sweep(config)


def test_a_file_that_was_left_on_disk_is_found_out(config: Path) -> None:
    """Whatever the store says of itself, the files are looked at."""
    (config.parent / "root/theirs").rename(config.parent / "elsewhere")
    with pytest.raises(Broken, match=r"by kind: .*'temporary file': 1"):
        sweeping.check_disk(config.parent / "root")
