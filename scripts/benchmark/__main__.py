"""Measure this registry and others beside it, in one run, round by round in turn.

Every server that is started here is a process of its own on the loopback address, with its data in a temporary
directory. What is compared is the processor time of a server's whole process tree; other figures depend on what else
the machine does. docs/benchmarks.md tells more.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from scripts.benchmark import report, targets
from scripts.benchmark.processes import settle
from scripts.benchmark.runs import Measured, Plan, first_answers, plans
from scripts.benchmark.targets import Target

START = "start"
Rounds = dict[str, dict[str, list[Measured]]]


def main(arguments: list[str]) -> int:
    """Measure, print the table, and return 1 if --check was given and a bound does not hold."""
    options = _options(arguments)
    machine, versions = report.machine(), report.versions(options.distribution, options.nginx)
    wanted = {name for names in options.only for name in names.split(",")}
    chosen = [plan for plan in plans(options.scale) if not wanted or plan.name in wanted]
    rounds = _measure(options, chosen) if chosen else {}
    figures = {case: {name: report.summary(found) for name, found in of.items()} for case, of in rounds.items()}
    if not wanted or START in wanted:
        figures[START] = {report.OURS: _first_answers(options)}
    print(report.table(chosen, figures))
    verdicts = report.bounds(figures)
    if options.check:
        print("\n".join(str(verdict) for verdict in verdicts))
    if options.json:
        document = {
            "machine": machine,
            "versions": versions,
            "options": {"rounds": options.rounds, "workers": options.workers, "scale": options.scale},
            "cases": figures,
            "rounds": {
                case: {name: [_plain(one) for one in all_] for name, all_ in of.items()} for case, of in rounds.items()
            },
            "bounds": [{**verdict._asdict(), "holds": verdict.holds} for verdict in verdicts],
        }
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n")
    return 1 if options.check and not all(verdict.holds for verdict in verdicts) else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    names = [*(plan.name for plan in plans()), START]
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--distribution", metavar="PATH", help="the registry program of the distribution project")
    add("--nginx", metavar="PATH", help="the nginx program, for downloads")
    add("--peer", action="append", default=[], metavar="NAME=WHAT",
        help="another server: http://HOST:PORT@PID; or the path of a program, for distribution and nginx")  # fmt: skip
    add("--command", type=shlex.split, metavar="COMMAND", help="what runs this registry (default: this checkout's)")
    add("--workers", type=int, default=2, help="worker processes of this registry (default 2)")
    add("--rounds", type=int, default=3, help="rounds of each case; the median is shown (default 3)")
    add("--only", action="append", default=[], metavar="CASE,...", help=f"measure these only: {', '.join(names)}")
    add("--quick", dest="scale", action="store_const", const=0.1, default=1.0, help="a tenth of everything")
    add("--check", action="store_true", help="say which bounds hold, and leave with 1 if one does not")
    add("--json", metavar="FILE", help="write all figures, of each round too, to this file")
    add("--directory", help="where the temporary directories are made")
    options = parser.parse_args(arguments)
    unknown = {name for given in options.only for name in given.split(",")} - set(names)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    options.others = []
    for peer in options.peer:
        name, _, what = peer.partition("=")
        if name in ("distribution", "nginx") and "@" not in what:
            setattr(options, name, what)
            continue
        try:
            options.others.append(targets.other(name, what))
        except ValueError as error:
            parser.error(str(error))
    return options


def _measure(options: argparse.Namespace, chosen: list[Plan]) -> Rounds:
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="zot-bench-", dir=options.directory) as scratch:
        directory = Path(scratch)
        running = [stack.enter_context(targets.zot(directory, options.workers, options.command))]
        if options.distribution:
            running.append(stack.enter_context(targets.distribution(options.distribution, directory)))
        running += options.others
        if options.nginx:
            running.append(stack.enter_context(targets.nginx(options.nginx, directory)))
        return {plan.name: _rounds(plan, running, options.rounds) for plan in chosen}


def _rounds(plan: Plan, running: list[Target], count: int) -> dict[str, list[Measured]]:
    """Prepare every target, then measure them in turn, `count` times."""
    print(f"{plan.name}: {plan.about}", file=sys.stderr)
    measured = [target for target in running if plan.for_files or target.files is None]
    runs = {target.name: plan.prepare(target) for target in measured}
    for target in measured:
        settle(target.pid)
    found: dict[str, list[Measured]] = {target.name: [] for target in measured}
    for number in range(count):
        # Each round begins with another target, so that none always comes after the same neighbour.
        turn = number % len(measured)
        for target in measured[turn:] + measured[:turn]:
            found[target.name].append(runs[target.name]())
    return found


def _first_answers(options: argparse.Namespace) -> report.Summary:
    repositories = int(10_000 * options.scale)
    print(f"{START}: beside {repositories:,} repositories", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="zot-bench-", dir=options.directory) as scratch:
        seconds = first_answers(Path(scratch), repositories, options.workers, options.command)
    return {
        "repositories": repositories,
        "median ms": statistics.median(seconds) * 1000,
        "worst ms": max(seconds) * 1000,
    }


def _plain(one: Measured) -> dict[str, object]:
    """Return a round without its single latencies."""
    return {key: value for key, value in asdict(one).items() if key != "latencies"}


if __name__ == "__main__":
    # Whoever ends the benchmark ends the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
