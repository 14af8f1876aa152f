"""Metrics of a whole server: sums over its processes, and what Prometheus makes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.images import digest_of
from tests.server.test_serving import push_image
from tests.servers import Server, free_port, leaders, running_server, wait_until, workers

METRICS = {"extensions": {"metrics": {"enable": "true", "prometheus": {"path": "/metrics"}}}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with three workers and metrics."""
    with running_server(tmp_path, "--workers", "3", settings=METRICS) as running:
        yield running


def sample(server: Server, name: str, /, **labels: str) -> float:
    """Return the sum of the samples of a name that have these labels."""
    text = server.request("GET", "/metrics")[2].decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_sums_are_what_a_client_counted_though_workers_are_killed(server: Server) -> None:
    """What clients were answered, over all workers, some of which are killed meanwhile, is what the counters say."""
    push_image(server, "a", "v1")
    answered, guard = [0, 0], threading.Lock()

    def pull() -> None:
        for _ in range(60):
            try:
                with closing(server.connect()) as connection:
                    for _ in range(5):
                        connection.request("GET", "/v2/a/manifests/v1")
                        answer = connection.getresponse()
                        with guard:
                            answered[0 if answer.status == 200 else 1] += 1
                        answer.read()
            except (OSError, HTTPException):
                # Whoever was connected to a worker that is killed asks again.
                continue

    wait_until(lambda: len(workers(server)) == 3, "there are workers")
    threads = [threading.Thread(target=pull) for _ in range(3)]
    for thread in threads:
        thread.start()
    for victim in workers(server)[:2]:
        wait_until(lambda: answered[0] > 50, "clients are answered")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda victim=victim: victim not in workers(server), "it is gone")  # type: ignore[misc]
    for thread in threads:
        thread.join()
    counted = sample(server, "zot_repo_downloads_total", repo="a")
    # A request is counted before its answer is sent, so at most those cut off by a kill, one a client, are more.
    assert answered[1] == 0
    assert answered[0] <= counted <= answered[0] + 6
    before = counted
    for _ in range(30):
        assert server.request("GET", "/v2/a/manifests/v1")[0] == 200
    assert sample(server, "zot_repo_downloads_total", repo="a") == before + 30
    assert sample(server, "zot_http_requests_total", method="GET", code="200") >= before + 30


def test_the_leader_is_watched(server: Server) -> None:
    """The metrics tell whether the leader process runs and how often it was started."""
    wait_until(lambda: sample(server, "zot_leader_up", store="/") == 1, "the leader is up")
    (leader,) = leaders(server)
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: sample(server, "zot_leader_starts_total", store="/") == 2, "it was started again")


def test_zots_names_are_there(server: Server) -> None:
    """All of zot's metrics have their names and types here, but for one whose name is that of another type."""
    push_image(server, "a", "v1")
    server.request("GET", "/v2/a/manifests/v1")
    wait_until(lambda: sample(server, "zot_gc_runs_total"), "garbage was collected")
    text = server.request("GET", "/metrics")[2].decode()
    types = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert types.items() >= {
        "zot_http_requests": "counter", "zot_http_repo_latency_seconds": "summary",
        "zot_http_method_latency_seconds": "histogram", "zot_repo_storage_bytes": "gauge",
        "zot_repo_uploads": "counter", "zot_repo_downloads": "counter", "zot_info": "gauge",
        "zot_storage_lock_latency_seconds": "histogram",
        "zot_scheduler_generators": "counter", "zot_scheduler_generators_status": "gauge",
        "zot_scheduler_workers": "gauge", "zot_scheduler_tasksqueue_length": "gauge",
        "zot_scheduler_workers_tasks_duration_seconds": "histogram", "zot_gc_runs": "counter",
        "zot_gc_duration_seconds": "summary", "zot_gc_deleted": "counter",
    }.items()  # fmt: skip


@pytest.mark.e2e
def test_promtool_finds_nothing_to_mend(server: Server, need: Callable[..., str]) -> None:
    """The real promtool accepts names, help and types of all metrics, after requests of many kinds and a job."""
    push_image(server, "some/repo", "v1")
    server.request("GET", "/v2/some/repo/manifests/v1")
    server.request("POST", "/v2/some/repo/blobs/uploads/")
    wait_until(lambda: sample(server, "zot_gc_runs_total"), "garbage was collected")
    text = server.request("GET", "/metrics")[2]
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_locks_are_timed(server: Server) -> None:
    """Each lock that a push and a delete take is counted, by store and kind."""
    push_image(server, "a", "v1")
    assert server.request("DELETE", "/v2/a/manifests/v1")[0] == 202
    name = "zot_storage_lock_latency_seconds_count"
    assert sample(server, name, store="/", lock_type="RLock") > 0
    assert sample(server, name, store="/", lock_type="RWLock") > 0


def test_sizes_of_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leaders find out how large the repositories of all stores are, and look again."""
    monkeypatch.setenv("ZOT_LOOK_SECONDS", "1")
    sub_paths = {"/b": {"rootDirectory": str(tmp_path / "b")}}
    with running_server(tmp_path, "--workers", "2", settings=METRICS | {"storage": {"subPaths": sub_paths}}) as server:
        for name in ("a", "b/c"):
            push_image(server, name, "v1")
        held = {name: sum(file.stat().st_size for file in (tmp_path / where / "blobs").rglob("*") if file.is_file())
                for name, where in (("a", "root/a"), ("b/c", "b/b/c"))}  # fmt: skip
        assert min(held.values()) > 0
        for name, size in held.items():
            wait_until(lambda: sample(server, "zot_repo_storage_bytes", repo=name) == size, f"{name} has its size")  # noqa: B023
        assert server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'more')}", b"more")[0] == 201
        wait_until(lambda: sample(server, "zot_repo_storage_bytes", repo="a") > held["a"], "it has grown")


def test_jobs_are_counted(tmp_path: Path) -> None:
    """Places for jobs, what becomes of jobs, and how long they took: the sums are right though leaders are killed."""
    storage = {"gcInterval": "1s", "subPaths": {"/b": {"rootDirectory": str(tmp_path / "b"), "gc": True}}}
    settings = METRICS | {"storage": storage, "scheduler": {"numWorkers": 3}}
    with running_server(tmp_path, "--workers", "2", settings=settings) as server:
        took = "zot_scheduler_workers_tasks_duration_seconds_count"
        wait_until(lambda: sample(server, took, name="gc") >= 3, "jobs were run")
        wait_until(lambda: sample(server, "zot_gc_runs_total", error="false") >= 3, "their results are there")
        wait_until(lambda: sample(server, "zot_scheduler_generators_status") == 2, "there are two leaders")
        assert sample(server, "zot_scheduler_workers") == 3
        assert sample(server, "zot_scheduler_generators_total") == 2
        wait_until(lambda: sample(server, "zot_scheduler_tasksqueue_length") == 0, "no job waits for its turn")
        before, victims = sample(server, took, name="gc"), leaders(server)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: sample(server, "zot_scheduler_generators_total") == 4, "there are new leaders")
        wait_until(lambda: sample(server, "zot_scheduler_generators_status") == 2, "they run")
        assert sample(server, took, name="gc") >= before


@pytest.mark.e2e
def test_prometheus_scrapes(server: Server, need: Callable[..., str], tmp_path: Path) -> None:
    """A real Prometheus scrapes the server and answers a query over what it was told."""
    push_image(server, "some/repo", "v1")
    for _ in range(7):
        server.request("GET", "/v2/some/repo/manifests/v1")
    port = free_port()
    target = f"127.0.0.1:{server.port}"
    jobs = [{"job_name": "zot", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}]
    (tmp_path / "p.yml").write_text(json.dumps({"scrape_configs": jobs}))
    command = [
        need("prometheus"), f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (tmp_path / "p.log").open("wb") as log:
        prometheus = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        query = f"http://127.0.0.1:{port}/api/v1/query?query=zot_repo_downloads_total"

        def value() -> str:
            try:
                with urllib.request.urlopen(query, timeout=5) as answer:
                    results = json.load(answer)["data"]["result"]
            except OSError:
                return ""
            return results[0]["metric"]["repo"] + " " + results[0]["value"][1] if results else ""

        wait_until(lambda: value() == "some/repo 7", "Prometheus has the number")
    finally:
        prometheus.terminate()
        prometheus.wait(30)
