"""Push and pull one very large blob, and see that no worker's memory grows with it.

    python -m scripts.large_blob [--gigabytes 12] [--most 150]

The blob is repeated data and is written once, so as much of the disk must be free. Leaves with 1 if a worker took more
memory than it may, in MB of 10^6 bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers import Server, running_server

_PIECE = b"large blob! " * 87_381


def main(arguments: list[str]) -> int:
    """Push, pull, and print how much memory that took; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/large_blob.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=12, help="size of the blob (default 12)")
    parser.add_argument("--most", type=int, default=150, help="MB that a worker may take (default 150)")
    options = parser.parse_args(arguments)
    pieces = int(options.gigabytes * 1e9 / len(_PIECE)) + 1
    expected = hashlib.sha256()
    for _ in range(pieces):
        expected.update(_PIECE)
    digest = f"sha256:{expected.hexdigest()}"
    with (
        tempfile.TemporaryDirectory(prefix="zot-large-") as scratch,
        running_server(Path(scratch), "--workers", "2") as server,
    ):
        begun = time.monotonic()
        push(server, digest, pieces)
        pushed = time.monotonic()
        if pull(server, digest) != digest:
            print("what came back is something else")
            return 1
        pulled = time.monotonic()
        peaks = peak_memory(server)
    size = pieces * len(_PIECE) / 1e9
    print(f"{size:.1f} GB: {pushed - begun:.0f} s in, {pulled - pushed:.0f} s out; most memory by process: {peaks} MB")
    return int(max(peaks) > options.most)


def push(server: Server, digest: str, pieces: int) -> None:
    """Push the blob in one stream, whose length is not said."""

    def body() -> Iterator[bytes]:
        for _ in range(pieces):
            yield _PIECE

    location = server.request("POST", "/v2/large/blobs/uploads/")[1]["location"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("PATCH", location, body(), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 202
    connection.close()
    assert server.request("PUT", f"{location}?digest={digest}")[0] == 201


def pull(server: Server, digest: str) -> str:
    """Pull the blob; returns the digest of what came."""
    connection = server.connect(timeout=600)
    connection.request("GET", f"/v2/large/blobs/{digest}")
    answer = connection.getresponse()
    found, buffer = hashlib.sha256(), bytearray(1 << 20)
    while got := answer.readinto(buffer):
        found.update(memoryview(buffer)[:got])
    connection.close()
    return f"sha256:{found.hexdigest()}"


def peak_memory(server: Server) -> list[int]:
    """Return the most memory that each child of the server ever took, in MB, the leader's too."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    lines = [line for pid in children for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return [int(line.split()[1]) * 1024 // 1_000_000 for line in lines if line.startswith("VmHWM:")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
