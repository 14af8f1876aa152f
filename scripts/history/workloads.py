"""What the clients do. Each workload returns what it checked, and raises `Violation` if a registry can't answer so."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from scripts.history.checker import Operation, first_violation
from scripts.history.client import CONFIG, MANIFEST, Client, UnexpectedAnswer, digest_of, manifest

T = TypeVar("T")

LAYER = b"layer"
_SLOWEST_DELETE = 5.0


class Violation(Exception):
    """The registry did what it must not; the message shows it."""


@dataclass
class Run:
    """One run of a workload: against whom, how long, how many clients, and the source of chance."""

    host: str
    seconds: float
    clients: int
    seed: int
    prefix: str
    operations: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def in_parallel(self, work: Callable[[Client, random.Random, int], None]) -> None:
        """Let every client do this work at once; raises what one of them raised."""

        def one(number: int) -> None:
            client = Client(self.host)
            try:
                # Chance decides what clients do, and nothing else.
                work(client, random.Random(self.seed * 1000 + number), number)  # noqa: S311
            finally:
                client.close()

        with ThreadPoolExecutor(self.clients) as pool:
            list(pool.map(one, range(self.clients)))

    def until_end(self) -> Callable[[], bool]:
        """Return a function that is true until the time is over, and counts."""
        end = time.monotonic() + self.seconds

        def goes_on() -> bool:
            with self.guard:
                self.operations += 1
            return time.monotonic() < end

        return goes_on


def tags(run: Run) -> str:
    """Push, re-point, delete and read few tags: each is a linearizable register."""
    name = f"{run.prefix}/tags"
    _prepare(run, name)
    history: dict[str, list[Operation]] = {f"t{number}": [] for number in range(3)}
    goes_on = run.until_end()

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            tag = chance.choice(list(history))
            step += 1
            kind = chance.choices(["push", "read", "delete"], [3, 5, 1])[0]
            note = f"{number}-{step}" if chance.random() < 0.7 else f"again {chance.randrange(3)}"
            operation = _do(client, name, tag, kind, manifest(LAYER, note=note))
            with run.guard:
                history[tag].append(operation)

    run.in_parallel(work)
    return _judge(history)


def digests(run: Run) -> str:
    """Delete manifests by digest while others tag them: a tag goes with its digest or stays, and never dangles."""
    name = f"{run.prefix}/digests"
    _prepare(run, name)
    bodies = [manifest(LAYER, note=f"fixed {number}") for number in range(3)]
    history: dict[str, list[Operation]] = {f"t{number}": [] for number in range(2)}
    goes_on = run.until_end()

    def work(client: Client, chance: random.Random, number: int) -> None:
        while goes_on():
            tag, body = chance.choice(list(history)), chance.choice(bodies)
            kind = chance.choices(["push", "read", "remove"], [3, 4, 2])[0]
            operation = _do(client, name, tag, kind, body)
            with run.guard:
                # Removing a digest is about every tag that it may have.
                for one in history if kind == "remove" else [tag]:
                    history[one].append(operation)

    run.in_parallel(work)
    return _judge(history)


def blobs(run: Run) -> str:
    """Delete a blob while a manifest that names it is pushed: one is refused, and no manifest lacks its blob."""
    name = f"{run.prefix}/blobs-and-manifests"
    _prepare(run, name)
    goes_on = run.until_end()
    counts = {"manifest refused": 0, "delete refused": 0}

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            step += 1
            layer = f"{number}-{step}-{run.seed}".encode()
            digest = client.push_blob(name, layer)
            body = manifest(layer)
            deleted, put = _both(
                run,
                lambda other: other.request("DELETE", f"/v2/{name}/blobs/{digest}").status,
                lambda other: other.put_manifest(name, f"b{number}", body).status,
            )
            if (deleted, put) not in ((202, 400), (405, 201)):
                raise Violation(f"deleting {digest} gave {deleted} while a manifest that names it gave {put}")
            there = client.request("HEAD", f"/v2/{name}/blobs/{digest}").status
            if there != (200 if put == 201 else 404):
                raise Violation(f"{digest}: delete {deleted}, manifest {put}, and then the blob answers {there}")
            with run.guard:
                counts["manifest refused" if put == 400 else "delete refused"] += 1

    run.in_parallel(work)
    return f"{counts}"


def mounts(run: Run) -> str:
    """Mount a blob while its source deletes it: whoever is told that it was mounted can read it."""
    source, target = f"{run.prefix}/source", f"{run.prefix}/target"
    goes_on = run.until_end()
    counts = {201: 0, 202: 0}

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            step += 1
            content = f"mount {number}-{step}-{run.seed}".encode()
            digest = client.push_blob(source, content)
            deleted, mounted = _both(
                run,
                lambda other: other.request("DELETE", f"/v2/{source}/blobs/{digest}").status,
                lambda other: other.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={source}").status,
            )
            got = client.request("GET", f"/v2/{target}/blobs/{digest}")
            fits = (got.status, got.body) == (200, content) if mounted == 201 else got.status == 404
            if deleted != 202 or not fits:
                raise Violation(f"{digest}: delete {deleted}, mount {mounted}, and then the target answers {got}")
            with run.guard:
                counts[mounted] += 1

    run.in_parallel(work)
    return f"{counts[201]} mounted, {counts[202]} not"


def same_blob(run: Run) -> str:
    """Push one new blob twice at once, to one repository and to two: both succeed and it is whole."""
    goes_on = run.until_end()

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            step += 1
            content = f"same {number}-{step}-{run.seed}".encode() * 1000
            names = chance.choice([("one", "one"), ("one", "two")])
            digest, _ = _both(run, *(_pusher(f"{run.prefix}/{name}", content) for name in names))
            for name in names:
                if client.request("GET", f"/v2/{run.prefix}/{name}/blobs/{digest}").body != content:
                    raise Violation(f"{digest} was pushed twice at once to {names} and is not whole in {name}")

    run.in_parallel(work)
    return "all whole"


def fairness(run: Run) -> str:
    """Delete tags while pushes to the repository never pause: the deletes get their turn."""
    name = f"{run.prefix}/fairness"
    _prepare(run, name)
    goes_on = run.until_end()
    waits: list[float] = []

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            step += 1
            body = manifest(LAYER, note=f"{number}-{step}")
            client.expect(client.put_manifest(name, f"f{number}", body), 201)
            if number == 0:
                begun = time.monotonic()
                client.expect(client.request("DELETE", f"/v2/{name}/manifests/f0"), 202)
                waits.append(time.monotonic() - begun)

    run.in_parallel(work)
    if not waits or max(waits) > _SLOWEST_DELETE:
        raise Violation(f"of {len(waits)} deletes the slowest took {max(waits, default=0):.1f} s beside pushes")
    return f"{len(waits)} deletes, the slowest took {max(waits) * 1000:.0f} ms"


WORKLOADS: dict[str, Callable[[Run], str]] = {
    "tags": tags,
    "digests": digests,
    "blobs": blobs,
    "mounts": mounts,
    "same-blob": same_blob,
    "fairness": fairness,
}


def _prepare(run: Run, name: str) -> None:
    client = Client(run.host)
    client.push_blob(name, CONFIG)
    client.push_blob(name, LAYER)
    client.close()


def _pusher(name: str, content: bytes) -> Callable[[Client], str]:
    return lambda client: client.push_blob(name, content)


def _both(run: Run, one: Callable[[Client], T], other: Callable[[Client], T]) -> tuple[T, T]:
    """Do two things at once, each on a connection of its own, and so perhaps on another worker."""

    def call(what: Callable[[Client], T]) -> T:
        client = Client(run.host)
        try:
            return what(client)
        finally:
            client.close()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(call, (one, other))
        return first, second


def _do(client: Client, name: str, tag: str, kind: str, body: bytes) -> Operation:
    """Do one operation and record it."""
    digest = digest_of(body)
    path = f"/v2/{name}/manifests/{tag}"
    called = time.monotonic()
    if kind == "push":
        client.expect(client.put_manifest(name, tag, body), 201)
        return Operation(kind, digest, called, time.monotonic())
    if kind == "read":
        answer = client.expect(client.request("GET", path, headers={"Accept": MANIFEST}), 200, 404)
        returned = time.monotonic()
        seen = answer.headers["docker-content-digest"] if answer.status == 200 else None
        if seen is not None and digest_of(answer.body) != seen:
            raise Violation(f"{path} was answered with {seen} and other content")
        return Operation(kind, seen, called, returned)
    target = path if kind == "delete" else f"/v2/{name}/manifests/{digest}"
    answer = client.expect(client.request("DELETE", target), 202, 404)
    return Operation(kind, digest, called, time.monotonic(), found=answer.status == 202)


def _judge(history: dict[str, list[Operation]]) -> str:
    for tag, operations in history.items():
        wrong = first_violation(operations)
        if wrong is not None:
            shown = "\n".join(
                f"  {one.called:.6f} to {one.returned:.6f} {one.kind} {one.value} {'' if one.found else '(404)'}"
                for one in wrong
            )
            raise Violation(f"the tag {tag} is no linearizable register; the last of these does not fit:\n{shown}")
    return f"{sum(map(len, history.values()))} operations on {len(history)} tags are linearizable"


__all__ = ["WORKLOADS", "Run", "UnexpectedAnswer", "Violation"]
