"""Which cases there are, how much of each is done, and how one round of one is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.benchmark import cases, targets
from scripts.benchmark.load import drive
from scripts.benchmark.processes import cpu_seconds, settle, watched
from scripts.benchmark.targets import Target
from scripts.benchmark.wire import Maker

GIGABYTE = 1 << 30
_MEGABYTE = 1 << 20
_FEW = 10


@dataclass(frozen=True)
class Measured:
    """One round: processor and wall seconds, units of work, bytes, latencies in seconds, and memory in bytes.

    `cpu` includes `deferred`, which the server spent after its last answer. `peaks` has each process's resident memory.
    """

    cpu: float
    deferred: float
    wall: float
    units: int
    moved: int
    latencies: list[float]
    peaks: list[int]
    proportional: int


Round = Callable[[], Measured]


@dataclass(frozen=True)
class Plan:
    """A case: `prepare` makes a target ready and returns what runs one round.

    `for_files`: a plain web server can do it too; `bulk`: its bytes count, not its requests.
    """

    name: str
    about: str
    prepare: Callable[[Target], Round]
    for_files: bool = False
    bulk: bool = False


@dataclass(frozen=True)
class Effort:
    """How much of a case is done: units in a round, units before each round, and connections.

    `settles`: the server may put off work, which is then waited for on both sides of the round.
    """

    units: int
    warm: int
    connections: int
    settles: bool = False


def measure(target: Target, effort: Effort, make: Maker, warm: Maker | None = None) -> Measured:
    """Warm a target up, then measure one round. Raises `BadAnswerError` if any answer is not as expected."""
    if effort.warm:
        drive(target.host, target.port, warm or make, effort.warm, effort.connections)
    if effort.settles:
        # What one server has written must not be on the disk's mind while another is measured.
        os.sync()
        settle(target.pid)
    with watched(target.pid) as memory:
        before = cpu_seconds(target.pid)
        samples = drive(target.host, target.port, make, effort.units, effort.connections)
        answered = cpu_seconds(target.pid) - before
    if effort.settles:
        settle(target.pid)
    cpu = cpu_seconds(target.pid) - before if effort.settles else answered
    return Measured(
        cpu=cpu,
        deferred=cpu - answered,
        wall=samples.wall,
        units=len(samples.latencies),
        moved=samples.moved,
        latencies=samples.latencies,
        peaks=sorted(memory.peaks.values(), reverse=True),
        proportional=memory.proportional,
    )


def plans(scale: float = 1.0) -> list[Plan]:
    """Return all cases in the order in which they are run; a scale below 1 makes all of them smaller."""
    many = max(200, int(10_000 * scale))
    size = max(4 * _MEGABYTE, int(GIGABYTE * scale) // _MEGABYTE * _MEGABYTE)

    def some(units: int) -> int:
        return max(_FEW, int(units * scale))

    reads = Effort(some(8000), some(1000), 8)
    pushes = Effort(some(800), some(100), 8, settles=True)
    images = Effort(some(400), some(50), 4, settles=True)
    large = Effort(1, 1, 1, settles=True)
    return [
        Plan("get", "GET of a manifest by tag; ten tags", partial(_get, _FEW, reads)),
        Plan("get-many", f"the same; {many:,} tags", partial(_get, many, reads)),
        Plan("push", "PUT of a new manifest under a tag; ten tags", partial(_push, _FEW, pushes)),
        Plan("push-many", f"the same; {many:,} tags", partial(_push, many, pushes)),
        Plan("page", f"100 of {many:,} tags, one connection", partial(_page, many, Effort(some(800), some(100), 1))),
        Plan("image", "push of a 20 kB image, seven requests", partial(_image, images)),
        Plan("blob", "GET of 100 kB", partial(_blob, 100_000, Effort(some(8000), some(1000), 8)), for_files=True),
        Plan("upload", f"POST, PATCH, PUT of {size >> 20:,} MiB", partial(_upload, size, large), bulk=True),
        Plan(
            "download", f"GET of {size >> 20:,} MiB", partial(_blob, size, Effort(3, 1, 1)), for_files=True, bulk=True
        ),
    ]


def _get(tags: int, effort: Effort, target: Target) -> Round:
    name = f"bench/tags{tags}"
    length = cases.prepare_tags(target, name, tags)
    make = cases.get(f"/v2/{name}/manifests/{cases.tag(tags // 2)}", length)
    return lambda: measure(target, effort, make)


def _push(tags: int, effort: Effort, target: Target) -> Round:
    name = f"bench/tags{tags}"
    cases.prepare_tags(target, name, tags)
    return lambda: measure(target, effort, cases.push_tags(name, tags))


def _page(tags: int, effort: Effort, target: Target) -> Round:
    name = f"bench/tags{tags}"
    cases.prepare_tags(target, name, tags)
    path = f"/v2/{name}/tags/list?n=100&last={cases.tag(tags // 2 - 1)}"
    cases.check_page(target, path, 100)
    return lambda: measure(target, effort, cases.get(path))


def _image(effort: Effort, target: Target) -> Round:
    return lambda: measure(target, effort, cases.push_image("bench/image"))


def _blob(size: int, effort: Effort, target: Target) -> Round:
    make = cases.get(cases.prepare_blob(target, "bench/content", size), size)
    return lambda: measure(target, effort, make)


def _upload(size: int, effort: Effort, target: Target) -> Round:
    def run() -> Measured:
        name = f"bench/upload{time.time_ns()}"
        small = cases.upload(name, 4 * _MEGABYTE)
        return measure(target, effort, cases.upload(name, size), small)

    return run


def first_answers(
    directory: Path, repositories: int, workers: int, command: list[str] | None = None, times: int = 5
) -> list[float]:
    """Return how many seconds it takes, beside so many repositories, from starting the program to the first 200."""
    with targets.zot(directory, workers, command) as target:
        drive(target.host, target.port, cases.new_repositories(repositories), repositories, 8)
        settle(target.pid)
    seconds = []
    for _ in range(times):
        begun = time.monotonic()
        with targets.zot(directory, workers, command):
            seconds.append(time.monotonic() - begun)
    return seconds
