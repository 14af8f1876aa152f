"""The command line of the benchmark.

    scripts/bench [--distribution PATH] [--nginx PATH] [--peer NAME=HOST:PORT@PID] [--rounds 3] [--json FILE] [--check]

Every server that is started here is a process of its own on the loopback address, with its data in a temporary
directory; all are measured in turn within each round, so a machine that slows down slows all of them. What is compared
is the processor time of a server's whole process tree; other figures depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.benchmark import targets
from scripts.benchmark.cases import Measured
from scripts.benchmark.runs import Plan, bounds, first_answers, plans
from scripts.benchmark.targets import Target

Figures = dict[str, dict[str, dict[str, float]]]


def main(arguments: list[str]) -> int:
    """Measure, print the table, and return 1 if --check was given and a bound does not hold."""
    options = _options(arguments)
    # Whoever ends the benchmark ends the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="zot-bench-", dir=options.directory) as scratch:
        running = _start(stack, options, Path(scratch))
        rounds: dict[tuple[str, str], list[Measured]] = {}
        chosen = [plan for plan in plans(quick=options.quick) if not options.only or plan.name in options.only]
        for plan in chosen:
            _run(plan, running, options.rounds, rounds)
        figures = _figures(chosen, rounds)
    if not options.only or "start" in options.only:
        with tempfile.TemporaryDirectory(prefix="zot-bench-", dir=options.directory) as scratch:
            print("start", file=sys.stderr)
            seconds = first_answers(Path(scratch), 1000 if options.quick else 10_000, options.workers)
        figures["start"] = {
            "zot": {"first answer ms": statistics.median(seconds) * 1000, "worst ms": max(seconds) * 1000}
        }
    print(_table(figures))
    verdicts = bounds(figures)
    print("\n".join(f"{'ok  ' if holds else 'OVER'} {what}" for what, holds in verdicts))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": _machine(), "cases": figures}, indent=2) + "\n")
    return 1 if options.check and not all(holds for _, holds in verdicts) else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--distribution", metavar="PATH", help="the registry program of the distribution project")
    parser.add_argument("--nginx", metavar="PATH", help="the nginx program, for downloads")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=HOST:PORT@PID", help="any other registry")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of this registry (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each case; the median is shown (default 3)")
    parser.add_argument("--only", action="append", default=[], metavar="CASE", help="measure this case only")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    parser.add_argument("--check", action="store_true", help="leave with 1 if a bound does not hold")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file too")
    parser.add_argument("--directory", help="where the temporary directories are made")
    return parser.parse_args(arguments)


def _start(stack: ExitStack, options: argparse.Namespace, scratch: Path) -> list[Target]:
    running = [stack.enter_context(targets.zot(scratch, options.workers))]
    if options.distribution:
        running.append(stack.enter_context(targets.distribution(options.distribution, scratch)))
    for peer in options.peer:
        name, _, rest = peer.partition("=")
        address, _, pid = rest.partition("@")
        host, _, port = address.partition(":")
        running.append(Target(name, host, int(port), int(pid)))
    if options.nginx:
        running.append(stack.enter_context(targets.nginx(options.nginx, scratch)))
    return running


def _run(plan: Plan, running: list[Target], rounds: int, found: dict[tuple[str, str], list[Measured]]) -> None:
    """Prepare every target, then measure them in turn, `rounds` times."""
    print(plan.name, file=sys.stderr)
    measured = [target for target in running if plan.for_files or target.files is None]
    runs = {target.name: plan.prepare(target) for target in measured}
    for number in range(rounds):
        # Each round begins with another target, so that none always comes after the same neighbour.
        turn = number % len(measured)
        for target in measured[turn:] + measured[:turn]:
            found.setdefault((plan.name, target.name), []).append(runs[target.name]())


def _figures(chosen: list[Plan], rounds: dict[tuple[str, str], list[Measured]]) -> Figures:
    figures: Figures = {plan.name: {} for plan in chosen}
    for (case, target), measured in rounds.items():
        figures[case][target] = _summary(measured)
    return figures


def _summary(measured: list[Measured]) -> dict[str, float]:
    median = statistics.median
    latencies = sorted(one for round_ in measured for one in round_.latencies)
    return {
        "cpu us/request": median(one.cpu / one.requests for one in measured) * 1e6,
        "requests/s": median(one.requests / one.wall for one in measured),
        "p50 ms": latencies[len(latencies) // 2] * 1000,
        "p99 ms": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000,
        "MB/s": median(one.size / one.wall for one in measured) / 1e6,
        "cpu s/GB": median(one.cpu / max(one.size, 1) for one in measured) * 1e9,
        "peak MB": max(one.peak for one in measured) / 1e6,
    }


def _table(figures: Figures) -> str:
    lines = [f"{'case':<14}{'server':<14}{'figures, and how often ours is theirs':<40}"]
    for case, servers in figures.items():
        ours = servers.get("zot", {})
        for name, values in servers.items():
            shown = "  ".join(f"{key} {value:,.2f}" for key, value in values.items())
            key = next(iter(values))
            ratio = f"  ours/theirs {ours[key] / values[key]:.2f}" if name != "zot" and values[key] and ours else ""
            lines.append(f"{case:<14}{name:<14}{shown}{ratio}")
    return "\n".join(lines)


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
