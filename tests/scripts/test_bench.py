"""The benchmark: it reads answers right, refuses wrong ones and counts rightly; its cases run against this registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmark import __main__ as command
from scripts.benchmark import cases, processes, report, targets
from scripts.benchmark.load import drive, one
from scripts.benchmark.runs import Effort, Measured, measure, plans
from scripts.benchmark.targets import Target
from scripts.benchmark.wire import KEPT, Answer, BadAnswerError, Reader, request
from tests.servers import PATIENCE, running_server, wait_until


@pytest.fixture
def files() -> Iterator[Target]:
    """A server in a process of its own, so that nothing else of this test run is measured with it."""
    command = [sys.executable, "-m", "tests.scripts.files_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield Target("files", "127.0.0.1", int(server.stdout.readline()), server.pid)
        server.communicate(timeout=PATIENCE)
    assert server.returncode == 0


def children() -> set[str]:
    """Return the processes that this one has started and that have not ended."""
    return {one for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()}


def read(data: bytes, pieces: list[int], *, bodiless: bool = False) -> Answer | None:
    """Feed an answer, cut where `pieces` say; nothing may come out before its end."""
    reader, begin = Reader(bodiless=bodiless), 0
    for end in sorted({*(piece % len(data) for piece in pieces), len(data)} - {0}):
        answer = reader.feed(memoryview(data[begin:end]))
        assert (answer is not None) == (end == len(data))
        begin = end
    return answer


@given(st.binary(max_size=300), st.lists(st.integers(0, 400)), st.booleans())
def test_answers_are_read_however_they_are_cut(body: bytes, pieces: list[int], chunked: bool) -> None:
    """An answer is whole at its last byte and not before, in whatever pieces it comes."""
    if chunked:
        cut = len(body) // 2
        parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part]
        data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n"
    else:
        data = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: %d\r\n\r\n" % len(body) + body
    answer = read(data, pieces)
    assert answer is not None
    assert (answer.status, answer.body, answer.size) == (200, body, len(body))


def test_long_bodies_are_counted_and_not_kept() -> None:
    """Of a body above the limit only the length is known."""
    size = KEPT * 3
    answer = read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size, [10, KEPT, KEPT * 2])
    assert answer is not None
    assert (answer.body, answer.size) == (b"", size)


def test_answers_without_a_body_end_with_their_head() -> None:
    """The length in an answer to HEAD is not waited for."""
    answer = read(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nDocker-Content-Digest: d\r\n\r\n", [5], bodiless=True)
    assert answer is not None
    assert (answer.size, answer.header("docker-content-digest")) == (0, "d")


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP"], ids=["length", "excess"]
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    """An answer without a length, or with bytes behind it, ends the benchmark."""
    with pytest.raises(BadAnswerError):
        Reader(bodiless=False).feed(memoryview(data))


@pytest.mark.parametrize("where", ["http://127.0.0.1:5000/v2/a/u?_state=x%3D", "/v2/a/u?_state=x%3D"])
def test_locations_may_be_absolute(where: str) -> None:
    """An upload goes on where the server says, with its query, be the address absolute or not."""
    answer = Answer(202, f"HTTP/1.1 202 Accepted\r\nLocation: {where}\r\n".encode(), b"", 0)
    assert answer.location() == "/v2/a/u?_state=x%3D"
    assert b"?_state=x%3D&digest=sha256:00 " in cases.finish(answer, "sha256:00").line


def test_a_round_counts_every_unit(files: Target) -> None:
    """Units, bytes and latencies are those of the round alone, and the server's time and memory are seen."""
    found = measure(files, Effort(units=30, warm=5, connections=4), cases.get("/1000", 1000))
    assert (found.units, found.moved, len(found.latencies)) == (30, 30_000, 30)
    assert found.cpu > 0
    assert found.wall > 0
    assert found.peaks[0] > 1_000_000


@pytest.mark.parametrize("path", ["/chunked/500", "/closing/500", f"/{KEPT * 4}"])
def test_connections_go_on_after_any_answer(files: Target, path: str) -> None:
    """Chunks, long bodies and a closed connection don't disturb what comes next."""
    size = int(path.rpartition("/")[2])
    samples = drive(files.host, files.port, cases.get(path, size), 12, 3)
    assert samples.moved == 12 * size


@pytest.mark.parametrize(("path", "length"), [("/none", None), ("/10", 11)], ids=["status", "length"])
def test_wrong_answers_end_the_benchmark(files: Target, path: str, length: int | None) -> None:
    """A benchmark of errors is none: another status or length than expected is raised."""
    with pytest.raises(BadAnswerError):
        drive(files.host, files.port, cases.get(path, length), 8, 2)


def test_processor_time_includes_children_that_ended() -> None:
    """The time of a tree does not shrink when one of its processes ends."""
    before = processes.cpu_seconds(os.getpid())
    busy = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", busy]) == 0
    assert processes.cpu_seconds(os.getpid()) - before >= 0.19


def test_percentiles_are_values_that_were_measured() -> None:
    """A percentile is the smallest value that is not below that part of all."""
    values = [float(one) for one in range(1, 101)]
    assert [report.percentile(values, part) for part in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert report.percentile([3.0], 0.99) == 3.0
    with pytest.raises(ValueError, match="no values"):
        report.percentile([], 0.5)


def _measured(cpu: float, wall: float) -> Measured:
    return Measured(cpu, 0.0, wall, 10, 10_000_000, [wall / 10] * 10, [50_000_000, 1_000_000], 40_000_000)


def test_rounds_are_summed_up_by_their_median() -> None:
    """One slow round changes no figure but the highest one and the latencies."""
    found = report.summary([_measured(0.001, 1.0), _measured(0.5, 9.0), _measured(0.002, 2.0)])
    assert found["cpu us"] == pytest.approx(200)
    assert found["cpu us highest"] == pytest.approx(50_000)
    assert found["units/s"] == pytest.approx(5)
    assert found["MB/s"] == pytest.approx(5)
    assert found["peak process MB"] == pytest.approx(50)


def test_bounds_are_judged_as_far_as_they_were_measured() -> None:
    """A bound against a peer that did not run is left out; the others say whether they hold."""
    slow = report.summary([_measured(0.004, 1.0)])
    verdicts = report.bounds({"get": {"zot": slow}, "push": {"zot": slow}})
    assert [(verdict.limit, verdict.holds) for verdict in verdicts] == [(350, False)]
    upload = report.summary([_measured(0.1, 2.0)])
    verdicts = report.bounds({"upload": {"zot": upload, "distribution": upload}})
    assert [verdict.holds for verdict in verdicts] == [True, True]


def test_other_servers_are_named_by_address_and_process() -> None:
    """A peer is a URL and the process that it runs in; anything else is refused."""
    assert targets.other("x", "http://127.0.0.1:5000@42") == Target("x", "127.0.0.1", 5000, 42)
    for wrong in ("http://127.0.0.1:5000", "https://127.0.0.1:5000@42", "/usr/bin/x"):
        with pytest.raises(ValueError, match="neither"):
            targets.other("x", wrong)


def test_every_case_runs_against_this_registry(tmp_path: Path) -> None:
    """Each case, made very small, gets the answers that it expects."""
    with running_server(tmp_path, "--workers", "1") as server:
        target = Target("zot", "127.0.0.1", server.port, server.pid)
        for plan in plans(0.001):
            found = plan.prepare(target)()
            assert found.units > 0, plan.name
            assert found.moved > 0, plan.name


def test_the_command_measures_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One case of the command line: a table, a document of every round, and no process left."""
    monkeypatch.setattr(command, "plans", lambda _scale=1.0: plans(0.001))
    written = tmp_path / "figures.json"
    arguments = [
        "--only",
        "get",
        "--rounds",
        "2",
        "--workers",
        "1",
        "--json",
        str(written),
        "--directory",
        str(tmp_path),
    ]
    before = children()
    assert command.main(arguments) == 0
    document = json.loads(written.read_text())
    assert len(document["rounds"]["get"]["zot"]) == 2
    assert document["machine"]["cores"] == os.cpu_count()
    assert "GET of a manifest by tag" in capsys.readouterr().out
    assert children() == before


@contextmanager
def _stubborn(tmp_path: Path) -> Iterator[Target]:
    """A server that starts a child and ignores SIGTERM in it."""
    program = tmp_path / "server.py"
    program.write_text(
        "import http.server, json, os, signal, subprocess, sys\n"
        "child = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)'\n"
        "subprocess.Popen([sys.executable, '-c', child], stdout=subprocess.PIPE).stdout.readline()\n"
        "port = json.load(open(sys.argv[2]))['http']['port']\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', port), Handler).serve_forever()\n"
    )
    with targets.zot(tmp_path, 1, [sys.executable, str(program)]) as target:
        yield target


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """A child that does not end with its server is ended too."""
    with _stubborn(tmp_path) as target:
        members = processes.tree(target.pid)
        assert len(members) == 2
        one(target.host, target.port, request("GET", "/v2/", 200))
    wait_until(lambda: not any(_runs(pid) for pid in members), "both have ended")


def _runs(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
