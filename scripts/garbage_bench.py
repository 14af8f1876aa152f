"""What garbage collection costs in a large store, and what it costs those who push meanwhile.

    scripts/garbage-bench [--check] [--repositories 10000] [--images 20] [--root DIR [--offset N]]

Makes a store of so many repositories with as many images, of which each is five tiny blobs of its own (1 M in all), and
deletes the tags of 1 % of all images: once ten in each of few repositories, once four in each of more. Measured in
processes of their own are the passes over what changed, a full pass before and after each, and how long pushes take
beside full passes and without one. Cost is processor time; the time by the clock is printed too. With `--check` it
leaves with 1 if a bound is not kept. Wants a quiet machine, 2 M inodes and 8 GB; most of its time is the making.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from scripts.history.client import CONFIG, MANIFEST, Client, digest_of, manifest
from tests.servers import REPOSITORY, environment, running_server
from zot.config import load
from zot.gc import passes
from zot.jobs import kinds
from zot.jobs.records import Record
from zot.jobs.running import run
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.registry import manifests, paths, uploads
from zot.registry.opening import open_stores
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem

_ROUNDS = 3
_PUSHERS = 4
# Of so many images of a repository the tags are deleted: in few repositories, and spread over more.
_GONE = (10, 4)
_MOST_PART, _MOST_MEMORY, _MOST_SLOWER = 1 / 20, 300.0, 1.5


class Bound(NamedTuple):
    """What was found, and how much it may be."""

    what: str
    found: float
    most: float

    @property
    def is_kept(self) -> bool:
        """Whether it is no more."""
        return self.found <= self.most


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/garbage-bench")
    parser.add_argument("--check", action="store_true", help="leave with 1 if a bound is not kept")
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20, help="how long pushes are measured, each time")
    parser.add_argument("--root", type=Path, help="where the store is; made if it is not there, and kept")
    parser.add_argument("--offset", type=int, default=0, help="the first repository to litter, for a root again")
    parser.add_argument("--pass", dest="kind", choices=["changed", "full"], help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.kind:
        return _do_pass(options.config, options.kind)
    with _place(options.root) as place:
        return _measure(place, options)


def _measure(place: Path, options: argparse.Namespace) -> int:
    root, config = place / "root", place / "config.json"
    storage = {"rootDirectory": str(root), "commit": False, "gc": False, "gcDelay": "0s", "retention": {"delay": "0s"}}
    config.write_text(json.dumps({"storage": storage, "http": {"port": 0}, "log": {"level": "warn"}}))
    if not root.exists():
        begun = time.monotonic()
        count = make(root, options.repositories, options.images)
        print(
            f"made {count} blobs in {options.repositories} repositories in {time.monotonic() - begun:.0f} s", flush=True
        )
    # The first one notes what there is, which is done once for each manifest.
    print(f"the first full pass: {_pass(config, 'full')}", flush=True)
    passes_ = [_pass(config, "full")]
    bounds = []
    first = options.offset
    for gone in _GONE:
        count = options.repositories * options.images // 100 // gone
        garbage = litter(root, range(first, first + count), gone)
        first += count
        changed = _pass(config, "changed")
        passes_ += [changed, _pass(config, "full")]
        whole = (passes_[-3]["processor"] + passes_[-1]["processor"]) / 2
        print(f"{garbage} images gone in {count} repositories: {changed}; a full pass: {passes_[-1]}", flush=True)
        part = changed["processor"] / whole
        bounds.append(Bound(f"of a full pass for 1 % garbage in {count} repositories", part, _MOST_PART))
    bounds.append(Bound("MB of memory at most", max(one["memory"] for one in passes_) / 1e6, _MOST_MEMORY))
    if options.seconds:
        slower = _pushes(place, config, options.seconds)
        bounds.append(Bound("times as long for 99 of 100 pushes beside it (median of three)", slower, _MOST_SLOWER))
    for bound in bounds:
        print(f"{'kept  ' if bound.is_kept else 'BROKEN'} {bound.found:.3g} {bound.what}, may be {bound.most:g}")
    return 1 if options.check and not all(bound.is_kept for bound in bounds) else 0


def make(root: Path, repositories: int, images: int) -> int:
    """Push tiny images, of which no two share a blob, from a process per core; returns how many blobs there are."""
    storage = Filesystem(str(root), private=paths.PRIVATE, commit=False)
    storage.start()
    count = os.cpu_count() or 1
    with multiprocessing.Pool(count) as pool:
        pool.starmap(_fill, [(root, range(first, repositories, count), images) for first in range(count)])
    return repositories * images * 5


def _fill(root: Path, numbers: range, images: int) -> None:
    store = Store(Filesystem(str(root), private=paths.PRIVATE, commit=False))
    for name in map(_name, numbers):
        for image in range(images):
            parts = [f"{name} {image} {part}".encode() for part in range(4)]
            for content in parts:
                uploads.push(store, name, digests.of(content), [content])
            body = _image(parts)
            manifests.put(store, name, digests.of(body), body, oci_manifest.parse(body, MANIFEST), (f"v{image}",))


def _name(number: int) -> str:
    return f"bench/r{number:05}"


def litter(root: Path, repositories: range, images: int) -> int:
    """Delete half the tags of some repositories, as requests would; returns how many."""
    storage = Filesystem(str(root), private=paths.PRIVATE, commit=False)
    store = Store(storage)
    for number in repositories:
        for image in range(images):
            manifests.delete_tag(store, _name(number), f"v{image}")
    store.gathered.flush(storage)
    return len(repositories) * images


def _image(parts: list[bytes]) -> bytes:
    described = [{"mediaType": "application/vnd.x", "digest": digest_of(one), "size": len(one)} for one in parts]
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
    return json.dumps(body).encode()


def _pass(config: Path, kind: str) -> dict[str, float]:
    """Do a pass in a process of its own; returns seconds, seconds of processor time, bytes of memory, and what went."""
    command = [sys.executable, "-m", "scripts.garbage_bench", "--pass", kind, "--config", str(config)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _do_pass(config: str, kind: str) -> int:
    os.nice(10)
    store = open_stores(load(config)).default
    record = Record("gc", "hand")
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    if kind == "full":
        done = run(store, record, kinds.collect_all)
    else:
        done = run(store, record, lambda one: passes.over_changed(one.store, kinds.settings_of(one), one))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": round(time.monotonic() - begun, 2),
                "processor": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 2),
                "memory": used.ru_maxrss * 1024,
                "repositories": done.repositories,
                "removed": sum(done.removed.values()),
            }
        )
    )
    return 0


def _pushes(place: Path, config: Path, seconds: float) -> float:
    """Push beside a full pass and without one; returns the median of the ratios of the 99th percentiles."""
    ratios = []
    with running_server(place, "--workers", "2", config=config) as server:
        host = f"127.0.0.1:{server.port}"
        for number in range(_ROUNDS):
            alone = _percentile(host, seconds, f"alone{number}")
            with _collecting(config):
                beside = _percentile(host, seconds, f"beside{number}")
            ratios.append(beside / alone)
            print(f"99 of 100 pushes take at most {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside", flush=True)
    return statistics.median(ratios)


@contextmanager
def _collecting(config: Path) -> Iterator[None]:
    """Let full passes follow one another."""
    ended = threading.Event()

    def collect() -> None:
        while not ended.is_set():
            command = [sys.executable, "-m", "scripts.garbage_bench", "--pass", "full", "--config", str(config)]
            with subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stdout=subprocess.DEVNULL) as process:
                while process.poll() is None and not ended.wait(0.1):
                    continue
                process.kill()

    thread = threading.Thread(target=collect)
    thread.start()
    time.sleep(1)
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _percentile(host: str, seconds: float, note: str) -> float:
    """Push images from some clients; returns the 99th percentile of how long one takes, in seconds."""
    took: list[float] = []

    def push(number: int) -> None:
        client = Client(host)
        name = f"bench/pushed{number}"
        client.push_blob(name, CONFIG)
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            count += 1
            layer = f"{note} {number} {count}".encode()
            begun = time.monotonic()
            client.push_blob(name, layer)
            client.expect(client.put_manifest(name, f"t{count % 5}", manifest(layer)), 201, 400)
            took.append(time.monotonic() - begun)
            client.push_blob(name, CONFIG)
        client.close()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(_PUSHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.quantiles(took, n=100)[98]


@contextmanager
def _place(root: Path | None) -> Iterator[Path]:
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
        yield root
        return
    scratch = Path(tempfile.mkdtemp(prefix="zot-garbage-"))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
