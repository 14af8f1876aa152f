"""What the clients do. Each workload returns what it checked, and raises `Violation` if a registry can't answer so."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from scripts.history.checker import NEVER, Operation
from scripts.history.client import CONFIG, MANIFEST, Client, Lost, UnexpectedAnswer, digest_of, manifest
from scripts.history.garbage import garbage
from scripts.history.recorder import Recorded, Violation
from scripts.history.run import Run

T = TypeVar("T")

LAYER = b"layer"
_SLOWEST_DELETE = 5.0


def tags(run: Run) -> str:
    """Push, re-point, delete, pull and list few tags: each is a linearizable register, and a pull gets all blobs."""
    name = f"{run.prefix}/tags"
    _prepare(run, name)
    recorded = Recorded(run, [f"t{number}" for number in range(3)])
    goes_on = run.until_end()

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            tag = chance.choice(recorded.registers)
            step += 1
            kind = chance.choices(["push", "read", "pull", "list", "delete"], [6, 7, 2, 1, 2])[0]
            note = f"{number}-{step}" if chance.random() < 0.7 else f"again {chance.randrange(3)}"
            recorded.add(_do(client, name, tag, kind, manifest(LAYER, note=note)), tag)

    run.in_parallel(work)
    return recorded.judge()


def new_tags(run: Run) -> str:
    """Push ever new tags to one repository, by way of each server, and lose none: the history of zot#4337.

    Every tag is there for the next request to whatever server, and still at the end, in the list too.
    """
    name = f"{run.prefix}/new-tags"
    _prepare(run, name)
    goes_on = run.until_end()
    pushed: dict[str, str] = {}

    def work(client: Client, chance: random.Random, number: int) -> None:
        step = 0
        while goes_on():
            step += 1
            tag = f"n{number}-{step}"
            body = manifest(LAYER, note=tag)
            client.expect(client.put_manifest(name, tag, body), 201)
            other = run.connect()
            _see_tag(other, name, tag, digest_of(body))
            other.close()
            with run.guard:
                pushed[tag] = digest_of(body)

    run.in_parallel(work)
    client = run.connect()
    for tag, digest in pushed.items():
        _see_tag(client, name, tag, digest)
    lost = pushed.keys() - client.tags(name)
    client.close()
    if lost:
        raise Violation(f"{name} does not list {sorted(lost)[:20]}")
    return f"{len(pushed)} tags, all there"


def _see_tag(client: Client, name: str, tag: str, digest: str) -> None:
    got = client.request("GET", f"/v2/{name}/manifests/{tag}", headers={"Accept": MANIFEST})
    if (got.status, digest_of(got.body)) != (200, digest):
        raise Violation(f"{name}:{tag} was pushed as {digest}, and answers {got.status} {got.body[:200]!r}")


def digests(run: Run) -> str:
    """Delete manifests by digest while others tag them: a tag goes with its digest or stays, and never dangles.

    A digest is a register too, which holds itself or nothing.
    """
    name = f"{run.prefix}/digests"
    _prepare(run, name)
    bodies = {digest_of(body): body for body in (manifest(LAYER, note=f"fixed {number}") for number in range(3))}
    few = ["t0", "t1"]
    recorded = Recorded(run, [*few, *bodies])
    goes_on = run.until_end()

    def work(client: Client, chance: random.Random, number: int) -> None:
        while goes_on():
            tag, digest = chance.choice(few), chance.choice(list(bodies))
            kind = chance.choices(["push", "read", "pull", "list", "digest", "remove"], [6, 5, 1, 1, 2, 4])[0]
            if kind == "digest":
                recorded.add(_do(client, name, digest, "read", bodies[digest]), digest)
                continue
            operation = _do(client, name, tag, kind, bodies[digest])
            # Removing a digest is about every tag that it may have.
            recorded.add(operation, *(few if kind == "remove" else [tag]))
            if kind == "push":
                recorded.add(operation, digest)
            elif kind == "remove":
                recorded.add(operation and operation._replace(kind="delete"), digest)

    run.in_parallel(work)
    return recorded.judge()


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
    "new-tags": new_tags,
    "digests": digests,
    "blobs": blobs,
    "mounts": mounts,
    "same-blob": same_blob,
    "fairness": fairness,
    "garbage": garbage,
}


def _prepare(run: Run, name: str) -> None:
    client = run.connect()
    client.push_blob(name, CONFIG)
    client.push_blob(name, LAYER)
    client.close()


def _pusher(name: str, content: bytes) -> Callable[[Client], str]:
    return lambda client: client.push_blob(name, content)


def _both(run: Run, one: Callable[[Client], T], other: Callable[[Client], T]) -> tuple[T, T]:
    """Do two things at once, each on a connection of its own, and so perhaps on another worker."""

    def call(what: Callable[[Client], T]) -> T:
        client = run.connect()
        try:
            return what(client)
        finally:
            client.close()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(call, (one, other))
        return first, second


def _do(client: Client, name: str, reference: str, kind: str, body: bytes) -> Operation | None:
    """Do one operation and return its record; None if nobody can know what a lost one would have seen."""
    digest, called = digest_of(body), time.monotonic()
    recorded_as = "read" if kind == "pull" else kind
    try:
        value, found = _OPERATIONS[kind](client, name, reference, body)
    except Lost:
        # An operation that changes nothing is as if it had not been.
        return None if recorded_as in ("read", "list") else Operation(kind, digest, called, NEVER, None)
    return Operation(recorded_as, digest if kind == "remove" else value, called, time.monotonic(), found)


Seen = tuple[str | None, bool]


def _push(client: Client, name: str, reference: str, body: bytes) -> Seen:
    client.expect(client.put_manifest(name, reference, body), 201)
    return digest_of(body), True


def _read(client: Client, name: str, reference: str, body: bytes) -> Seen:
    path = f"/v2/{name}/manifests/{reference}"
    answer = client.expect(client.request("GET", path, headers={"Accept": MANIFEST}), 200, 404)
    if answer.status == 404:
        return None, False
    seen = answer.headers["docker-content-digest"]
    if digest_of(answer.body) != seen:
        raise Violation(f"{path} was answered with {seen} and other content")
    return seen, True


def _pull(client: Client, name: str, reference: str, body: bytes) -> Seen:
    """Read a manifest and then all that it names: in these workloads no blob is ever deleted."""
    path = f"/v2/{name}/manifests/{reference}"
    answer = client.expect(client.request("GET", path, headers={"Accept": MANIFEST}), 200, 404)
    missing = client.missing_blobs(name, answer.body) if answer.status == 200 else []
    if missing:
        raise Violation(f"{path} was served without its blobs {missing}")
    return (digest_of(answer.body), True) if answer.status == 200 else (None, False)


def _list(client: Client, name: str, reference: str, body: bytes) -> Seen:
    return None, client.has_tag(name, reference)


def _delete(client: Client, name: str, reference: str, body: bytes) -> Seen:
    answer = client.expect(client.request("DELETE", f"/v2/{name}/manifests/{reference}"), 202, 404)
    return None, answer.status == 202


def _remove(client: Client, name: str, reference: str, body: bytes) -> Seen:
    return _delete(client, name, digest_of(body), body)


_OPERATIONS: dict[str, Callable[[Client, str, str, bytes], Seen]] = {
    "push": _push,
    "read": _read,
    "pull": _pull,
    "list": _list,
    "delete": _delete,
    "remove": _remove,
}


__all__ = ["WORKLOADS", "Run", "UnexpectedAnswer", "Violation"]
