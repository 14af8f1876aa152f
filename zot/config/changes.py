"""What differs between two configurations, and how much of it a running server takes over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from zot.config.keys import each
from zot.config.model import Config
from zot.config.section import Section

_KEYS = {"auth": "http.auth", "access_control": "http.accessControl"}
_FILES = ("path", "keypath", "cert", "cacert")


class Changes(NamedTuple):
    """The old configuration with what could be taken over; the keys that were, and those that wait for a restart."""

    config: Config
    taken: list[str]
    waiting: list[str]


def changes(old: Config, new: Config) -> Changes:
    """Take over what may change while the server runs."""
    merging = _Merging()
    if _certificates(old) != _certificates(new):
        # Who may log in and what they may do go together, or a registry could stand open between two files that both
        # close it: one by a password, the other by a certificate that nobody is asked for before a restart.
        rights = {name: getattr(old.http, name) for name in ("auth", "access_control")}
        merging.waiting += [_KEYS[name] for name, before in rights.items() if before != getattr(new.http, name)]
        new = new.model_copy(update={"http": new.http.model_copy(update=rights)})
    merged = merging.merged(old, new, "", reload=False)
    assert isinstance(merged, Config)
    return Changes(merged, merging.taken, merging.waiting)


def _certificates(config: Config) -> str:
    """Return the authorities of client certificates, which are a login, and wait for a restart."""
    return config.http.tls.cacert if config.http.tls is not None else ""


def side_files(config: Config) -> list[str]:
    """Return the files that a configuration names beside itself and that may change while the server runs."""
    sections = (config.http.auth, config.extensions.sync)
    return sorted({file for section in sections if section is not None for file in _files(section)})


class _Merging:
    """Collects what was taken over, and what was not, on the way through the sections."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.waiting: list[str] = []

    def merged(self, old: Section, new: Section, prefix: str, *, reload: bool) -> Section:
        """Return the old section with what may change; `reload` tells whether that is all of it."""
        attributes = {str(field.alias): name for name, field in type(new).model_fields.items()}
        updates: dict[str, Any] = {}
        for setting in each(type(new)):
            name, path = attributes[setting.name], prefix + setting.name
            before, after = getattr(old, name), getattr(new, name)
            reloads = reload if setting.reload is None else setting.reload
            if before == after:
                continue
            if isinstance(before, Section) and isinstance(after, Section):
                updates[name] = self.merged(before, after, f"{path}.", reload=reloads)
            elif reloads:
                updates[name] = after
                self.taken.append(path)
            elif isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
                updates[name] = {
                    key: self.merged(before[key], after[key], f"{path}.{key}.", reload=reloads) for key in before
                }
            else:
                self.waiting.append(path)
        return old.model_copy(update=updates)


def _files(section: Section) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, str) and value and (name.endswith("_file") or name in _FILES):
            yield value
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        for part in parts:
            if isinstance(part, Section):
                yield from _files(part)
