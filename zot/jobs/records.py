"""What jobs did: one document for each run, kept for the last few hundred."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from zot import owners
from zot.registry import paths
from zot.storage.protocol import NotFound, Storage

# Noted of a run: how many of the blobs that it removed were those of manifests that it removed.
BODIES = "manifestBlobs"
# Noted of a run that was refused: what to do.
REMEDY = "remedy"

_RUNS = f"{paths.JOBS}/runs"
_KEPT = 300
_ID = re.compile(r"\d[\w.-]{,99}", re.ASCII)
# Of what a run removed, so many are listed; all are counted, and in the log.
_LISTED = 1000


@dataclass
class Record:
    """One run of a job; times in seconds since 1970, sizes in bytes.

    `outcome` is `running`, `done`, `stopped`, `refused` (nothing was changed), `failed` or `killed`. The last is what
    `read` says of a run whose process, the `owner`, is seen to be gone; that of another machine is not, and its run is
    `running` for good.
    """

    kind: str
    by: str
    dry_run: bool = False
    id: str = ""
    started: float = 0.0
    ended: float = 0.0
    outcome: str = "running"
    message: str = ""
    process: int = field(default_factory=os.getpid)
    owner: str = field(default_factory=owners.me)
    repositories: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    freed: int = 0
    listed: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def add(self, repository: str, kind: str, reference: str, size: int, reason: str) -> None:
        """Count something that was removed, and list it if there is room."""
        self.removed[kind] = self.removed.get(kind, 0) + 1
        self.freed += size
        if len(self.listed) < _LISTED:
            item = {"repository": repository, "kind": kind, "reference": reference, "size": size, "reason": reason}
            self.listed.append(item)

    def things(self) -> dict[str, int]:
        """Return what was removed as people count it, by kind: a manifest and the blob that it is are one thing."""
        counts = self.removed | {"blob": self.removed.get("blob", 0) - self.notes.get(BODIES, 0)}
        return {kind: count for kind, count in counts.items() if count}

    def complain(self, problem: str) -> None:
        """Note something that a person should look at."""
        if len(self.problems) < _LISTED:
            self.problems.append(problem)

    def document(self) -> dict[str, Any]:
        """Return it as it is shown, with times as RFC 3339 has them; `ended` is None of a run that has not."""
        known = {key: value for key, value in vars(self).items() if key != "owner"}
        document = {"dryRun" if key == "dry_run" else key: value for key, value in known.items()}
        return document | {"started": _written(self.started), "ended": _written(self.ended) if self.ended else None}

    def summary(self) -> dict[str, Any]:
        """Return it without the list of what was removed."""
        return {key: value for key, value in self.document().items() if key != "listed"}


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def begin(storage: Storage, record: Record) -> Record:
    """Give a record its identifier, keep it, and drop the oldest ones."""
    record.started = time.time()
    moment = datetime.fromtimestamp(record.started, UTC).strftime("%Y%m%dT%H%M%S.%f")
    record.id = f"{moment[:-3]}-{record.kind}-{secrets.token_hex(2)}"
    save(storage, record)
    known = list(storage.list(_RUNS))
    storage.delete(*(f"{_RUNS}/{one}" for one in known[:-_KEPT]))
    return record


def save(storage: Storage, record: Record) -> None:
    """Keep a record as it is now."""
    storage.write(f"{_RUNS}/{record.id}", json.dumps(vars(record)).encode(), new_directory=True)


def read(storage: Storage, run: str) -> Record:
    """Return the record of a run. Raises `NotFound`, of one that is damaged too, as no list has that either."""
    if not is_id(run):
        raise NotFound(run)
    kept = storage.read(f"{_RUNS}/{run}")
    try:
        record = Record(**json.loads(kept))
    except (ValueError, TypeError):
        # No record of this version, or none at all.
        raise NotFound(run) from None
    if record.outcome == "running" and owners.is_gone(record.owner):
        record.outcome, record.message = "killed", "its process ended before the run did; what it did stays"
    return record


def is_id(text: str) -> bool:
    """Tell whether a text has the form of the identifiers of runs and plans, so that it can be part of a key."""
    return _ID.fullmatch(text) is not None


def newest(storage: Storage, kind: str | None = None) -> Iterator[Record]:
    """Yield the records, the newest first; only those of a kind, if one is given."""
    for run in reversed(list(storage.list(_RUNS))):
        if kind is None or run.split("-")[1] == kind:
            try:
                yield read(storage, run)
            except NotFound:
                continue
