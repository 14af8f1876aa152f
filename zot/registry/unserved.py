"""Image layouts below the roots that are not served, or not by the name that was meant: what `zot doctor` warns of.

Only names of directories are looked at, no index is read; and no more directories than is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from zot.config import Config
from zot.config.storage import StoreOptions
from zot.errors import NameInvalid
from zot.oci import names
from zot.registry import paths
from zot.registry.stores import DEFAULT

MOST = 50_000


class Unserved(NamedTuple):
    """A directory, why what is in it is not served, and what to do."""

    directory: str
    why: str
    remedy: str


@dataclass
class Looked:
    """What was found: the layouts that are served, counted, and the others; `left` directories were not spent."""

    left: int
    served: int = 0
    unserved: list[Unserved] = field(default_factory=list)


class _Place(NamedTuple):
    """A store of the configuration: its route, its root, the key that names it; a store in a bucket has no root."""

    route: str
    root: str
    key: str


def look(config: Config, most: int = MOST) -> Looked:
    """Look below all roots on disk, at `most` directories at most."""
    places = {place.route: place for place in _places(config)}
    looked = Looked(most)
    for place in filter(lambda one: one.root, places.values()):
        looked.unserved += _around(place)
        for prefix, entries in _walk(place.root, looked):
            if "index.json" in entries and not entries.isdisjoint({"oci-layout", "blobs"}):
                why = _reason(places, place, prefix)
                looked.served += why is None
                looked.unserved += [why] if why else []
            elif paths.PRIVATE in entries:
                looked.unserved.append(_nested(place, prefix))
    return looked


def _places(config: Config) -> Iterator[_Place]:
    stores: dict[str, tuple[str, StoreOptions]] = {DEFAULT: ("storage", config.storage)}
    stores |= {
        f"/{route.strip('/')}": (f"storage.subPaths.{route}", options)
        for route, options in config.storage.sub_paths.items()
    }
    for route, (key, options) in stores.items():
        root = "" if options.storage_driver is not None else os.path.abspath(options.root_directory)
        yield _Place(route, root, f"{key}.rootDirectory")


def _walk(root: str, looked: Looked) -> Iterator[tuple[str, set[str]]]:
    """Yield the directories below a root, as paths from there, with the names in them; hidden ones are passed by."""
    waiting = [""]
    while waiting and looked.left:
        looked.left -= 1
        prefix = waiting.pop()
        with suppress(OSError), os.scandir(f"{root}/{prefix}") as entries:
            below = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
            if prefix:
                yield prefix, set(below)
            passed = {"blobs", paths.PRIVATE} if prefix else {paths.PRIVATE}
            waiting += [
                f"{prefix}/{name}" if prefix else name
                for name, is_directory in below.items()
                if is_directory and name not in passed and name[0] != "."
            ]


def _around(place: _Place) -> Iterator[Unserved]:
    """Tell if the root is not what it should be: a layout itself, or a part of another registry's data.

    What this user can't reach is not looked at.
    """
    root = Path(place.root)
    if os.path.isfile(root / "index.json") and os.path.isfile(root / "oci-layout"):
        why = "it is an image layout itself, so no name leads to it"
        yield Unserved(place.root, why, f"set {place.key} to {root.parent}, and it is the repository {root.name}")
    for above in root.parents:
        if os.path.isdir(above / paths.PRIVATE):
            why = f"a registry has its data here, and {place.key} is only a part of it"
            yield Unserved(str(above), why, f"set {place.key} to {above}")


def _reason(places: dict[str, _Place], place: _Place, name: str) -> Unserved | None:
    """Return why a layout is not served; None if it is."""
    directory = f"{place.root}/{name}"
    try:
        names.check_repository(name)
    except NameInvalid as error:
        return Unserved(directory, error.reason, f"rename the directory: {error.remedy}")
    first, slash, _ = name.partition("/")
    wanted = places.get(f"/{first}", places[DEFAULT]) if slash else places[DEFAULT]
    if wanted == place:
        return None
    why = f"repositories called {name} are looked for in {wanted.root or 'a bucket'} ({wanted.key})"
    ways = [] if place.route == DEFAULT else [f"{place.root}{place.route}/{name}, as {place.route[1:]}/{name}"]
    ways += [f"{wanted.root}/{name}"] if wanted.root else []
    return Unserved(directory, why, f"move it to {' or to '.join(ways)}" if ways else "copy it there with skopeo")


def _nested(place: _Place, prefix: str) -> Unserved:
    directory = f"{place.root}/{prefix}"
    why = f"a registry has its data here, so its repositories have names that begin with {prefix}/"
    return Unserved(directory, why, f"set {place.key} to it if that is not meant, or move it out of {place.root}")
