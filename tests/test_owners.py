"""Owners of what is kept in a store."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from zot import owners


def test_the_living_are_not_gone_and_the_dead_are() -> None:
    """A process knows itself, and another of this machine once it has ended; of other machines it says nothing."""
    assert owners.me() == owners.me()
    assert not owners.is_gone(owners.me())
    assert owners.is_here(owners.me())
    done = subprocess.run(
        [sys.executable, "-c", "from zot import owners; print(owners.me())"], capture_output=True, text=True, check=True
    )
    assert owners.is_gone(done.stdout.strip())
    assert not owners.is_here(done.stdout.strip())
    assert not owners.is_gone("0123456789abcdef-1-1")
    assert not owners.is_here("0123456789abcdef-1-1")
    assert not owners.is_gone("")


def test_a_number_that_was_given_again_is_another_process() -> None:
    """The time at which a process began belongs to its name."""
    space, number, began = owners.me().split("-")
    assert int(number) == os.getpid()
    assert owners.is_gone(f"{space}-{number}-{int(began) - 1}")


def test_whose_a_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's directory is foreign to whom it is closed: its owner has a name, or a number where there is no user."""
    mine = os.geteuid()
    assert owners.foreign_owner(str(tmp_path)) is None
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert owners.foreign_owner(str(tmp_path)) is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert owners.foreign_owner(str(tmp_path)) == pwd.getpwuid(mine).pw_name
    if mine == 0:
        os.chown(tmp_path, 4_000_000, -1)
        assert owners.foreign_owner(str(tmp_path)) == "4000000"
