"""A process that may open few files: it answers 503, does not end, and is well again when there are enough."""

from __future__ import annotations

import http.client
import os
import resource
import sys
from contextlib import ExitStack, closing, suppress
from itertools import count, islice
from pathlib import Path

import pytest

from tests.failures.conftest import Start, detail, pulls, push_image, worker
from tests.images import digest_of
from tests.servers import Server, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets the limit of another process")


def limit(server: Server, spare: int) -> None:
    """Let the worker open so many files more than it has now."""
    pid = worker(server)
    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    most = next(islice((fd for fd in count() if fd not in taken), spare, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))


def sockets(server: Server) -> int:
    """Return how many sockets the worker has open."""
    found = 0
    for fd in Path(f"/proc/{worker(server)}/fd").iterdir():
        # One may be closed while it is looked at.
        with suppress(FileNotFoundError):
            found += os.readlink(fd).startswith("socket:")
    return found


def test_requests_without_a_descriptor(start: Start) -> None:
    """A request that can't open what it needs is a 503 with the reason; the same connection is served later."""
    server = start(None, "--workers", "1")
    with closing(server.connect()) as connection:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
        before = sockets(server)
        body = push_image(server, "a", "v1")
        # A connection that ends later would leave its descriptor to a request.
        wait_until(lambda: sockets(server) <= before, "the connections of the push are gone")
        limit(server, 0)
        for method, path in (
            ("GET", f"/v2/a/blobs/{digest_of(b'{}')}"),
            ("GET", "/v2/a/manifests/v1"),
            ("POST", "/v2/a/blobs/uploads/"),
            ("DELETE", f"/v2/a/manifests/{digest_of(body)}"),
        ):
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == 503
            assert "Too many open files" in detail(answer.read())["reason"]
        limit(server, 100)
        connection.request("GET", "/v2/a/manifests/v1")
        assert connection.getresponse().read() == body


def is_well(server: Server) -> bool:
    """Tell whether an image can be pulled."""
    try:
        return pulls(server, "a", "v1")
    except (OSError, http.client.HTTPException):
        return False


def test_connections_without_a_descriptor(start: Start) -> None:
    """A flood of connections ends none of the processes: those that wait give way, and then all is well."""
    server = start(None, "--workers", "1")
    push_image(server, "a", "v1")
    before = worker(server)
    limit(server, 12)
    answered = 0
    with ExitStack() as stack:
        for _ in range(60):
            connection = stack.enter_context(closing(server.connect(timeout=5)))
            try:
                connection.request("GET", "/v2/a/manifests/v1")
                answered += connection.getresponse().status in (200, 503)
            except (OSError, http.client.HTTPException):
                continue
    assert answered > 12
    wait_until(lambda: is_well(server), "an image can be pulled")
    assert worker(server) == before
