"""`zot job`: what the jobs of the stores have done."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from cli.jobs import FAILED, age, opened, thing_size, things
from cli.options import config_group, config_option
from cli.output import Output, counted, output_options
from cli.store import human_size
from zot.jobs import records
from zot.jobs.records import Record
from zot.storage.protocol import NotFound


@config_group
def job() -> None:
    """See what garbage collection, retention and other jobs have done.

    \b
    Examples:
      zot job list
      zot job show 20261125T181322-gc-1a2b
    """


@job.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Show so many, the newest first.")
@config_option
@output_options
def list_(limit: int, config: str | None, output: Output) -> None:
    """List the last runs of jobs, the newest first.

    \b
    Example:
      zot job list --limit 5
    """
    found: list[tuple[str, Record]] = []
    with opened(config, output) as (_, stores):
        for route, store in stores.by_route():
            for record in records.newest(store.storage):
                found.append((route, record))
                if sum(1 for known, _ in found if known == route) == limit:
                    break
    found = sorted(found, key=lambda one: one[1].started, reverse=True)[:limit]
    if output.json:
        output.document({"runs": [{"store": route, **record.summary()} for route, record in found]})
    else:
        output.table(["ID", "STORE", "BY", "STARTED", "OUTCOME", "REMOVED", "FREED"], (_row(*one) for one in found))


@job.command()
@click.argument("run")
@config_option
@output_options
def show(run: str, config: str | None, output: Output) -> None:
    """Show one run: what it removed, why, and what it could not do.

    \b
    Example:
      zot job show 20261125T181322-gc-1a2b --output json
    """
    with opened(config, output) as (_, stores):
        for route, store in stores.by_route():
            try:
                record = records.read(store.storage, run)
            except NotFound:
                continue
            _show(route, record, output)
            return
    output.failure(f"there is no run {run!r}", "zot job list shows the last ones")
    sys.exit(FAILED)


def _show(route: str, record: Record, output: Output) -> None:
    if output.json:
        output.document({"store": route, **record.document()})
        return
    took = f" after {age(record.ended - record.started)}" if record.ended else ""
    output.line(f"{record.id}: {record.outcome}{took}, begun by {record.by} in store {route}", bold=True)
    if record.message:
        output.line(record.message)
    for problem in record.problems:
        output.line(f"problem: {problem}")
    is_whole = sum(record.removed.values()) <= len(record.listed)
    rows = [
        [one["kind"], one["repository"], one["reference"], thing_size(one, is_whole=is_whole), one["reason"]]
        for one in things(record.listed)
    ]
    if rows:
        output.table(["KIND", "REPOSITORY", "REFERENCE", "SIZE", "REASON"], rows)
    total = sum(record.things().values())
    if not is_whole:
        output.line(f"and {total - len(rows)} more, which are in the log")
    # Such a record was kept while the run went on, the last time some seconds before its end.
    least = "at least " if record.outcome in {"running", "killed"} else ""
    where = counted(record.repositories, "repository")
    if record.kind == "scrub":
        output.line(f"found {least}{counted(_found(record), 'problem')} in {where}")
        return
    verb = "would remove" if record.dry_run else "removed"
    output.line(f"{verb} {least}{counted(total, 'thing')} in {where}: {human_size(record.freed)}")


def _found(record: Record) -> int:
    # What a scrub found is counted, and listed up to a limit; why it passed a repository over is only listed.
    return max(sum(record.removed.values()), len(record.problems))


def _row(route: str, record: Record) -> list[Any]:
    begin = [record.id, route, record.by, f"{age(time.time() - record.started)} ago"]
    if record.kind == "scrub":
        # A scrub removes nothing.
        found = _found(record)
        return [*begin, f"{record.outcome} ({counted(found, 'problem')})" if found else record.outcome, "-", "-"]
    outcome = f"{record.outcome} (dry run)" if record.dry_run else record.outcome
    return [*begin, outcome, sum(record.things().values()), human_size(record.freed)]
