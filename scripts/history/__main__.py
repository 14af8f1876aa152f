"""The command line of the histories.

    scripts/histories [--config FILE] [--servers 1] [--workers 3] [--seconds 10] [--clients 8] [--seed N] [WORKLOAD...]
    scripts/histories --collect [--seconds 60] garbage
    scripts/histories --url URL [--url URL] [...]

Without --url it starts servers of this checkout, with a configuration of their own or the one that is given; several
servers share its store. Each workload runs for the given time; the first that finds a violation prints the operations
that prove it, and the command leaves with 1. Registries that are given by --url are servers of one store, with deletes
enabled.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from scripts.configurations import read_config
from scripts.history.client import Lost, UnexpectedAnswer
from scripts.history.collecting import collecting
from scripts.history.recorder import Violation
from scripts.history.workloads import WORKLOADS, Run
from tests.servers import running_server


def main(arguments: list[str]) -> int:
    """Run the workloads; return the exit status."""
    options = _parser().parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    results: list[dict[str, object]] = []
    with ExitStack() as stack:
        urls = options.url or _start(options, stack)
        hosts = tuple(url.removeprefix("http://").rstrip("/") for url in urls)
        for name in [*options.workload, *options.workloads] or WORKLOADS:
            run = Run(hosts, options.seconds, options.clients, options.seed, f"histories/s{options.seed}")
            results.append(_run(name, run))
            if "violation" in results[-1]:
                break
        try:
            print(*(said() for said in options.said), sep="\n", end="", flush=True)
        except Violation as violation:
            print(f"VIOLATION: {violation}", flush=True)
            results[-1]["violation"] = str(violation)
    if options.json is not None:
        options.json.write_text(json.dumps({"seed": options.seed, "urls": urls, "workloads": results}, indent=1))
    return 1 if "violation" in results[-1] else 0


def _start(options: argparse.Namespace, stack: ExitStack) -> list[str]:
    """Start servers that end with the stack; returns their addresses."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zot-histories-")))
    own = {"storage": {"rootDirectory": str(scratch / "root")}, "http": {"port": 0}}
    config = scratch / "config.json"
    config.write_text(json.dumps(own if options.config is None else read_config(options.config)))
    if options.collect:
        _let_all_be_collected(config)
    servers = []
    for number in range(options.servers):
        directory = scratch / str(number)
        directory.mkdir()
        workers = ("--workers", str(options.workers))
        servers.append(stack.enter_context(running_server(directory, *workers, config=config)))
    if options.collect:
        options.said.append(stack.enter_context(collecting(config, servers)))
    return [server.url for server in servers]


def _let_all_be_collected(config: Path) -> None:
    """Let garbage collection wait for nothing, and be done by nobody but us."""
    document = json.loads(config.read_text())
    document["storage"] |= {"commit": False, "gc": False, "gcDelay": "0s", "retention": {"delay": "0s"}}
    document["log"] = {"level": "warn"}
    config.write_text(json.dumps(document))


def _run(name: str, run: Run) -> dict[str, object]:
    """Run one workload, print its outcome, and return it."""
    result: dict[str, object] = {"workload": name, "clients": run.clients, "seconds": run.seconds}
    try:
        outcome = WORKLOADS[name](run)
    except (Violation, UnexpectedAnswer, Lost) as wrong:
        shown = [one._asdict() for one in wrong.shown] if isinstance(wrong, Violation) else []
        print(f"{name}: VIOLATION: {wrong}", flush=True)
        return result | {"steps": run.operations, "violation": str(wrong), "operations": shown}
    print(f"{name}: {run.operations} steps of {run.clients} clients: {outcome}", flush=True)
    return result | {"steps": run.operations, "outcome": outcome}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/histories", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--url", action="append", help="a registry that is running already, http://HOST:PORT; may repeat"
    )
    parser.add_argument("--config", type=Path, help="a configuration of our servers; default: one on disk")
    parser.add_argument("--servers", type=int, default=1, help="servers of ours on one store (default 1)")
    parser.add_argument("--seconds", type=float, default=10, help="how long each workload runs (default 10)")
    parser.add_argument("--clients", type=int, default=8, help="clients at once (default 8)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes of our server (default 3)")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="what chance begins with (default: the time)"
    )
    parser.add_argument(
        "--collect",
        action="store_true",
        help="collect garbage all the time and wait for nothing, and kill now and then what does it, or a worker; "
        "for the workload garbage",
    )
    parser.set_defaults(said=[])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found here too")
    parser.add_argument(
        "--workload", action="append", default=[], choices=list(WORKLOADS), help="one to run; may repeat"
    )
    parser.add_argument("workloads", nargs="*", choices=[[], *WORKLOADS], help="default: all")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
