"""Owners of what is kept in a store."""

from __future__ import annotations

import os
import subprocess
import sys

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
