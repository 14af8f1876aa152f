"""Which cases there are, how much of each is done, and what is expected of this registry."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import cases, targets
from scripts.benchmark.cases import MANY, Measured, Step, measure
from scripts.benchmark.targets import Target
from scripts.benchmark.wire import Wire

GIGABYTE = 1 << 30
Figures = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Plan:
    """A case: `prepare` makes a target ready and returns what runs one round; `for_files`: nginx can do it too."""

    name: str
    prepare: Callable[[Target], Callable[[], Measured]]
    for_files: bool = False


def plans(*, quick: bool) -> list[Plan]:
    """Return all cases in the order in which they are run."""
    part = 10 if quick else 1
    many, size = MANY // part, GIGABYTE // part >> 20 << 20

    def tagged(
        count: int, requests: int, make: Callable[[str], Callable[[], Step]]
    ) -> Callable[[Target], Callable[[], Measured]]:
        name = f"bench/tags{count}"

        def prepare(target: Target) -> Callable[[], Measured]:
            if not _has(target, f"/v2/{name}/manifests/v{count - 1:05}"):
                cases.prepare_tags(target, name, count)
            measure(target, requests // 10, 8, make(name))
            return lambda: measure(target, requests, 8, make(name))

        return prepare

    def of_blob(length: int, requests: int, connections: int) -> Callable[[Target], Callable[[], Measured]]:
        def prepare(target: Target) -> Callable[[], Measured]:
            step = cases.get(cases.prepare_blob(target, "bench/content", length))
            measure(target, max(1, requests // 10), 1, step)
            return lambda: measure(target, requests, connections, step)

        return prepare

    def simple(requests: int, make: Callable[[], Callable[[], Step]]) -> Callable[[Target], Callable[[], Measured]]:
        return lambda target: lambda: measure(target, requests, 1 if requests == 1 else 4, make())

    middle = f"v{many // 2:05}"
    return [
        Plan("get 10", tagged(10, 8000 // part, lambda name: cases.get(f"/v2/{name}/manifests/v00005"))),
        Plan("get 10000", tagged(many, 8000 // part, lambda name: cases.get(f"/v2/{name}/manifests/{middle}"))),
        Plan("push 10", tagged(10, 800 // part, lambda name: cases.push_tags(name, 10))),
        Plan("push 10000", tagged(many, 800 // part, lambda name: cases.push_tags(name, many))),
        Plan("page", tagged(many, 400 // part, lambda name: cases.get(f"/v2/{name}/tags/list?n=100&last={middle}"))),
        Plan("image", simple(400 // part, lambda: cases.push_image("bench/image"))),
        Plan("blob 100k", of_blob(100_000, 4000 // part, 8), for_files=True),
        Plan("upload 1G", simple(1, lambda: cases.upload(f"bench/upload{time.time_ns()}", size))),
        Plan("download 1G", of_blob(size, 3, 1), for_files=True),
    ]


def first_answers(directory: Path, repositories: int, workers: int) -> list[float]:
    """Return how many seconds it takes to start beside so many repositories until the first 200, five times."""
    with targets.zot(directory, workers) as target:
        _make_repositories(target, repositories)
    seconds = []
    for _ in range(5):
        begun = time.monotonic()
        with targets.zot(directory, workers):
            seconds.append(time.monotonic() - begun)
    return seconds


def bounds(figures: Figures) -> list[tuple[str, bool]]:
    """Return what is expected of this registry, and whether it holds, as far as it was measured."""
    found: list[tuple[str, bool]] = []

    def expect(what: str, ours: float | None, limit: float | None, *, at_least: bool = False) -> None:
        if ours is not None and limit is not None:
            holds = ours >= limit if at_least else ours <= limit
            found.append((f"{what}: {ours:,.2f} ({'at least' if at_least else 'at most'} {limit:,.2f})", holds))

    def value(case: str, key: str, server: str = "zot", times: float = 1) -> float | None:
        known = figures.get(case, {}).get(server, {}).get(key)
        return None if known is None else known * times

    cpu = "cpu us/request"
    expect("manifest GET, us of processor time", value("get 10", cpu), 350)
    expect("the same in 10,000 tags", value("get 10000", cpu), value("get 10", cpu, times=1.5))
    expect("tag push in 10,000 tags", value("push 10000", cpu), value("push 10", cpu, times=1.5))
    expect("tag push against distribution", value("push 10000", cpu), value("push 10000", cpu, "distribution"))
    expect("20 kB image against distribution", value("image", cpu), value("image", cpu, "distribution"))
    expect("page of 100 tags, us", value("page", cpu), 8000)
    expect("upload, MB/s", value("upload 1G", "MB/s"), value("upload 1G", "MB/s", "distribution", 0.6), at_least=True)
    expect("memory of a process while uploading, MB", value("upload 1G", "peak MB"), 150)
    expect("download, MB/s", value("download 1G", "MB/s"), value("download 1G", "MB/s", "nginx", 0.9), at_least=True)
    expect("first answer, ms", value("start", "worst ms"), 1000)
    return found


def _has(target: Target, path: str) -> bool:
    wire = Wire(target.host, target.port)
    try:
        wire.request("HEAD", path, headers=cases.ACCEPT)
    except RuntimeError:
        return False
    finally:
        wire.close()
    return True


def _make_repositories(target: Target, count: int) -> None:
    layer = os.urandom(100)

    def make(numbers: range) -> None:
        wire = Wire(target.host, target.port)
        for number in numbers:
            name = f"group{number % 100}/repository{number}"
            cases.push_blob(wire, name, cases.CONFIG)
            cases.push_blob(wire, name, layer)
            cases.put_manifest(wire, name, "latest", cases.manifest(layer))
        wire.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, [range(start, count, 4) for start in range(4)]))
