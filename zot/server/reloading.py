"""Reloading: the master watches the configuration file, and what that names, and hands on what is valid."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from zot.config import Config, ConfigError
from zot.config.changes import Changes, changes, side_files
from zot.config.publication import Live
from zot.errors import StartupError
from zot.logs import note_change
from zot.server.stamps import stamp

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where the configuration came from; `load` reads it again, and raises `ConfigError`."""

    file: str
    load: Callable[[], Config]


class Reloading:
    """Takes over what changed in the configuration, all of it or nothing."""

    def __init__(self, source: Source, config: Config, live: Live, tell: Callable[[Config], None]) -> None:
        self._source = source
        self._config = config
        self._live = live
        self._tell = tell
        self._seen = self._unquiet = self._look()

    def look(self) -> None:
        """Reload if a file has changed and has been left alone since the last look, as an editor may still write."""
        stamps = self._look()
        if stamps != self._seen and stamps == self._unquiet:
            self.reload("a changed file")
        self._unquiet = stamps

    def reload(self, by: str) -> None:
        """Read the file again. What is wrong with it is logged in one line, and the old configuration stays.

        What came of it is audited too, with what asked for it.
        """
        # What is written while it is read has other stamps at the next look.
        self._seen = self._look()
        try:
            changed = changes(self._config, self._source.load())
            self._live.publish(changed.config)
        except ConfigError as error:
            self._refuse(" | ".join(str(problem) for problem in error.problems if not problem.warning), by)
            return
        except StartupError as error:
            self._refuse(str(error), by)
            return
        self._config = changed.config
        self._seen = {file: self._seen.get(file, stamp) for file, stamp in self._look().items()}
        self._tell(changed.config)
        self._say(changed, by)

    def _refuse(self, problems: str, by: str) -> None:
        self._audit("refused", problems, by)
        log.error("the changed configuration is refused, the old one stays: %s", problems)

    def _say(self, changed: Changes, by: str) -> None:
        """Log what has become of a valid file, in one line: a warning if something in it does not hold yet."""
        parts = [", ".join(changed.taken)] if changed.taken else []
        if changed.waiting:
            parts.append(f"these changes wait for a restart: {', '.join(changed.waiting)}")
        said = "; ".join(parts) or "no key changed"
        self._audit("taken over" if changed.taken else "nothing taken over", said, by)
        level = logging.WARNING if changed.waiting else logging.INFO
        log.log(level, "the configuration was read again: %s", said)

    def _audit(self, result: str, reason: str, by: str) -> None:
        note_change("zot serve", "RELOAD", self._source.file, "", result, reason, by)

    def _look(self) -> dict[str, object]:
        return {file: stamp(file) for file in (self._source.file, *side_files(self._config))}
