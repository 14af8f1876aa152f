"""`zot gc`: garbage collection by hand, and what it has done."""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import click

from cli.jobs import FAILED, age, chosen, key_of, opened, tell_dry_run, tell_failure, thing_size, things, work
from cli.options import config_group, config_option
from cli.output import Output, counted, output_options
from cli.store import human_size, repository_options, when
from zot.gc import passes
from zot.gc.cleaning import Cleaned
from zot.gc.planning import Kind, Waiting
from zot.gc.scrubbing import Scrubbed
from zot.gc.wording import duration
from zot.jobs import kinds, records
from zot.jobs.records import Record
from zot.jobs.running import Run
from zot.registry.retention import Retention

# How wide the column of sizes is; repositories are printed as they are done, so that no table is made of all.
_SIZE_WIDTH = len("its blob stays")


@config_group
def gc() -> None:
    """Remove what no tag leads to any more, or see what that would be.

    \b
    Examples:
      zot gc run --dry-run
      zot gc status
    """


@gc.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@repository_options()
@config_option
@output_options
def run(dry_run: bool, repository: str | None, config: str | None, output: Output) -> None:
    """Collect garbage now, by the rules of the configuration, whether the server runs or not.

    Whatever is removed is listed with its size and the reason, a repository at a time; what a tag leads to has lines of
    its own. A manifest and the blob that it is are one line, though
    it may be that the blob stays for now, as it is too young: what waits is counted. JSON has both. A dry run goes the
    same way up to the removal.

    \b
    Examples:
      zot gc run --dry-run
      zot gc run team/app --config config.json
    """
    status = 0
    documents = []
    with opened(config, output, to_change=not dry_run) as (read, stores):
        several = len(list(stores.by_route())) > 1
        for route, store in chosen(stores, repository, output):
            prefix = f"{route}: " if several else ""
            listing = _Listing(output, prefix)
            record = Record("gc", "hand", dry_run or store.retention.dry_run)
            job = kinds.collect_all if repository is None else _only(repository)
            done = work(store, record, job, output, listing.add)
            if not read.storage.at(route).gc:
                output.note(f"{prefix}gc is off here, so the server never does this by itself; {_switch(route)}")
            if store.retention.dry_run and not dry_run:
                tell_dry_run(route, prefix, output)
            tell_failure(done, output)
            status = max(status, 0 if done.outcome == "done" else FAILED)
            documents.append({"store": route, **done.document(), "listed": listing.items})
            if not output.json:
                listing.tell_waiting(store.retention)
                _conclude(done, prefix, output)
    if output.json:
        output.document({"stores": documents})
    sys.exit(status)


@gc.command()
@config_option
@output_options
def status(config: str | None, output: Output) -> None:
    """Show when garbage was last collected, what became of it, and what is waiting.

    TO LOOK AT is the number of repositories where something was pushed, moved or deleted, long enough ago by gcDelay
    and delay: the next run looks at them, and may find that nothing has to go.

    \b
    Example:
      zot gc status --output json
    """
    found: list[_State] = []
    with opened(config, output) as (read, stores):
        for route, store in stores.by_route():
            last = next((one for one in records.newest(store.storage, "gc") if not one.dry_run), None)
            waiting = sum(1 for _ in passes.due(store, time.time()))
            found.append(_State(route, read.storage.at(route).gc, waiting, last))
    if output.json:
        output.document({"stores": [_document(one) for one in found]})
        return
    rows = [_row(one) for one in found]
    output.table(["STORE", "ENABLED", "TO LOOK AT", "LAST RUN", "OUTCOME", "REMOVED", "FREED"], rows)


class _Listing:
    """What a run removed, printed as it goes, or gathered for a document."""

    def __init__(self, output: Output, prefix: str) -> None:
        self._output = output
        self._prefix = prefix
        self.items: list[dict[str, Any]] = []
        self._waiting: list[Waiting] = []

    def add(self, done: Cleaned | Scrubbed) -> None:
        """Take in what became of a repository."""
        assert isinstance(done, Cleaned), "nothing is scrubbed here"
        self._waiting += done.plan.waiting.values()
        name = done.plan.name
        removed = [
            {"repository": name, "kind": one.kind.value, "reference": one.reference, "size": one.size,
             "reason": one.why or one.reason.value}
            for one in done.removed
        ]  # fmt: skip
        if self._output.json:
            self.items += removed
            return
        shown = things(removed)
        places = [name if one["reference"] == name else f"{name} {one['reference']}" for one in shown]
        width = max(map(len, places), default=0)
        for one, where in zip(shown, places, strict=True):
            begin = f"{self._prefix}{one['kind']:<10}  {thing_size(one):>{_SIZE_WIDTH}}"
            self._output.line(f"{begin}  {where:<{width}}  {one['reason']}")

    def tell_waiting(self, rules: Retention) -> None:
        """Say how much is too young to go, and when the first of it is old enough."""
        if not self._waiting:
            return
        manifests = sum(one.kind is Kind.MANIFEST for one in self._waiting)
        blobs = len(self._waiting) - manifests
        counts = [counted(manifests, "manifest")] if manifests else []
        if blobs:
            counts.append(f"{counted(blobs, 'blob')} ({human_size(sum(one.size for one in self._waiting))})")
        first = when(min(one.until for one in self._waiting))
        self._output.note(
            f"{self._prefix}{' and '.join(counts)} may go later, from {first} on"
            f" (gcDelay {duration(rules.gc_delay)}, delay {duration(rules.delay)})"
        )


def _only(repository: str) -> Any:
    def job(run: Run) -> None:
        passes.clean_one(run.store, repository, kinds.settings_of(run), run.go_on, told=run.cleaned)

    return job


def _conclude(done: Record, prefix: str, output: Output) -> None:
    for problem in done.problems:
        output.warning(f"{prefix}{problem}")
    counts = ", ".join(counted(count, kind) for kind, count in sorted(done.things().items())) or "nothing"
    verb = "would remove" if done.dry_run else "removed"
    output.line(f"{prefix}{verb} {counts}: {human_size(done.freed)} in {counted(done.repositories, 'repository')}")


def _switch(route: str) -> str:
    return f"set {key_of(route, 'gc')} to true if it should"


class _State(NamedTuple):
    """A store, whether garbage is collected there, how many repositories wait for it, and the last run."""

    route: str
    enabled: bool
    waiting: int
    last: Record | None


def _document(one: _State) -> dict[str, Any]:
    last = None if one.last is None else one.last.summary()
    return {"store": one.route, "enabled": one.enabled, "repositoriesToLookAt": one.waiting, "lastRun": last}


def _row(one: _State) -> list[Any]:
    begin = [one.route, "yes" if one.enabled else "no", one.waiting]
    last = one.last
    if last is None:
        return [*begin, "never", "", "", ""]
    ago = f"{age(time.time() - last.started)} ago"
    return [*begin, ago, last.outcome, sum(last.things().values()), human_size(last.freed)]
