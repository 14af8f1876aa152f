"""Put one blob into more repositories than a file can have names: 65,001, where ext4 allows 65,000.

    scripts/many-repositories [--count 65001] [--directory DIR]

It pushes the blob to the first repository and to every other one in turn, tells how long the first and the last
thousand pushes took, and pulls the blob from the last ones. It leaves with 1 if an answer was wrong or if the last
pushes took more than twice as long as the first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.history.client import Client, digest_of
from tests.servers import running_server

BLOB = b"one blob for all of them"
_CLIENTS = 4
_SAMPLE = 1000


def main(arguments: list[str]) -> int:
    """Push, compare, pull; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/many-repositories", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=65_001, help="how many repositories (default 65001)")
    parser.add_argument("--directory", help="where the server's temporary root is made")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="zot-many-", dir=options.directory) as scratch,
        running_server(Path(scratch)) as server,
    ):
        host = server.url.removeprefix("http://")
        begun = time.monotonic()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            parts = [range(start, options.count, _CLIENTS) for start in range(_CLIENTS)]
            taken = dict(pair for part in pool.map(lambda numbers: push(host, numbers), parts) for pair in part)
        print(f"{len(taken)} repositories in {time.monotonic() - begun:.0f} s")
        links = sorted(
            (path.stat().st_nlink for path in (server.root / "many").glob("r*/blobs/sha256/*")), reverse=True
        )
        print(f"the blob's files have {links[0]} names at most and {links[-1]} at least")
        pull(host, range(options.count - 10, options.count))
    first = statistics.median(taken[number] for number in range(_SAMPLE)) * 1000
    last = statistics.median(taken[number] for number in range(options.count - _SAMPLE, options.count)) * 1000
    print(f"a push took {first:.1f} ms at first and {last:.1f} ms at last (medians of {_SAMPLE})")
    return 0 if last < 2 * first else 1


def push(host: str, numbers: range) -> list[tuple[int, float]]:
    """Push the blob to these repositories; returns how many seconds each took."""
    client = Client(host)
    taken = []
    for number in numbers:
        begun = time.monotonic()
        path = f"/v2/many/r{number}/blobs/uploads/?digest={digest_of(BLOB)}"
        client.expect(client.request("POST", path, BLOB), 201)
        taken.append((number, time.monotonic() - begun))
    client.close()
    return taken


def pull(host: str, numbers: range) -> None:
    """Read the blob from these repositories."""
    client = Client(host)
    for number in numbers:
        answer = client.expect(client.request("GET", f"/v2/many/r{number}/blobs/{digest_of(BLOB)}"), 200)
        assert answer.body == BLOB
    client.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
