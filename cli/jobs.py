"""What commands that work on the stores of a registry have in common: opening them, and running jobs in them."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from cli.configuration import read
from cli.output import Output
from cli.store import human_size, open_store, open_to_change, require_store
from zot.config import Config
from zot.gc.cleaning import Cleaned
from zot.gc.scrubbing import Scrubbed
from zot.jobs.lease import HeldError
from zot.jobs.records import REMEDY, Record
from zot.jobs.running import Run
from zot.jobs.running import run as run_job
from zot.logs import configure_log
from zot.registry import repositories
from zot.registry.store import Store
from zot.registry.stores import DEFAULT, Stores
from zot.storage.protocol import StorageError

FAILED = 1
# Of what is removed, what has a size; the size of what a tag leads to stands at that.
_SIZED = frozenset({"manifest", "blob", "leftover"})


@contextmanager
def opened(named: str | None, output: Output, *, to_change: bool = False) -> Iterator[tuple[Config, Stores]]:
    """Open the stores of the configuration that is used; a store that fails ends the command with one line and 1.

    The logs of the server are written to only by what is opened `to_change`.
    """
    config = read(named, output)
    require_store(config)
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        stores = open_to_change(config, output) if to_change else open_store(config, output)
        if to_change and config.log.output:
            # Not before, as the file belongs to the owner of the root too.
            configure_log(config.log.level, config.log.output)
        yield config, stores
    except StorageError as error:
        fail(output, str(error), "see to the storage, then try again; nothing was changed")


def fail(output: Output, why: str, remedy: str) -> NoReturn:
    """Say why in one line, and leave with 1."""
    output.failure(why, remedy)
    sys.exit(FAILED)


def chosen(stores: Stores, repository: str | None, output: Output) -> list[tuple[str, Store]]:
    """Return the stores that a command is about, with their routes: that of a repository, or all."""
    if repository is None:
        return list(stores.by_route())
    store = stores.of(repository)
    if not repositories.exists(store, repository):
        fail(output, f"there is no repository {repository!r}", "check its name")
    return [(route, one) for route, one in stores.by_route() if one is store]


def work(
    store: Store,
    record: Record,
    job: Callable[[Run], None],
    output: Output,
    shown: Callable[[Cleaned | Scrubbed], None],
) -> Record:
    """Run a job in this process, with a progress bar on a terminal; after Ctrl-C or SIGTERM it ends in order."""
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda given, _frame: told.append(given))
    total = sum(1 for _ in repositories.names(store))
    with output.progress(record.kind, total) as advance:

        def show(done: Cleaned | Scrubbed) -> None:
            advance(1)
            shown(done)

        try:
            return run_job(store, record, job, stopping=lambda: bool(told), shown=show)
        except HeldError as error:
            fail(output, str(error), "try again when it has ended")
        except StorageError as error:
            # Its record could not be kept either, so nothing else tells what the run did until then.
            fail(output, str(error), "see to the storage, then try again; what the run had done by then stays")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)


def things(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was removed as people see it: a manifest and the blob that it is are one thing, with the blob's size.

    A manifest whose blob stays for now has the size None.
    """
    given = list(items)
    blobs = {(one["repository"], one["reference"]): one["size"] for one in given if one["kind"] == "blob"}
    manifests = {(one["repository"], one["reference"]) for one in given if one["kind"] == "manifest"}
    return [
        one | {"size": blobs.get((one["repository"], one["reference"]))} if one["kind"] == "manifest" else one
        for one in given
        if one["kind"] != "blob" or (one["repository"], one["reference"]) not in manifests
    ]


def thing_size(thing: dict[str, Any], *, is_whole: bool = True) -> str:
    """Return how much room one of `things` took, as people read it; what is but a name took none that is told.

    Of a list that is not whole, nobody knows of a manifest whether its blob stayed or is among what was left out.
    """
    if thing["size"] is None:
        return "its blob stays" if is_whole else "-"
    return human_size(thing["size"]) if thing["kind"] in _SIZED else "-"


def key_of(route: str, key: str) -> str:
    """Return how the configuration spells a key of the store with a route."""
    return f"{'storage' if route == DEFAULT else f'storage.subPaths.{route}'}.{key}"


def tell_dry_run(route: str, prefix: str, output: Output) -> None:
    """Say why what was told to remove does not."""
    key = key_of(route, "retention.dryRun")
    output.note(f"{prefix}{key} is on, so nothing is removed; set it to false if it should be")


def tell_failure(done: Record, output: Output) -> None:
    """Say of a run that did not end well what became of it."""
    if done.outcome == "refused":
        output.failure(f"nothing was deleted: {done.message}", done.notes.get(REMEDY, ""))
    elif done.outcome != "done":
        why = f"the run {done.outcome}{': ' if done.message else ''}{done.message}"
        output.failure(why, f"what it did stays; zot job show {done.id} lists it")


def age(seconds: float) -> str:
    """Return a length of time for people."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
