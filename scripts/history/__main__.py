"""The command line of the histories.

    scripts/histories [--url HOST:PORT] [--seconds 10] [--clients 8] [--workers 3] [--seed N] [WORKLOAD...]

Without --url it starts this checkout's server. Each workload runs for the given time; the first that finds a violation
prints it, and the command leaves with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from scripts.history.client import UnexpectedAnswer
from scripts.history.workloads import WORKLOADS, Run, Violation
from tests.servers import running_server


def main(arguments: list[str]) -> int:
    """Run the workloads; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/histories", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", metavar="HOST:PORT", help="a registry that is running already")
    parser.add_argument("--seconds", type=float, default=10, help="how long each workload runs (default 10)")
    parser.add_argument("--clients", type=int, default=8, help="clients at once (default 8)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes of our server (default 3)")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="what chance begins with (default: the time)"
    )
    parser.add_argument("workloads", nargs="*", choices=[[], *WORKLOADS], help="default: all")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    with ExitStack() as stack:
        host = options.url
        if host is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="zot-histories-"))
            server = stack.enter_context(running_server(Path(scratch), "--workers", str(options.workers)))
            host = server.url.removeprefix("http://")
        for name in options.workloads or WORKLOADS:
            run = Run(host, options.seconds, options.clients, options.seed, f"histories/s{options.seed}")
            try:
                outcome = WORKLOADS[name](run)
            except (Violation, UnexpectedAnswer) as wrong:
                print(f"{name}: VIOLATION: {wrong}")
                return 1
            print(f"{name}: {run.operations} steps of {options.clients} clients: {outcome}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
