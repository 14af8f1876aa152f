"""What the leader finds out of the sizes of repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zot.api import telemetry
from zot.config.load import default_config
from zot.errors import NameInvalid
from zot.jobs import sizes
from zot.oci.names import check_repository
from zot.registry import repositories, usage
from zot.registry.opening import open_stores
from zot.registry.store import Store
from zot.storage.protocol import Unavailable


def test_a_look_that_broke_off_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the storage fails in the middle, those that were seen are not taken for all; the next look begins anew."""
    store = open_stores(default_config(str(tmp_path / "root"))).default
    fails = iter([True, False])

    def names(_store: Store) -> Iterator[str]:
        yield "a"
        if next(fails):
            raise Unavailable("the disk does not answer")
        yield "b"

    monkeypatch.setattr(repositories, "names", names)
    looking = sizes.Sizes(store, "/", str(tmp_path), 0)
    with pytest.raises(Unavailable):
        looking.look_on()
    assert sizes.read(str(tmp_path), "/") == {}
    looking.look_on()
    assert sizes.read(str(tmp_path), "/") == {"a": 0, "b": 0}


def test_the_small_ones_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound sizes are added up under a word that no repository can be called, also one called `other`."""
    store = open_stores(default_config(str(tmp_path / "root"))).default
    found = {"a": 50, "b": 5, "c": 4, "other": 100}
    monkeypatch.setattr(sizes, "_MOST", 2)
    monkeypatch.setattr(repositories, "names", lambda _: iter(found))
    monkeypatch.setattr(usage, "size_of", lambda _, name: found[name])
    sizes.Sizes(store, "/", str(tmp_path), 0).look_on()
    assert sizes.read(str(tmp_path), "/") == {"other": 100, "a": 50, sizes.OTHER: 9}
    for word in (sizes.OTHER, telemetry.OTHER, telemetry.NONE):
        with pytest.raises(NameInvalid):
            check_repository(word)
