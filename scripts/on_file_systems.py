"""Run tests with their files on ext4, xfs (mounted by loop) and tmpfs: the contract of the store, and the registry's.

    python -m scripts.on_file_systems [PYTEST ARGUMENT...]

Without arguments it runs tests/storage and tests/registry. It wants root, and leaves with 2 where it can't mount.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.crashes.disks import FILE_SYSTEMS, Disk, Impossible

_TESTS = ("tests/storage", "tests/registry", "-m", "not e2e", "-k", "not moto and not memory")


def main(arguments: list[str]) -> int:
    """Run the tests on one file system after the other, until one fails; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="zot-tests-") as scratch:
        for kind in (*FILE_SYSTEMS, "tmpfs"):
            print(f"== {kind}", flush=True)
            try:
                disk = Disk(kind, Path(scratch))
            except Impossible as reason:
                print(f"this can't be tried here: {reason}", file=sys.stderr)
                return 2
            try:
                where = disk.where / "tests"
                command = [sys.executable, "-m", "pytest", f"--basetemp={where}", *(arguments or _TESTS)]
                status = subprocess.run(command, check=False).returncode
            finally:
                disk.unmount()
            if status != 0:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
