"""Run the conformance suite of the OCI distribution specification with everything switched on that it knows.

    scripts/conformance [--binary PATH] [--url HOST:PORT] [VERSION...]

Without --url it starts this checkout's server, with two workers, on a temporary root. The suite's sparse data has an
image that lacks a layer, so that server accepts those ("http.compat": ["docker2s2", "sparse"]). It prints what the
suite counted for each version (1.1 and dev unless named), and leaves with 1 if anything failed or was skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.servers import running_server

FEATURES = {
    "API": [
        "PING", "PULL", "PUSH", "BLOBS_ATOMIC", "BLOBS_DELETE", "BLOBS_DIGEST_HEADER", "BLOBS_MOUNT_ANONYMOUS",
        "BLOBS_UPLOAD_CANCEL", "MANIFESTS_ATOMIC", "MANIFESTS_DELETE", "MANIFESTS_DIGEST_HEADER",
        "MANIFESTS_TAG_PARAM", "TAGS_ATOMIC", "TAGS_DELETE", "TAGS_LIST", "REFERRER",
    ],
    "DATA": [
        "IMAGE", "INDEX", "INDEX_LIST", "SPARSE", "ARTIFACT", "SUBJECT", "SUBJECT_MISSING", "ARTIFACT_LIST",
        "SUBJECT_LIST", "DATA_FIELD", "NONDISTRIBUTABLE", "CUSTOM_FIELDS", "NO_LAYERS", "EMPTY_BLOB", "SHA512",
    ],
}  # fmt: skip
_COUNT = re.compile(r"^  (Pass|FAIL|Skip|Disabled|Error|Total)\.*:\s+(\d+)$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Run the suite; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--binary", default=shutil.which("conformance"), help="the suite's program (default: on PATH)")
    parser.add_argument("--url", help="HOST:PORT of a registry that is running already")
    parser.add_argument("--results", type=Path, help="keep the suite's reports below this directory")
    parser.add_argument("versions", nargs="*", help="1.1, dev, ... (default: both of these)")
    options = parser.parse_args(arguments)
    if options.binary is None:
        parser.error("the conformance program is not on PATH; run scripts/install-tools")
    good = True
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zot-conformance-")))
        results = (options.results or scratch).resolve()
        host = options.url
        if host is None:
            config = scratch / "config.json"
            settings = {
                "storage": {"rootDirectory": str(scratch / "root")},
                "http": {"port": 0, "compat": ["docker2s2", "sparse"]},
            }
            config.write_text(json.dumps(settings))
            server = stack.enter_context(running_server(scratch, "--workers", "2", config=config))
            host = server.url.removeprefix("http://")
        for version in options.versions or ["1.1", "dev"]:
            good &= run(options.binary, host, version, results / version)
    return 0 if good else 1


def run(binary: str, host: str, version: str, results: Path) -> bool:
    """Run one version, print its counts, and tell whether everything passed."""
    results.mkdir(parents=True, exist_ok=True)
    switched_on = {f"OCI_{kind}_{feature}": "true" for kind, features in FEATURES.items() for feature in features}
    if version != "dev":
        # The parameter is not in 1.1 yet, and the suite refuses to count it there.
        del switched_on["OCI_API_MANIFESTS_TAG_PARAM"]
    environment = os.environ | switched_on | {
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_VERSION": version,
        "OCI_REPO1": f"conformance/{version}/one",
        "OCI_REPO2": f"conformance/{version}/two",
        "OCI_RESULTS_DIR": str(results),
    }  # fmt: skip
    done = subprocess.run([binary], env=environment, capture_output=True, text=True, timeout=600, check=False)
    (results / "output.txt").write_text(done.stdout + done.stderr)
    counts = {name.lower(): int(number) for name, number in _COUNT.findall(done.stdout)}
    print(f"conformance {version}: " + ", ".join(f"{number} {name}" for name, number in counts.items()), flush=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith("  ") and line.endswith(("FAIL", "Error"))]
    print("\n".join(failed), end="\n" if failed else "")
    lacking = counts.get("fail", 1) + counts.get("skip", 0) + counts.get("error", 0) + counts.get("disabled", 0)
    return done.returncode == 0 and lacking == 0 and counts.get("pass", 0) > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
