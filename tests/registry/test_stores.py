"""Several stores in one registry: which repository is where, and the catalogue over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.config import Config
from zot.errors import StartupError
from zot.oci import digest as digests
from zot.registry import paths, repositories, uploads
from zot.registry.opening import open_stores
from zot.registry.store import Store
from zot.registry.stores import Stores, routes
from zot.storage.memory import Memory

NAMES = st.lists(st.from_regex(r"[ab](-?[ab01])?(/[ab]([._-][ab])?){0,2}", fullmatch=True), unique=True, max_size=12)


def in_memory() -> Stores:
    """Return two sub-paths and a default store, in memory."""
    return Stores(Store(Memory()), {"/a": Store(Memory()), "b/": Store(Memory())})


def push(stores: Stores, name: str) -> None:
    """Make a repository by pushing a blob to it."""
    uploads.push(stores.of(name), name, digests.of(b"x"), iter([b"x"]))


def test_the_first_component_chooses() -> None:
    """A repository below a route is in its store; one that is called like it, or longer, is in the default one."""
    stores = in_memory()
    a, b = stores.at("/a"), stores.at("/b")
    assert stores.of("a/x") is stores.of("a/x/y") is a
    assert stores.of("b/x") is b
    for name in ("a", "b", "aa/x", "x/a", "x"):
        assert stores.of(name) is stores.default is stores.at("/")
    with pytest.raises(StartupError, match="no store at '/c'"):
        stores.at("/c")


@given(names=NAMES, length=st.integers(1, 4))
def test_pages_over_all_stores(names: list[str], length: int) -> None:
    """Pages of any length, one after the other, list what all stores hold in the order of bytes, each once."""
    stores = in_memory()
    for name in names:
        push(stores, name)
    listed: list[str] = []
    while True:
        page = repositories.page(stores.names(listed[-1] if listed else ""), length)
        listed += page.names
        if not page.more:
            break
    assert listed == sorted(names, key=str.encode)


def test_what_is_hidden_is_not_listed() -> None:
    """A repository that was pushed before its sub-path was configured can't be reached, and is not listed."""
    before = Stores(Store(Memory()))
    push(before, "a/x")
    push(before, "x")
    after = Stores(before.default, {"/a": Store(Memory())})
    assert list(after.names()) == ["x"]


def test_each_store_as_configured(tmp_path: Path) -> None:
    """Every sub-path has its own root and its own dedupe, which is off unless asked for."""
    sub_paths: dict[str, Any] = {
        "/a": {"rootDirectory": str(tmp_path / "a"), "dedupe": True},
        "/b": {"rootDirectory": str(tmp_path / "b")},
    }
    config = Config.model_validate({"storage": {"rootDirectory": str(tmp_path / "root"), "subPaths": sub_paths}})
    stores = open_stores(config)
    assert [(route, store.dedupe) for route, store in stores.by_route()] == [("/", True), ("/a", True), ("/b", False)]
    assert routes(config) == ["/", "/a", "/b"]
    for name in ("a/x", "b/x", "c/x"):
        push(stores, name)
    assert (tmp_path / "a/a/x/blobs").is_dir()
    assert (tmp_path / "b/b/x/blobs").is_dir()
    assert (tmp_path / "root/c/x/blobs").is_dir()


def test_a_store_whose_format_cannot_be_told(tmp_path: Path) -> None:
    """A store that fails while it is opened is one line with a remedy, and one of a later version says so."""
    config = Config.model_validate({"storage": {"rootDirectory": str(tmp_path)}})
    (tmp_path / paths.FORMAT).mkdir(parents=True)
    with pytest.raises(StartupError, match="can't be used: a directory stands where a file"):
        open_stores(config)
    (tmp_path / paths.FORMAT).rmdir()
    (tmp_path / paths.FORMAT).write_bytes(b"2\n")
    with pytest.raises(StartupError, match="later version of zot"):
        open_stores(config)
