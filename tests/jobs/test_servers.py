"""Two servers on one store: one of them runs the jobs, one run at a time, and the other goes on when it dies."""

from __future__ import annotations

import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.images import OCI_INDEX, index
from tests.servers import Server, completed, running_server, wait_until
from tests.services import S3Server
from zot.config import Config
from zot.jobs import records
from zot.jobs.records import Record
from zot.registry.opening import open_stores
from zot.storage.protocol import Storage


@pytest.fixture(params=["directory", "bucket"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A configuration whose garbage is collected every second, on disk or in a bucket."""
    storage: dict[str, object] = {"gcInterval": "1s", "gcDelay": "0s", "retention": {"delay": "0s"}}
    if request.param == "bucket":
        server: S3Server = request.getfixturevalue("moto")
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


def leaders(server: Server) -> list[int]:
    """Return the leader processes of a server."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"zot.jobs.leader" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_one_runs_at_a_time_and_the_other_takes_over(config: Path, storage: Storage, tmp_path: Path) -> None:
    """What one server pushes is collected by one run or another, and no two runs are at work at once.

    On disk the other server goes on as soon as one is killed; in a bucket it waits until its mark is void.
    """
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with running_server(tmp_path / "two", "--workers", "1", config=config) as other:
        with running_server(tmp_path / "one", "--workers", "1", config=config) as server:
            for number in range(3):
                body = index(annotations={"number": str(number)})
                assert server.request("PUT", "/v2/a/manifests/t", body, {"Content-Type": OCI_INDEX})[0] == 201
            wait_until(lambda: sum(one.removed.get("manifest", 0) for one in runs(storage)) == 2, "both went", 60)
            wait_until(lambda: len(runs(storage)) >= 3, "there are more runs", 60)
            done = runs(storage)
            assert all(one.ended <= following.started for one, following in pairwise(done))
            if "storageDriver" in config.read_text():
                return
            for pid in [*leaders(server), server.pid]:
                os.kill(pid, signal.SIGKILL)
        before = len(runs(storage))
        assert other.request("GET", "/v2/a/manifests/t")[0] == 200
        wait_until(lambda: len(runs(storage)) > before, "the other server runs it", 60)
