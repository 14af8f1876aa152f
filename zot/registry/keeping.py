"""Keeping repositories and their layouts in step, whoever writes to either: see DESIGN.md, "The projection".

The leader's process has one keeper for its store, and so has `zot layout sync`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from zot.oci import names
from zot.registry import adoption, generations, layout, paths, reconciling, repositories
from zot.registry.generations import Written
from zot.registry.reconciling import NoIndexError, Outcome
from zot.registry.store import Store
from zot.storage.layout_files import LayoutFiles, Version
from zot.storage.protocol import Damaged, NotFound, StorageError

log = logging.getLogger(__name__)

# Whoever writes an index in place is done, or will never be, when it is damaged for so long.
PATIENCE = 60.0
_TRIES = 5
_NANO = 1e-9


class Absence(NamedTuple):
    """A time in which no server ran: from the last sign of life of the one before to ours, in seconds since 1970."""

    begin: float
    end: float


def absence(store: Store) -> Absence | None:
    """Return when no server ran before now, None if that is not known."""
    try:
        return Absence(store.storage.stat(paths.LED).modified, time.time())
    except NotFound:
        return None


def is_led(store: Store) -> bool:
    """Tell whether a leader is at work; also if it was killed and no other has come yet."""
    return _is_there(store, paths.LEADING)


def _is_there(store: Store, key: str) -> bool:
    try:
        store.storage.stat(key)
    except NotFound:
        return False
    return True


def is_in_step(store: Store, name: str) -> bool:
    """Tell whether a repository's index is one that was written here, or there is none.

    If it is not, what it names is not known yet: nothing may be taken for garbage.
    """
    if store.layouts is None:
        return True
    try:
        content, _ = store.layouts.read(_index(name))
    except NotFound:
        return True
    return generations.load(store, name).has_seen(content)


class Keeper:
    """Keeps the layouts of one store. Moves and deletions that were made in `absent` are done, others are not.

    Of the layouts below the root those are taken over whose name `belongs` here. It remembers which files it has
    examined; nothing is wrong if it does not.
    """

    def __init__(
        self,
        store: Store,
        layouts: LayoutFiles,
        absent: Absence | None,
        belongs: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._layouts = layouts
        self._absent = absent
        self._belongs = belongs
        self._known = layout.remember()
        self._examined: dict[str, Version | None] = {}
        self._reported: dict[str, Version | None] = {}
        self._unreadable: dict[str, str] = {}
        self._has_looked = False

    def project_dirty(self) -> None:
        """Write the index of every repository that changed; what can't be written now is tried again the next time.

        One whose documents are damaged keeps no other from its turn.
        """
        for name in layout.dirty(self._store):
            try:
                self.attend(name)
                self._unreadable.pop(name, None)
            except Damaged as error:
                # This comes by every second.
                if self._unreadable.get(name) != str(error):
                    log.error("%s and its layout are not in step: %s", name, error)
                self._unreadable[name] = str(error)

    def look(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Look whether another program has written to an index, or made a layout, anywhere.

        Where there is much to take over that takes long, and what is pushed meanwhile is projected in between.
        """
        projected = time.monotonic()
        for name in self.names():
            if is_stopping():
                return
            if time.monotonic() - projected > 1:
                self.project_dirty()
                projected = time.monotonic()
            keys = (_index(name), paths.replaced(name))
            if any(self._examined.get(key, self) != self._layouts.version(key) for key in keys):
                try:
                    self.attend(name)
                except StorageError as error:
                    log.error("%s and its layout are not in step: %s", name, error)
        self._has_looked = True
        self.leave()

    def leave(self) -> None:
        """Leave a sign of life, once all that was done in our absence was looked at."""
        if self._has_looked:
            self._store.storage.write(paths.LED, b"", once=True)
            self._store.storage.touch(paths.LED)

    def names(self) -> Iterator[str]:
        """Yield every repository, and every layout that could be one."""
        seen = set()
        for name in self._layouts.holders("index.json"):
            if names.is_repository(name) and self._belongs(name):
                seen.add(name)
                yield name
        yield from (name for name in repositories.names(self._store) if name not in seen)

    def attend(self, name: str, *, prune: bool = False) -> Outcome:
        """Bring a repository and its layout in step, taking the layout over if there is no repository yet.

        With `prune` the moves and deletions of the index that is there, or of the last one that was put back, are done
        whenever they were made; what was pushed after it was written stays.
        """
        outcome = Outcome(name)
        with self._store.storage.lock(paths.layout_lock(name), shared=False):
            if not repositories.exists(self._store, name):
                version = self._layouts.version(_index(name))
                try:
                    outcome.adopted = adoption.take_over(self._store, self._layouts, name)
                except NoIndexError as error:
                    self._note_damage(outcome, version, error)
                if not outcome.adopted:
                    self._drop_if_gone(name, generations.load(self._store, name))
                    self._examined |= {_index(name): version, paths.replaced(name): None}
                    return outcome
            self._bring_in_step(outcome, prune)
        outcome.report()
        return outcome

    def _bring_in_step(self, outcome: Outcome, prune: bool) -> None:
        name = outcome.name
        written = generations.load(self._store, name)
        marked = reconciling.is_marked(self._store, name)
        current = self._layouts.version(_index(name))
        stale = marked or current is None
        for key in (paths.replaced(name), _index(name)):
            version = self._layouts.version(key)
            if version is None:
                self._examined[key] = None
                continue
            if self._examined.get(key) == version and not prune:
                continue
            content, version = self._layouts.read(key)
            if not written.has_seen(content):
                trusted = not marked and key == _index(name) and self._was_absent(version)
                if not self._take_in(outcome, content, version, written, trusted=trusted, prune=prune):
                    return
                stale = True
            if key == _index(name):
                current = version
                stale = stale or not written.is_last(content)
            self._examined[key] = version
        if prune and not outcome.is_changed:
            stale = self._take_in_refused(outcome, written) or stale
        if stale:
            self._project(outcome, written, current)

    def _was_absent(self, version: Version) -> bool:
        return self._absent is not None and self._absent.begin < version.changed * _NANO < self._absent.end

    def _take_in(
        self,
        outcome: Outcome,
        content: bytes,
        version: Version,
        written: Written,
        *,
        trusted: bool,
        prune: bool = False,
    ) -> bool:
        """Take in an index of another program; False if it is damaged, and too young to be given up."""
        modified = version.modified * _NANO
        try:
            reconciling.take_in(
                self._store,
                self._layouts,
                outcome,
                content,
                written,
                trusted=trusted,
                written_at=modified if prune else None,
            )
        except NoIndexError as error:
            self._note_damage(outcome, version, error)
            if 0 <= time.time() - modified < PATIENCE:
                return False
        if outcome.refused and not prune:
            document = {"modified": modified, "index": content.decode(errors="replace")}
            self._store.storage.write(paths.refused(outcome.name), json.dumps(document).encode())
        written.see(content)
        return True

    def _note_damage(self, outcome: Outcome, version: Version | None, error: NoIndexError) -> None:
        """Note, and log once, that an index can't be read."""
        outcome.damaged = str(error)
        if self._reported.get(outcome.name, self) != version:
            log.error("another program has left %s/index.json damaged: %s", outcome.name, error)
            self._reported[outcome.name] = version

    def _take_in_refused(self, outcome: Outcome, written: Written) -> bool:
        """Do what the last index that was put back says; True if there was one."""
        try:
            document = json.loads(self._store.storage.read(paths.refused(outcome.name)))
        except NotFound:
            return False
        content = document["index"].encode()
        reconciling.take_in(
            self._store, self._layouts, outcome, content, written, trusted=True, written_at=document["modified"]
        )
        self._store.storage.delete(paths.refused(outcome.name))
        return True

    def _project(self, outcome: Outcome, written: Written, current: Version | None) -> None:
        """Write the repository's index from its facts, over the one whose version is `current`.

        A push leaves its mark inside the lock and before its facts. The mark is changed for another one under the
        exclusive lock: the facts of every push before are there then, and every push after leaves a new mark.
        """
        name, storage = outcome.name, self._store.storage
        with storage.lock(paths.lock(name), shared=False):
            storage.write(paths.projecting(name), b"")
            storage.delete(paths.dirty(name))
        self._write_layout(name)
        for _ in range(_TRIES):
            content = layout.compose(self._store, name, self._known, written)
            written.see(content)
            # What is written is known, durably, before it has its name: a crash does not make it another program's.
            generations.save(self._store, name, written)
            mine = self._layouts.replace(_index(name), content, paths.replaced(name))
            came = self._layouts.version(paths.replaced(name))
            self._examined[_index(name)] = mine
            if came is None or came.has_content_of(current) or self._take_in_replaced(outcome, written):
                self._examined[paths.replaced(name)] = came
                break
            current = mine
        storage.delete(paths.projecting(name))
        self._drop_if_gone(name, written)

    def _take_in_replaced(self, outcome: Outcome, written: Written) -> bool:
        """Take in what another program wrote between our last look at the index and its exchange; True if that is all.

        One that is damaged is being written just now; it is looked at again with the next pass.
        """
        name = outcome.name
        content, version = self._layouts.read(paths.replaced(name))
        if written.has_seen(content):
            return True
        if not self._take_in(outcome, content, version, written, trusted=False):
            repositories.mark(self._store, name)
        return False

    def _write_layout(self, name: str) -> None:
        """Write `oci-layout`, unless it is there and says what it should."""
        key = paths.layout_file(name, "oci-layout")
        with suppress(NotFound, ValueError):
            if isinstance(json.loads(self._store.storage.read(key)), dict):
                return
        self._store.storage.write(key, layout.LAYOUT)

    def _drop_if_gone(self, name: str, written: Written) -> None:
        """Take away the marks of what never became a repository, and the layout of what is none any more."""
        if repositories.exists(self._store, name):
            return
        with self._store.storage.lock(paths.lock(name), shared=False):
            if repositories.exists(self._store, name):
                return
            self._store.storage.delete(paths.dirty(name), paths.projecting(name))
            with suppress(NotFound):
                if written.has_seen(self._layouts.read(_index(name))[0]):
                    repositories.remove_layout(self._store, name)


def _index(name: str) -> str:
    return paths.layout_file(name, "index.json")
