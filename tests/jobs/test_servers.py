"""Two servers on one store: one of them runs the jobs, one run at a time, and the other goes on when it dies."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.images import OCI_INDEX, index
from tests.servers import Server, completed, leaders, running_server, wait_until
from tests.services import S3Server
from zot.config import Config
from zot.jobs import records
from zot.jobs.records import Record
from zot.registry.opening import open_stores
from zot.storage.protocol import Storage

FULL = bool(os.environ.get("ZOT_FULL"))


@pytest.fixture(params=["directory", "moto", *(["seaweedfs"] if FULL else [])])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A configuration whose garbage is collected every second, on disk or in a bucket."""
    storage: dict[str, object] = {"gcInterval": "1s", "gcDelay": "0s", "retention": {"delay": "0s"}}
    if request.param != "directory":
        server: S3Server = request.getfixturevalue(request.param)
        storage["storageDriver"] = server.driver(tmp_path.name)
    file = tmp_path / "config.json"

    file.write_text(json.dumps(completed(tmp_path / "root", {"storage": storage})))
    return file


@pytest.fixture
def storage(config: Path) -> Storage:
    """The store of both servers."""
    return open_stores(Config.from_json(config.read_text())).default.storage


def runs(storage: Storage) -> list[Record]:
    """Return the runs that have ended, the oldest first."""
    return [one for one in reversed(list(records.newest(storage, "gc"))) if one.ended]


def push(server: Server, number: int) -> None:
    """Push an image to the tag `t`, so that what had it before is garbage."""
    body = index(annotations={"number": str(number)})
    assert server.request("PUT", "/v2/a/manifests/t", body, {"Content-Type": OCI_INDEX})[0] == 201


def collected(storage: Storage) -> int:
    """Return how many manifests all runs have removed."""
    return sum(one.removed.get("manifest", 0) for one in runs(storage))


def test_one_runs_at_a_time_and_the_other_takes_over(config: Path, storage: Storage, tmp_path: Path) -> None:
    """What one server pushes is collected by the run of another, and no two runs are at work at once.

    When the leading server is killed the other one goes on, as it can see that what leads is gone.
    """
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with running_server(tmp_path / "one", "--workers", "1", config=config) as leading:
        wait_until(lambda: runs(storage), "it leads")
        with running_server(tmp_path / "two", "--workers", "1", config=config) as other:
            for number in range(3):
                push(other, number)
            wait_until(lambda: collected(storage) == 2, "both went")
            first = runs(storage)[-1].process
            for pid in [*leaders(leading), leading.pid]:
                os.kill(pid, signal.SIGKILL)
            begun = time.monotonic()
            push(other, 3)
            wait_until(lambda: collected(storage) == 3, "the other server leads")
            print(f"taken over after {time.monotonic() - begun:.1f} s")
            done = runs(storage)
            assert done[-1].process != first
            assert all(one.ended <= following.started for one, following in pairwise(done))


@pytest.mark.skipif(not FULL, reason="takes minutes; see scripts/full")
def test_a_server_on_another_machine_takes_over(
    config: Path, storage: Storage, tmp_path: Path, need: Callable[..., str]
) -> None:
    """Whoever can't see that a server is gone waits for its lease, and in a bucket for its mark, and then goes on.

    The server that dies has a space of process numbers of its own, as another machine has, and all of it dies at once.
    """
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    machine = [need("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    with running_server(tmp_path / "one", "--workers", "1", config=config, before=machine) as leading:
        wait_until(lambda: runs(storage), "it leads")
        with running_server(tmp_path / "two", "--workers", "1", config=config) as other:
            push(other, 1)
            push(other, 2)
            wait_until(lambda: collected(storage) == 1, "it collects")
            leading.process.kill()
            begun = time.monotonic()
            push(other, 3)
            wait_until(lambda: collected(storage) == 2, "the other server leads", 300)
            print(f"taken over after {time.monotonic() - begun:.1f} s")
