"""What is done beside requests, so that it does not hold them up."""

from __future__ import annotations

import os
import threading

import pytest

from zot.cores import aside


def test_aside() -> None:
    """A function runs in another thread, at a lower priority, and its result comes back; the caller's own stays."""

    def look(word: str) -> tuple[str, int, int]:
        return word, threading.get_ident(), os.getpriority(os.PRIO_PROCESS, 0)

    before = os.getpriority(os.PRIO_PROCESS, 0)
    word, thread, priority = aside(look, word="done")
    assert (word, thread != threading.get_ident()) == ("done", True)
    assert priority > before or before == 19
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_what_fails_aside_fails_here() -> None:
    """An error of the function is the caller's."""
    with pytest.raises(ValueError, match="salt"):
        aside(_fail, "salt")


def _fail(reason: str) -> None:
    raise ValueError(reason)
