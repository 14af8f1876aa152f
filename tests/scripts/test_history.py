"""The checker of histories finds the classic faults, and a real server shows none."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.history.checker import Operation, first_violation
from scripts.history.workloads import WORKLOADS, Run
from tests.servers import running_server


@pytest.mark.parametrize(
    "history",
    [
        [Operation("push", "a", 0, 1), Operation("read", None, 2, 3)],
        [Operation("push", "a", 0, 1), Operation("push", "b", 2, 3), Operation("read", "a", 4, 5)],
        [Operation("push", "a", 0, 9), Operation("read", "a", 1, 2), Operation("read", None, 3, 4)],
        [Operation("push", "a", 0, 1), Operation("delete", None, 2, 3, found=False)],
        [Operation("push", "a", 0, 1), Operation("remove", "a", 2, 3), Operation("read", "a", 4, 5)],
    ],
    ids=["lost push", "stale read", "flicker", "404 for what is there", "dangling tag"],
)
def test_known_violations_are_found(history: list[Operation]) -> None:
    """Each classic fault is found, and what is shown ends with the operation that does not fit."""
    wrong = first_violation(history)
    assert wrong
    assert wrong[-1] == history[-1]


def test_every_workload_holds(tmp_path: Path) -> None:
    """Each workload runs for a moment against a real server with three workers and finds nothing wrong."""
    with running_server(tmp_path, "--workers", "3") as server:
        for name, workload in WORKLOADS.items():
            done, seconds = 0, 1.0
            # On a slow machine a moment is longer.
            while done <= 20:
                run = Run((server.url.removeprefix("http://"),), seconds, 8, 1, f"histories/of-{name}-{seconds:.0f}")
                assert workload(run)
                done, seconds = run.operations, seconds * 2
