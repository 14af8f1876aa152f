"""Shared blobs when sharing fails: too many links, none at all, a damaged master."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zot.config import default_config
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import blobs, paths, uploads
from zot.registry.opening import open_stores
from zot.registry.store import Store

CONTENT = b"shared by all"
DIGEST = digests.of(CONTENT)


@pytest.fixture
def copies() -> list[int]:
    """Grows by one for each copy that had to be made."""
    return []


@pytest.fixture
def store(tmp_path: Path, copies: list[int]) -> Store:
    """A store on disk with dedupe."""
    return open_stores(default_config(str(tmp_path)), on_copy=lambda: copies.append(1)).default


def push(store: Store, name: str) -> Digest:
    """Push the blob into a repository."""
    uploads.push(store, name, DIGEST, [CONTENT])
    return DIGEST


def inode(root: Path, name: str) -> int:
    """Return which file a repository's blob is."""
    return (root / paths.blob(name, DIGEST)).stat().st_ino


def test_when_a_file_has_all_its_links(
    store: Store, copies: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository that comes too late gets a copy, which the next ones share."""
    push(store, "a")
    push(store, "b")
    full = inode(tmp_path, "a")
    real = os.link

    def link(source: str, target: str) -> None:
        if os.stat(source).st_ino == full:
            raise OSError(errno.EMLINK, "Too many links")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    push(store, "c")
    push(store, "d")
    assert copies == [1]
    assert inode(tmp_path, "c") == inode(tmp_path, "d") != full
    assert not blobs.mount(store, "e", DIGEST, "a"), "a mount that can't link leaves it to the client to upload"


def test_a_store_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there are no hard links, dedupe is off with one warning, and pushes work."""

    def no_link(*_: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    store = open_stores(default_config(str(tmp_path))).default
    assert not store.dedupe
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    push(store, "a")
    push(store, "b")
    assert inode(tmp_path, "a") != inode(tmp_path, "b")


def test_a_damaged_master_is_replaced(store: Store, tmp_path: Path) -> None:
    """A master of another length is not shared; the next push of the blob is whole, and mends its own repository."""
    push(store, "a")
    (tmp_path / paths.content(DIGEST)).write_bytes(b"cut")
    push(store, "b")
    push(store, "a")
    for name in ("a", "b"):
        assert (tmp_path / paths.blob(name, DIGEST)).read_bytes() == CONTENT
    assert inode(tmp_path, "a") == inode(tmp_path, "b")
