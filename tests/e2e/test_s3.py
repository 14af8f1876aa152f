"""Real servers on one bucket, and a network between them and it that breaks."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.images import digest_of
from tests.servers import PATIENCE, Server, free_port, running_server, wait_until
from tests.services import S3Server, listens

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


class Toxiproxy:
    """A proxy for TCP before an S3 server, which is told what to do to connections."""

    def __init__(self, port: int, upstream: str) -> None:
        self._api = f"http://127.0.0.1:{port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        listen = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://{listen}"
        self._ask("POST", "/proxies", {"name": "s3", "listen": listen, "upstream": upstream.removeprefix("http://")})

    def add(self, kind: str, share: float, **attributes: int) -> None:
        """Do this to a share of all new connections, on the way from the server."""
        toxic = {"type": kind, "stream": "downstream", "toxicity": share, "attributes": attributes}
        self._ask("POST", "/proxies/s3/toxics", toxic)

    def _ask(self, method: str, path: str, document: dict[str, Any]) -> None:
        request = urllib.request.Request(self._api + path, json.dumps(document).encode(), method=method)
        with self._opener.open(request, timeout=PATIENCE):
            pass


@pytest.fixture
def toxiproxy(seaweedfs: S3Server, need: Callable[..., str], tmp_path: Path) -> Iterator[Toxiproxy]:
    """The proxy, doing no harm yet."""
    port = free_port()
    with (tmp_path / "toxiproxy.log").open("wb") as log:
        command = [need("toxiproxy"), "-host", "127.0.0.1", "-port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: listens(port), "toxiproxy listens")
        yield Toxiproxy(port, seaweedfs.endpoint)
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def servers(bucket: S3Server, directory: Path, *endpoints: str) -> Iterator[list[Server]]:
    """Run a server for each way to the bucket, all on one root of it."""
    root = uuid.uuid4().hex
    with ExitStack() as stack:
        running = []
        for number, endpoint in enumerate(endpoints):
            own = directory / str(number)
            own.mkdir()
            driver = {**bucket.driver(root), "regionendpoint": endpoint}
            settings = {"storage": {"storageDriver": driver, "gc": False}}
            running.append(stack.enter_context(running_server(own, "--workers", "2", settings=settings)))
        yield running


def test_two_servers_share_an_upload(seaweedfs: S3Server, tmp_path: Path) -> None:
    """Chunks of one upload go to two servers in turns, and both serve the blob, whole and in ranges."""
    content = os.urandom(23 * MIB + 1)
    digest = digest_of(content)
    with servers(seaweedfs, tmp_path, seaweedfs.endpoint, seaweedfs.endpoint) as (one, other):
        status, headers, _ = one.request("POST", "/v2/a/b/blobs/uploads/")
        assert status == 202
        size = 4 * MIB - 1
        for number, begin in enumerate(range(0, len(content), size)):
            chunk = content[begin : begin + size]
            about = {"Content-Range": f"{begin}-{begin + len(chunk) - 1}"}
            status, headers, body = (other, one)[number % 2].request("PATCH", headers["location"], chunk, about)
            assert status == 202, body
        assert headers["range"] == f"0-{len(content) - 1}"
        status, _, body = other.request("PUT", f"{headers['location']}?digest={digest}")
        assert status == 201, body
        for server in (one, other):
            assert server.request("GET", f"/v2/a/b/blobs/{digest}")[2] == content
            status, headers, body = server.request("GET", f"/v2/a/b/blobs/{digest}", None, {"Range": "bytes=-5000"})
            assert (status, body) == (206, content[-5000:])


def test_a_network_that_breaks(seaweedfs: S3Server, toxiproxy: Toxiproxy, tmp_path: Path) -> None:
    """Slow answers and resets, in the middle of bodies too, lose nothing acknowledged and serve nothing wrong.

    What can't be done is a 503, or a connection that is cut; a worker's memory stays small.
    """
    toxiproxy.add("latency", 1.0, latency=10, jitter=10)
    with servers(seaweedfs, tmp_path, seaweedfs.endpoint, toxiproxy.endpoint) as (good, bad):
        toxiproxy.add("limit_data", 0.3, bytes=3 * MIB)
        toxiproxy.add("reset_peer", 0.1, timeout=50)
        acknowledged: dict[str, bytes] = {}
        for number in range(24):
            content = os.urandom([2_000, 300_000, 12 * MIB][number % 3])
            status, headers, body = bad.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content)
            assert status in {201, 503}, body
            if status == 201:
                acknowledged[digest_of(content)] = content
            else:
                assert headers["retry-after"]
        assert len(acknowledged) > 12
        for digest, content in acknowledged.items():
            assert good.request("GET", f"/v2/a/blobs/{digest}")[2] == content
            try:
                status, _, body = bad.request("GET", f"/v2/a/blobs/{digest}")
            except (http.client.HTTPException, OSError):
                continue
            assert status == 503 or (status == 200 and body == content)
        assert largest_worker(bad) < 150 * MIB


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not os.environ.get("ZOT_FULL"), reason="moves gigabytes; scripts/full runs it")
def test_memory_stays_flat(seaweedfs: S3Server, tmp_path: Path) -> None:
    """A blob of ZOT_GIGABYTES (12) in and out leaves every worker below 150 MB."""
    size = int(float(os.environ.get("ZOT_GIGABYTES", "12")) * 1024 * MIB)
    piece = os.urandom(MIB)
    running = hashlib.sha256()
    for _ in range(size // MIB):
        running.update(piece)
    digest = f"sha256:{running.hexdigest()}"
    with servers(seaweedfs, tmp_path, seaweedfs.endpoint) as (server,):
        location = server.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
        connection = server.connect(timeout=600)
        connection.request("PATCH", location, (piece for _ in range(size // MIB)), {"Content-Length": str(size)})
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        answer.read()
        after_push = largest_worker(server)
        connection.request("PUT", f"{location}?digest={digest}", headers={"Content-Length": "0"})
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        answer.read()
        connection.request("GET", f"/v2/a/blobs/{digest}")
        answer = connection.getresponse()
        got = hashlib.sha256()
        while part := answer.read(MIB):
            got.update(part)
        assert got.hexdigest() == running.hexdigest()
        connection.close()
        at_end = largest_worker(server)
        print(f"the largest worker had {after_push / MIB:.0f} MiB after the push, and {at_end / MIB:.0f} at the end")
        assert at_end < 150_000_000


def largest_worker(server: Server) -> int:
    """Return the most memory, in bytes, that any process of the server ever had."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    peaks = []
    for process in children:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks.append(int(line.split()[1]) * 1024)
    return max(peaks)
