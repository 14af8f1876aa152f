"""`zot scrub`: reading everything again, to find what has decayed."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli.jobs import FAILED, chosen, opened, tell_failure, work
from cli.options import config_group, config_option
from cli.output import Output, counted, output_options
from cli.store import human_size, repository_options
from zot.gc import passes
from zot.gc.cleaning import Cleaned
from zot.gc.hashing import Hashing
from zot.gc.scrubbing import Scrubbed, Scrubber
from zot.jobs.records import Record
from zot.jobs.running import Run


@config_group
def scrub() -> None:
    """Read everything again and find what is damaged or missing.

    \b
    Example:
      zot scrub run
    """


@scrub.command()
@repository_options()
@click.option("--rate", type=click.IntRange(0), default=0, metavar="MB", help="Read at most so many MB a second.")
@config_option
@output_options
def run(repository: str | None, rate: int, config: str | None, output: Output) -> None:
    """Hash every blob, manifest and index, and compare what the registry knows of them, whether the server runs or not.

    Damaged content is set aside, so that it is served no more and can be pushed anew. Facts that content can tell are
    put right. Leaves with 1 if something is damaged or missing.

    \b
    Examples:
      zot scrub run
      zot scrub run team/app --rate 50 --output json
    """
    status = 0
    documents = []
    with opened(config, output, to_change=True) as (_, stores):
        for route, store in chosen(stores, repository, output):
            rows: list[list[Any]] = []

            def job(under_way: Run) -> None:
                if repository is None:
                    passes.scrub_all(under_way.store, rate * 1e6, under_way, resume=False)
                else:
                    hashing = Hashing(rate * 1e6)
                    under_way.scrubbed(Scrubber(under_way.store, repository, hashing, under_way.go_on).scrub())

            def show(done: Cleaned | Scrubbed, rows: list[list[Any]] = rows) -> None:
                assert isinstance(done, Scrubbed), "nothing is cleaned here"
                rows += _rows(done)

            done = work(store, Record("scrub", "hand"), job, output, show)
            tell_failure(done, output)
            documents.append({"store": route, **done.document()})
            if done.outcome != "done" or done.removed.get("damaged"):
                status = FAILED
            if not output.json:
                _tell(done, rows, output)
    if output.json:
        output.document({"stores": documents})
    sys.exit(status)


def _rows(done: Scrubbed) -> list[list[Any]]:
    found = [
        [done.repository, ", ".join(one.tags), "mended" if one.mended else "affected", one.digest, one.problem]
        for one in done.findings
    ]
    return [*found, *([done.repository, "", "affected", "", problem] for problem in done.problems)]


def _tell(done: Record, rows: list[list[Any]], output: Output) -> None:
    # Why a repository was passed over is in no row, as nothing was found in it.
    in_rows = tuple({f": {row[-1]}" for row in rows})
    others = [problem for problem in done.problems if not problem.endswith(in_rows)]
    for problem in others:
        output.warning(problem)
    if rows:
        output.table(["REPOSITORY", "TAG", "STATUS", "AFFECTED BLOB", "ERROR"], rows)
    read = f"{counted(done.notes.get('manifests', 0), 'manifest')} and {counted(done.notes.get('blobs', 0), 'blob')}"
    size = human_size(done.notes.get("bytes", 0))
    where = counted(done.repositories, "repository")
    output.line(f"read {read}, {size}, in {where}: {counted(len(rows) + len(others), 'problem')}")
