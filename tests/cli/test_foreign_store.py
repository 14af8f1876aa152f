"""What a user is told to whom the store does not belong."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from cli.output import Output
from cli.store import open_store, open_to_change
from tests.cli.test_options import run
from zot import checkup
from zot.config import default_config
from zot.errors import StartupError
from zot.registry import paths
from zot.storage.filesystem import Filesystem


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a store as another user sees it, to whom it is closed."""
    root = tmp_path / "root"
    (root / paths.PRIVATE).mkdir(parents=True)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    able = os.access
    monkeypatch.setattr(
        os, "access", lambda name, mode: root not in (Path(name), *Path(name).parents) and able(name, mode)
    )
    return root


def test_commands_say_as_whom_to_run_them(foreign: Path, tmp_path: Path) -> None:
    """A command that looks into the store, or changes it, names its owner, and doctor tells no other cure."""
    owner = pwd.getpwuid(foreign.stat().st_uid).pw_name
    for opens in (open_store, open_to_change):
        with pytest.raises(StartupError, match=f"{foreign} belongs to {owner}, .*; run this as {owner}"):
            opens(default_config(str(foreign), port=0), Output())
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"storage": {"rootDirectory": str(foreign)}}))
    shown = run("doctor", "-c", str(config)).output
    assert f"it belongs to {owner}" in shown
    assert "run this as" in shown
    assert "zot serve makes it" not in shown


def test_a_directory_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this user may not even look, it is not said that there is no store."""

    def closed(_directory: str) -> str:
        raise PermissionError

    monkeypatch.setattr("cli.store.foreign_owner", closed)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    with pytest.raises(StartupError, match=r"may not look at .*; run this as the user that runs the server"):
        open_store(default_config(str(tmp_path), port=0), Output())


def test_serve_and_verify_name_the_owner(foreign: Path) -> None:
    """So do a server that can't use the root, and what looks at the root before."""
    owner = pwd.getpwuid(foreign.stat().st_uid).pw_name
    store = Filesystem(str(foreign), private=paths.PRIVATE)
    assert f"belongs to {owner}" in store._unusable(PermissionError()).problem
    *_, found = checkup.root(str(foreign))
    assert (found.state, found.said) == ("bad", f"it belongs to {owner}, and this user may not write there")
