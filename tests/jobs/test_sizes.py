"""What the leader finds out of the sizes of repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zot.config.load import default_config
from zot.jobs import sizes
from zot.registry import repositories
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
