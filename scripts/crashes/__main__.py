"""The command line of the crashes.

    scripts/crash kills [--kills 200] [--config FILE] [--seconds 0.5] [--clients 6] [--workers 3] [--seed N]
    scripts/crash cuts [--cuts 20] [--file-system ext4] [--file-system xfs] [...]
    scripts/crash calls [--error EIO] [--error ENOSPC]

`kills` kills every process of a server again and again, and `cuts` cuts the power of its disk, while clients push,
re-tag, mount and delete; after each restart they look for what was acknowledged. `calls` does single operations and
lets each of their system calls be the last, or fail. All leave with 1 at the first thing that is lost, dangles or
came back, and with 2 where they can't be run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.configurations import read_config, root_of
from scripts.crashes.book import Broken
from scripts.crashes.calls import Trial
from scripts.crashes.disks import FILE_SYSTEMS, Disk, Impossible
from scripts.crashes.rounds import Plan, Rounds
from scripts.crashes.victims import Victim
from scripts.history.client import UnexpectedAnswer

# The bytes of a part of an upload to a bucket, unless a configuration says otherwise.
_PART = 10 * 1024 * 1024


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit status."""
    options = _parser().parse_args(arguments)
    # So that disks are unmounted then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="zot-crash-") as scratch:
        try:
            return int(options.run(options, Path(scratch)))
        except Impossible as reason:
            print(f"this can't be tried here: {reason}", file=sys.stderr)
            return 2


def _kills(options: argparse.Namespace, scratch: Path) -> int:
    config = _config(options, scratch / "root")
    victim = Victim(config, scratch, options.workers)
    rounds = Rounds(_plan(options, options.kills, config), victim, victim.kill)
    return _run(rounds, "kills")


def _cuts(options: argparse.Namespace, scratch: Path) -> int:
    """Cut each disk so many times; what is done with the first failure is nothing more."""
    for kind in options.file_system or FILE_SYSTEMS:
        disk = Disk(kind, scratch)
        try:
            config = _config(options, disk.where / "root")
            config["storage"]["rootDirectory"] = str(disk.where / "root")
            victim = Victim(config, scratch, options.workers)

            def crash(disk: Disk = disk, victim: Victim = victim) -> None:
                disk.cut()
                victim.kill()
                disk.unmount()
                disk.mount()

            rounds = Rounds(_plan(options, options.cuts, config), victim, crash, with_power=True)
            if _run(rounds, f"cuts of {kind}") != 0:
                return 1
        finally:
            disk.unmount()
    return 0


def _calls(options: argparse.Namespace, scratch: Path) -> int:
    """Let each system call of each operation meet with a kill, and with each error."""
    trial = Trial(scratch)
    try:
        for inject in ("signal=SIGKILL", *(f"error={error}" for error in options.error)):
            trial.run(inject, lambda line: print(line, flush=True))
    except Broken as wrong:
        print(f"BROKEN: {wrong}", flush=True)
        return 1
    return 0


def _run(rounds: Rounds, what: str) -> int:
    try:
        rounds.run(lambda line: print(line, flush=True))
    except (Broken, UnexpectedAnswer) as wrong:
        print(f"BROKEN: {wrong}", flush=True)
        return 1
    finally:
        rounds.victim.kill()
    left = ", ".join(f"{number} of kind {kind}" for kind, number in sorted(rounds.left.items())) or "nothing"
    print(f"{rounds.plan.crashes} {what}: nothing acknowledged was lost; left for sweeps: {left}", flush=True)
    if rounds.plan.swept:
        print(f"a collection left {rounds.living} manifests and blobs that tags lead to, and nothing else", flush=True)
    return 0


def _config(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    if options.config is not None:
        return read_config(options.config)
    return {"storage": {"rootDirectory": str(root)}, "http": {"port": 0}}


def _plan(options: argparse.Namespace, crashes: int, config: dict[str, Any]) -> Plan:
    prefix = f"crash/s{options.seed}"
    # Large enough for parts, which a disk doesn't have.
    driver = config["storage"].get("storageDriver")
    large = int(driver.get("chunksize", _PART)) * 21 // 10 if driver else 0
    swept = options.sweep or options.config is None
    return Plan(crashes, options.seconds, options.clients, options.seed, prefix, root_of(config), large, swept)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    kills = commands.add_parser("kills", help="kill every process of a server at random moments")
    kills.add_argument("--kills", type=int, default=200, help="how often (default 200)")
    kills.set_defaults(run=_kills)
    cuts = commands.add_parser("cuts", help="cut the power of a disk of its own at random moments; wants root")
    cuts.add_argument("--cuts", type=int, default=20, help="how often, for each file system (default 20)")
    cuts.add_argument("--file-system", action="append", choices=FILE_SYSTEMS, help="may repeat (default: all)")
    cuts.set_defaults(run=_cuts)
    calls = commands.add_parser("calls", help="kill, and fail, at each single system call of each operation")
    calls.add_argument("--error", action="append", default=[], metavar="EIO", help="an error too; may repeat")
    calls.set_defaults(run=_calls, seed="is not asked for")
    for command in (kills, cuts):
        command.add_argument(
            "--sweep",
            action="store_true",
            help="collect all garbage in the end, as if it were old, and see that nothing is left of it; for a store "
            "that nobody else uses (always done without --config)",
        )
        command.add_argument("--config", type=Path, help="a configuration of the server; default: one on disk")
        command.add_argument(
            "--seconds", type=float, default=0.5, help="the longest that clients work before a crash (default 0.5)"
        )
        command.add_argument("--clients", type=int, default=6, help="clients at once (default 6)")
        command.add_argument("--workers", type=int, default=3, help="worker processes of the server (default 3)")
        command.add_argument(
            "--seed", type=int, default=int(time.time()), help="what chance begins with (default: the time)"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
