"""Count the system calls and the syncs of each operation on disk, by strace, and hold the syncs against their bounds.

    python -m scripts.count_calls

The operations are those of `scripts/crashes/operations.py`, on a repository that is there already but where the name
says otherwise. Leaves with 1 if an operation syncs more often than it may.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from scripts.crashes.calls import Trial
from scripts.crashes.disks import Impossible

# The most syncs: each file before it gets its name, each directory after.
BOUNDS = {
    "push a blob": 2,
    "push a blob that others have": 10,
    "mount a blob": 10,
    "push a manifest": 9,
    "push a manifest with a subject": 12,
    "move a tag": 7,
    "delete a tag": 3,
    "delete a blob": 1,
}


def count(scratch: Path) -> dict[str, tuple[int, int]]:
    """Return for each operation how many system calls it makes, and how many of them are syncs."""
    found = {}
    for name, calls in Trial(scratch).count().items():
        found[name] = calls.total(), sum(calls[call] for call in ("fsync", "fdatasync", "syncfs"))
    return found


def main() -> int:
    """Print a table; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="zot-calls-") as scratch:
        try:
            found = count(Path(scratch))
        except Impossible as reason:
            print(f"this can't be counted here: {reason}", file=sys.stderr)
            return 2
    print(f"{'operation':34}{'system calls':>14}{'syncs':>8}{'at most':>9}")
    for name, (calls, syncs) in found.items():
        print(f"{name:34}{calls:14}{syncs:8}{BOUNDS.get(name, ''):>9}")
    return int(any(syncs > BOUNDS.get(name, syncs) for name, (_, syncs) in found.items()))


if __name__ == "__main__":
    sys.exit(main())
