"""What a collection of garbage that takes everything for old leaves of a store: what is living, and nothing else."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from scripts.crashes.audit import Audit
from scripts.crashes.book import Broken
from zot.config.load import load
from zot.gc.cleaning import clean
from zot.gc.passes import drop_leftovers
from zot.registry import paths, repositories
from zot.registry.opening import open_stores
from zot.registry.retention import Retention
from zot.registry.store import Store

_LATER = 365 * 24 * 3600.0


class _Patient:
    """Watches, and never stops it."""

    def go_on(self) -> None:
        """Let it go on."""

    def cleaned(self, done: object) -> None:
        """Hear what became of a repository."""

    def apart(self, name: str) -> AbstractContextManager[None]:
        """Pass on what fails."""
        return nullcontext()

    def scrubbed(self, done: object) -> None:
        """Hear what was found in one."""

    def dropped(self, what: str, size: int) -> None:
        """Hear of a leftover."""


def sweep(config: Path) -> int:
    """Collect all garbage of a store that nobody uses; returns how many things are living. Raises `Broken`."""
    stores = open_stores(load(str(config)))
    living = 0
    later = time.time() + _LATER
    for _, opened in stores.by_route():
        store = replace(opened, retention=Retention())
        for name in list(repositories.names(store)):
            # The fact of an index whose push was killed goes last, and what it held goes in the next pass.
            while clean(store, name, later, dry_run=False, go_on=lambda: None, rest=0).removed:
                pass
        drop_leftovers(store, _Patient(), later)
        left = [name for name, _ in store.storage.uploads()]
        left += [one.name for one in store.storage.leftovers(later, shared=paths.CONTENT)]
        if left:
            raise Broken(f"a collection leaves {left[:3]} and {len(left[3:])} more")
        living += sum(_living_in(store, name) for name in repositories.names(store))
    return living


def _living_in(store: Store, name: str) -> int:
    """Return how many manifests and blobs a repository has; raises `Broken` if there is one that nothing leads to."""
    storage = store.storage
    manifests = {one.replace("-", ":", 1) for one in storage.list(paths.manifests(name))}
    blobs = {f"sha256:{one}" for one in storage.list(paths.blobs(name, "sha256"))}
    led_to = {json.loads(storage.read(paths.tag(name, tag)))["digest"] for tag in storage.list(paths.tags(name))}
    named = set[str]()
    for digest in manifests:
        document = json.loads(storage.read(f"{paths.blobs(name, 'sha256')}/{digest.partition(':')[2]}"))
        if "subject" in document:
            led_to.add(digest)
        led_to |= {one["digest"] for one in document.get("manifests", ())}
        named |= {one["digest"] for one in (*document.get("layers", ()), document.get("config")) if one}
    for what, lone in (("manifests", manifests - led_to), ("blobs", blobs - named - led_to)):
        if lone:
            raise Broken(f"a collection leaves {what} of {name} that nothing leads to: {sorted(lone)}")
    return len(manifests) + len(blobs)


def check_disk(root: Path) -> None:
    """See that a swept disk has no file that a crash left. Raises `Broken`."""
    audit = Audit(root)
    audit.check()
    audit.check_contents()
    # A mark is what the next leader begins with, and no waste.
    if left := {kind: number for kind, number in audit.left.items() if number and kind != "mark"}:
        raise Broken(f"a collection leaves on disk, by kind: {left}")
