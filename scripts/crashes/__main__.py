"""The command line of the crashes.

    scripts/crash kills [--kills 200] [--clients 6] [--workers 3] [--seed N] [--config FILE]

Kills every process of a server again and again while clients push, re-tag, mount and delete, and looks after each
restart for what was acknowledged. Leaves with 1 at the first thing that is lost, dangles or came back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from scripts.crashes.judge import Broken
from scripts.crashes.rounds import Plan, Rounds
from scripts.crashes.victims import Victim, read_config, root_of
from scripts.history.client import UnexpectedAnswer


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit status."""
    options = _parser().parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="zot-crash-") as scratch:
        return _kills(options, Path(scratch))


def _kills(options: argparse.Namespace, scratch: Path) -> int:
    if options.config is None:
        config = {"storage": {"rootDirectory": str(scratch / "root")}, "http": {"port": 0}}
    else:
        config = read_config(options.config)
    plan = Plan(options.kills, options.clients, options.seed, f"crash/s{options.seed}", root_of(config))
    victim = Victim(config, scratch, options.workers)
    rounds = Rounds(plan, victim, victim.kill)
    try:
        rounds.run(lambda line: print(line, flush=True))
    except (Broken, UnexpectedAnswer) as wrong:
        print(f"BROKEN: {wrong}", flush=True)
        return 1
    finally:
        victim.kill()
    left = ", ".join(f"{number} of kind {kind}" for kind, number in sorted(rounds.left.items())) or "nothing"
    print(f"{plan.crashes} kills: nothing acknowledged was lost; left for sweeps: {left}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    kills = commands.add_parser("kills", help="kill every process of a server at random moments")
    kills.add_argument("--kills", type=int, default=200, help="how often (default 200)")
    kills.add_argument("--config", type=Path, help="a configuration of the server; default: one on disk")
    kills.add_argument("--clients", type=int, default=6, help="clients at once (default 6)")
    kills.add_argument("--workers", type=int, default=3, help="worker processes of the server (default 3)")
    kills.add_argument("--seed", type=int, default=int(time.time()), help="what chance begins with (default: the time)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
