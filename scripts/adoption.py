"""Take over a layout of 10,000 tags, as another program wrote it, while another repository is served.

    scripts/adoption [--tags 10000] [--directory DIR] [--limit 10]

Twice: by the first request for it while the server runs, and by the leader at the start. Meanwhile two clients pull
from and push to another repository. It tells how long the layout took until all its tags were there, and how long the
other clients waited. It leaves with 1 if that took longer than the limit, in seconds, or a tag has another digest.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.history.client import Client
from tests.images import OCI_MANIFEST, descriptor, digest_of, manifest
from tests.layouts import REF_NAME, LayoutWriter
from tests.servers import Server, running_server

BIG, OTHER = "team/big", "team/other"
_SAMPLE = 200
_PAUSE = 0.01


def main(arguments: list[str]) -> int:
    """Make the layout, take it over both ways, and compare; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/adoption", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tags", type=int, default=10_000, help="how many tags (default 10000)")
    parser.add_argument("--limit", type=float, default=10.0, help="the seconds that it may take (default 10)")
    parser.add_argument("--directory", help="where the temporary roots are made")
    options = parser.parse_args(arguments)
    slowest = 0.0
    for way in (at_first_touch, at_start):
        with tempfile.TemporaryDirectory(prefix="zot-adoption-", dir=options.directory) as scratch:
            layout = Path(scratch) / "layout"
            digests = make(layout, options.tags)
            (Path(scratch) / "root/team").mkdir(parents=True)
            slowest = max(slowest, way(Path(scratch), layout, digests))
    return 0 if slowest <= options.limit else 1


def make(root: Path, count: int) -> dict[str, str]:
    """Write a layout of images that differ, each with a tag; returns the digest of each tag."""
    layout = LayoutWriter(root)
    layout.blob(b"{}")
    layout.blob(b"layer")
    digests = {}
    for number in range(count):
        body = layout.blob(manifest(annotations={"number": str(number)}))
        tag = f"v{number}"
        layout.entries.append(descriptor(body, OCI_MANIFEST, annotations={REF_NAME: tag}))
        digests[tag] = digest_of(body)
    layout.write()
    return digests


def at_first_touch(scratch: Path, layout: Path, digests: dict[str, str]) -> float:
    """Let a running server find the layout by a request for it; returns the seconds until that was answered."""
    with running_server(scratch) as server, busy(server) as waits:
        time.sleep(2)
        layout.rename(server.root / BIG)
        begun = time.monotonic()
        check(server, digests)
        took = time.monotonic() - begun
    report("at first touch", len(digests), took, waits)
    return took


def at_start(scratch: Path, layout: Path, digests: dict[str, str]) -> float:
    """Let the leader find the layout when the server starts; returns the seconds until the catalogue listed it."""
    layout.rename(scratch / "root" / BIG)
    with running_server(scratch) as server, busy(server) as waits:
        begun = time.monotonic()
        while BIG not in json.loads(server.request("GET", "/v2/_catalog")[2])["repositories"]:
            time.sleep(0.05)
        took = time.monotonic() - begun
        check(server, digests)
    report("by the leader at start", len(digests), took, waits)
    return took


def check(server: Server, digests: dict[str, str]) -> None:
    """Ask for all tags, and for the manifests of some."""
    client = Client(server.url.removeprefix("http://"))
    found = []
    last = ""
    while page := tags_after(client, last):
        found += page
        last = page[-1]
    assert sorted(found) == sorted(digests), f"{len(found)} tags of {len(digests)}"
    for tag in random.sample(sorted(digests), min(_SAMPLE, len(digests))):
        body = client.expect(client.request("GET", f"/v2/{BIG}/manifests/{tag}"), 200).body
        assert digest_of(body) == digests[tag], tag
    client.close()


def tags_after(client: Client, last: str) -> list[str]:
    """Return a page of tags."""
    answer = client.expect(client.request("GET", f"/v2/{BIG}/tags/list?n=10000&last={last}"), 200)
    tags: list[str] = json.loads(answer.body)["tags"]
    return tags


@contextmanager
def busy(server: Server) -> Iterator[dict[str, list[float]]]:
    """Pull from and push to another repository all the while; yields how many seconds each request took."""
    host = server.url.removeprefix("http://")
    body = manifest()
    client = Client(host)
    for blob in (b"{}", b"layer"):
        path = f"/v2/{OTHER}/blobs/uploads/?digest={digest_of(blob)}"
        client.expect(client.request("POST", path, blob), 201)
    push(client, body, 0)
    client.close()
    done = threading.Event()
    waits: dict[str, list[float]] = {"pulls": [], "pushes": []}
    threads = [
        threading.Thread(target=repeat, args=(done, host, waits["pulls"], lambda client, _: pull(client, body))),
        threading.Thread(target=repeat, args=(done, host, waits["pushes"], lambda client, n: push(client, body, n))),
    ]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        done.set()
        for thread in threads:
            thread.join()


def repeat(done: threading.Event, host: str, waits: list[float], act: Callable[[Client, int], None]) -> None:
    """Do something again and again on one connection until it is done."""
    client = Client(host)
    while not done.is_set():
        begun = time.monotonic()
        act(client, len(waits))
        waits.append(time.monotonic() - begun)
        time.sleep(_PAUSE)
    client.close()


def pull(client: Client, body: bytes) -> None:
    """Get the image."""
    assert client.expect(client.request("GET", f"/v2/{OTHER}/manifests/v0"), 200).body == body


def push(client: Client, body: bytes, number: int) -> None:
    """Put the image, under a tag of its own."""
    path = f"/v2/{OTHER}/manifests/v{number}"
    client.expect(client.request("PUT", path, body, {"Content-Type": OCI_MANIFEST}), 201)


def report(way: str, count: int, took: float, waits: dict[str, list[float]]) -> None:
    """Print the figures of one run."""
    print(f"{count} tags, {way}: {took:.1f} s")
    for what, seconds in waits.items():
        percentile = statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        figures = (statistics.median(seconds), percentile, max(seconds))
        median, last, most = (f"{figure * 1000:.1f}" for figure in figures)
        print(f"    meanwhile {len(seconds)} {what} of another repository: median {median}, 99% {last}, most {most} ms")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
