"""The drivers that the contract suite runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Storage


@pytest.fixture(params=["filesystem", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty store of each driver."""
    if request.param == "memory":
        return Memory()
    driver = Filesystem(str(tmp_path / "root"), private="_own")
    assert driver.start(), "the file system of the temporary directory has hard links"
    return driver
