"""The server as a process: many workers, slow and silent clients, the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.pace import Pace, keep_pace
from tests.servers import PATIENCE, Server, leaders, running_server, wait_until


def begin_upload(server: Server, name: str = "a") -> str:
    """Open a session; returns its address."""
    return server.request("POST", f"/v2/{name}/blobs/uploads/")[1]["location"]


def push_image(server: Server, name: str, tag: str) -> bytes:
    """Push a small image."""
    for blob in (b"{}", b"layer"):
        assert server.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", blob)[0] == 201
    body = manifest()
    assert server.request("PUT", f"/v2/{name}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})[0] == 201
    return body


def send_slowly(
    server: Server, path: str, body: bytes, pause: float, pieces: int, rest: Callable[[float], None] = time.sleep
) -> socket.socket:
    """Begin a PATCH on a raw connection and send most of its body with pauses."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    step = len(body) // pieces
    for number in range(pieces - 1):
        connection.sendall(body[number * step : (number + 1) * step])
        rest(pause)
    return connection


def wait_until_held(server: Server, where: str) -> None:
    """Wait until a request has an upload session for itself."""
    wait_until(lambda: server.request("GET", where)[0] == 409, "the upload is under way")


def test_the_layout_is_written_by_the_leader(server: Server) -> None:
    """Soon after a push the repository's index.json lists it, and at the latest when the server has stopped."""
    push_image(server, "a", "v1")
    index = server.root / "a/index.json"
    wait_until(lambda: index.exists() and b"v1" in index.read_bytes(), "index.json lists the tag")
    push_image(server, "a", "v2")
    server.stop()
    assert [entry["annotations"] for entry in json.loads(index.read_bytes())["manifests"]] == [
        {"org.opencontainers.image.ref.name": tag} for tag in ("v1", "v2")
    ]


def test_a_server_that_stops_at_once(tmp_path: Path) -> None:
    """What was pushed stands in the index when the server has stopped, though its leader had hardly begun by then."""
    for tag in ("v1", "v2", "v3"):
        with running_server(tmp_path) as server:
            push_image(server, "a", tag)
        assert tag.encode() in (server.root / "a/index.json").read_bytes()


def test_a_server_whose_leader_has_just_died(server: Server) -> None:
    """What was pushed stands in the index when the server has stopped: its leader is started once more for that."""
    wait_until(lambda: leaders(server), "there is a leader")
    (leader,) = leaders(server)
    os.kill(leader, signal.SIGKILL)
    push_image(server, "a", "v1")
    server.stop()
    assert b"v1" in (server.root / "a/index.json").read_bytes()


def test_signals_that_are_for_the_master(server: Server) -> None:
    """What a terminal sends to every process, by Ctrl-C or when it goes, ends no leader, however early it comes."""
    wait_until(lambda: leaders(server), "there is a leader")
    (leader,) = leaders(server)
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(leader, number)
    push_image(server, "a", "v1")
    index = server.root / "a/index.json"
    wait_until(lambda: index.exists() and b"v1" in index.read_bytes(), "index.json lists the tag")
    assert leaders(server) == [leader]


def test_a_killed_leader_comes_back(server: Server) -> None:
    """The leader process is started again when it dies, and does what its predecessor left."""
    wait_until(lambda: leaders(server), "there is a leader")
    (leader,) = leaders(server)
    os.kill(leader, signal.SIGKILL)
    push_image(server, "a", "v1")
    index = server.root / "a/index.json"
    wait_until(lambda: index.exists() and b"v1" in index.read_bytes(), "index.json lists the tag")
    assert leaders(server) != [leader]


def is_running(pid: int) -> bool:
    """Tell whether a process goes on; one that only waits for its new parent to take note of its end does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_nothing_outlives_a_killed_master(tmp_path: Path) -> None:
    """When the master is killed, workers and leader end by themselves, and a new server goes on with the same root."""
    with running_server(tmp_path) as server:
        push_image(server, "a", "v1")
        wait_until(lambda: leaders(server), "there is a leader")
        children = [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(map(is_running, children)), "all children ended")
    with running_server(tmp_path) as server:
        assert server.request("GET", "/v2/a/manifests/v1")[2] == manifest()


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A session that one server began is finished by the next."""
    with running_server(tmp_path) as server:
        where = begin_upload(server)
        assert server.request("PATCH", where, b"before, ")[0] == 202
    with running_server(tmp_path) as server:
        assert server.request("GET", where)[1]["range"] == "0-7"
        digest = digest_of(b"before, after")
        assert server.request("PUT", f"{where}?digest={digest}", b"after")[0] == 201
        assert server.request("GET", f"/v2/a/blobs/{digest}")[2] == b"before, after"


def test_a_transfer_may_take_longer_than_the_idle_time(tmp_path: Path) -> None:
    """An upload that goes on slowly succeeds, however long it takes altogether."""
    with running_server(tmp_path, "--idle-timeout", "1") as server:

        def upload(pace: Pace) -> None:
            with send_slowly(server, begin_upload(server), b"x" * 1000, 0.4, 8, pace.rest) as connection:
                connection.sendall(b"x" * 125)
                assert connection.recv(1000).startswith(b"HTTP/1.1 202")

        keep_pace(0.8, upload)


@pytest.mark.parametrize("begun", ["", "GET /v2/ HT", "GET /v2/ HTTP/1.1\r\nHost: x\r\n", "PATCH"])
def test_a_silent_client_is_dropped(tmp_path: Path, begun: str) -> None:
    """A client that sends nothing for the idle time loses its connection: before, in, and after a request's head."""
    with running_server(tmp_path, "--idle-timeout", "1") as server:
        if begun == "PATCH":
            begun = f"PATCH {begin_upload(server)} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
        with socket.create_connection(("127.0.0.1", server.port), timeout=40) as connection:
            began = time.monotonic()
            connection.sendall(begun.encode())
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
            assert time.monotonic() - began > 0.5
            assert not answer or answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))


def test_a_reader_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    """A client that does not read its answer for the idle time is cut off; one that reads slowly is not."""
    content = os.urandom(1024 * 1024) * 24
    with running_server(tmp_path, "--idle-timeout", "2") as server:
        digest = digest_of(content)
        assert server.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", content)[0] == 201
        head = f"GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

        def read(pace: Pace) -> None:
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as slow:
                slow.sendall(head)
                got, begun = 0, time.monotonic()
                while got < len(content):
                    piece = slow.recv(1024 * 1024)
                    assert piece
                    got += len(piece)
                    # Slow for twice the idle time; the rest proves no more.
                    pace.rest(0.12 if time.monotonic() < begun + 4 else 0)

        keep_pace(1, read)
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as stalled:
            stalled.sendall(head)
            wait_until(lambda: connections(server), "the transfer has begun")
            wait_until(lambda: not connections(server), "the connection is gone")


def connections(server: Server) -> int:
    """Return how many established connections the server's side has, as the kernel counts them."""
    wanted = f"{server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{wanted}") and row[3] == "01" for row in rows)


def is_refused(server: Server) -> bool:
    """Tell whether nobody takes connections at the server's port."""
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_transfer_under_way_is_finished_at_the_end(tmp_path: Path) -> None:
    """After SIGTERM an upload that is going on is taken and answered, and then the server ends with 0.

    Who comes meanwhile is refused, and does not wait for nothing.
    """
    with running_server(tmp_path, "--workers", "2") as server:
        where = begin_upload(server)
        with send_slowly(server, where, b"x" * 1000, pause=0.1, pieces=4) as connection:
            wait_until_held(server, where)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(server), "new connections are refused")
            connection.sendall(b"x" * 250)
            assert connection.recv(1000).startswith(b"HTTP/1.1 202")
        assert server.process.wait(PATIENCE) == 0


def test_waiting_for_transfers_is_bounded(tmp_path: Path) -> None:
    """A transfer that does not end holds the server up for no longer than the graceful time."""
    with running_server(tmp_path, "--graceful-timeout", "1") as server:
        where = begin_upload(server)
        with send_slowly(server, where, b"x" * 1000, pause=0.1, pieces=4):
            wait_until_held(server, where)
            began = time.monotonic()
            server.stop()
            # The default is 30 seconds.
            assert time.monotonic() - began < 30


def test_a_connection_is_kept(shared_server: Server) -> None:
    """Requests follow each other on one connection, also after errors, and with bodies that nobody read."""
    connection = shared_server.connect()
    connection.request("GET", "/v2/")
    connection.getresponse().read()
    used = connection.sock
    for method, path, body in (
        ("GET", "/v2/a/manifests/none", None),
        ("PUT", "/v2/A/manifests/v1", b"x" * 5000),
        ("PATCH", "/v2/a/blobs/uploads/none", b"x" * 50000),
        ("GET", "/v2/", None),
    ):
        connection.request(method, path, body)
        connection.getresponse().read()
        assert connection.sock is used
    connection.close()


def test_clients_that_do_not_close_hold_nobody_up(tmp_path: Path) -> None:
    """Clients that ask for the connection's end and then leave it open don't keep a worker from its other clients."""
    with running_server(tmp_path, "--workers", "1") as server, ExitStack() as held:
        for _ in range(20):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with closing(server.connect(timeout=40)) as other:
            for _ in range(10):
                other.request("GET", "/v2/")
                assert other.getresponse().read() == b"{}"


def test_pipelined_requests_are_all_answered(shared_server: Server) -> None:
    """What a client sends behind an upload's body is the next request, and is not lost."""
    where = begin_upload(shared_server)
    request = f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody".encode()
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=PATIENCE) as connection:
        connection.sendall(request + request + b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 202") == 2
    assert b"Range: 0-7" in answer
    assert answer.count(b"HTTP/1.1 200") == 1


def test_chunked_bodies(shared_server: Server) -> None:
    """A body of unknown length is taken as it comes, also for a manifest; one that is too long is 413."""
    where = begin_upload(shared_server)
    chunked = {"Transfer-Encoding": "chunked", "Content-Type": OCI_MANIFEST}
    with closing(shared_server.connect()) as connection:
        connection.request("PATCH", where, iter([b"one ", b"two"]), chunked, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["Range"]) == (202, b"", "0-6")
    with closing(shared_server.connect()) as connection:
        pieces = (b" " * 65536 for _ in range(65))
        connection.request("PUT", "/v2/a/manifests/v1", pieces, chunked, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_two_writers_of_one_session(shared_server: Server) -> None:
    """Of two PATCHes at once, on whatever workers, one wins and the other is told so with 409."""
    where = begin_upload(shared_server)
    with send_slowly(shared_server, where, b"x" * 1000, pause=0.05, pieces=4) as first:
        wait_until_held(shared_server, where)
        status, _, body = shared_server.request("PATCH", where, b"y")
        assert (status, json.loads(body)["errors"][0]["code"]) == (409, "BLOB_UPLOAD_INVALID")
        first.sendall(b"x" * 250)
        assert first.recv(1000).startswith(b"HTTP/1.1 202")
    assert shared_server.request("GET", where)[1]["range"] == "0-999"


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Large blobs go in and out without being held in memory, several at once."""
    content = os.urandom(1024 * 1024) * 100
    with running_server(tmp_path, "--workers", "2") as server:

        def push_and_pull(name: str) -> None:
            digest = digest_of(content)
            where = begin_upload(server, name)
            assert server.request("PATCH", where, content)[0] == 202
            assert server.request("PUT", f"{where}?digest={digest}")[0] == 201
            assert server.request("GET", f"/v2/{name}/blobs/{digest}")[2] == content

        threads = [threading.Thread(target=push_and_pull, args=(f"a{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        peaks = [peak(int(pid)) for pid in children]
    assert max(peaks) < 150 * 1024, peaks


def peak(pid: int) -> int:
    """Return the most memory that a process ever had, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
