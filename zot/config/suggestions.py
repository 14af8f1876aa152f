"""What is said of a key that is not known where it stands: which one may have been meant.

A proposal is followed without much thought, so nothing is proposed that gives rights or does nothing.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from zot.config.keys import Key, Setting, all_keys, each, settings
from zot.config.nodes import KeyPath
from zot.config.section import Section
from zot.config.source import looks_secret

# Names that stand in many sections, each time for something else.
_COMMON = frozenset({"actions", "address", "cert", "enable", "groups", "key", "name", "path", "type", "url", "users"})
_RIGHTS = ("http.accessControl.adminPolicy.", "http.accessControl.metrics")
_MOST_PLACES = 3
# Names of yours that can be told from keys, and where they belong.
_NAMES_OF_YOURS = (
    (re.compile(r"/.+"), "storage.subPaths"),
    (re.compile(r"\*+|[^/]+[/*].*"), "http.accessControl.repositories"),
)


def explain_unknown(
    name: str, section: type[Section], path: KeyPath, above: str, top: type[Section]
) -> tuple[str, str]:
    """Say what is wrong with a key that a section does not have, and what to do.

    `path` is the section's, as the sections spell it, `above` the same as the file does.
    """
    lower, around = name.lower(), _parts(path, top)
    if home := _home(name, around):
        return f"it belongs under {home}", f"move it to {home}.{name}"
    is_name = any(lower in _names(key.setting) for key in all_keys(top))
    if is_name and (places := _within(_places(lower, around, top), path, around)):
        right = places[0].rpartition(".")[0]
        what = (
            "it belongs elsewhere" if len(places) > 1 else f"it belongs {f'under {right}' if right else 'at the top'}"
        )
        return what, f"move it to {_either(places)}"
    here = {other: setting.name for setting in each(section) if not setting.needless for other in _names(setting)}
    if close := get_close_matches(lower, here, n=1, cutoff=0.8 if is_name else 0.75):
        return "there is no such key", f"did you mean {above}.{here[close[0]]}?".replace(" .", " ")
    if is_name:
        return "there is no such key here", f"leave it out, or see where there is one: zot config explain {name}"
    everywhere = {other for key in all_keys(top) for other in _names(key.setting)}
    similar = get_close_matches(lower, sorted(everywhere), n=_MOST_PLACES, cutoff=0.85)
    if proposals := [places for one in similar if (places := _places(one, around, top))]:
        outermost = min(proposals, key=lambda places: places[0].count("."))
        return "there is no such key", f"did you mean {_either(outermost)}?"
    return "there is no such key", "leave it out"


def may_be_secret(name: str, top: type[Section], *, one_value: bool) -> bool:
    """Tell whether a key that is not known where it stands may hold a secret; `one_value` if it is no section.

    It may if a key of that name does elsewhere, or if the name is like that of a secret and nothing else is called so.
    """
    lower = name.lower()
    called = [key.setting for key in all_keys(top) if lower in _names(key.setting)]
    if called:
        is_section = all(setting.shape.section for setting in called)
        return any(setting.secret for setting in called) or (one_value and is_section and looks_secret(name))
    secrets = {key.setting.name.lower() for key in all_keys(top) if key.setting.secret}
    return looks_secret(name) or bool(get_close_matches(lower, secrets, n=1, cutoff=0.7))


def _places(lower: str, around: tuple[str, ...], top: type[Section]) -> list[str]:
    """Return the places of a name that are nearest to where it was written; none if that is far or says nothing."""
    called = [key for key in all_keys(top) if lower in _names(key.setting)]
    useful = [key for key in called if not key.needless and not key.path.startswith(_RIGHTS)]
    found: dict[int, list[str]] = {}
    for key in [key for key in useful if key.acted_on] or useful:
        found.setdefault(_distance(key, around), []).append(key.path)
    nearest = min(found, default=0)
    if not found or len(found[nearest]) > _MOST_PLACES or (lower in _COMMON and nearest > 1):
        return []
    return found[nearest]


def _home(name: str, around: tuple[str, ...]) -> str:
    """Return the map that a name of yours belongs to, if it stands in a section above that; else nothing."""
    above = "".join(f"{part}." for part in around)
    return next((home for form, home in _NAMES_OF_YOURS if form.fullmatch(name) and home.startswith(above)), "")


def _within(places: list[str], path: KeyPath, around: tuple[str, ...]) -> list[str]:
    """Spell places with the names of yours that the section at `path` is below, where they are below them too."""
    yours = [part for part in path if isinstance(part, str)]
    spelled = []
    for place in places:
        parts = place.split(".")
        for number, (part, other) in enumerate(zip(parts, around, strict=False)):
            if part.removesuffix("[]") != other:
                break
            parts[number] = yours[number] if part == "<name>" else part
        spelled.append(".".join(parts))
    return spelled


def _distance(key: Key, around: tuple[str, ...]) -> int:
    """Return how many sections one leaves and enters on the way from a section to the one that a key is in."""
    inside = tuple(part.removesuffix("[]") for part in key.path.split(".")[:-1])
    shared = 0
    for one, other in zip(around, inside, strict=False):
        if one != other:
            break
        shared += 1
    return len(around) + len(inside) - 2 * shared


def _parts(path: KeyPath, top: type[Section]) -> tuple[str, ...]:
    """Return the way to a section as the table of keys has it, without the numbers in lists."""
    parts: list[str] = []
    section: type[Section] | None = top
    is_name = False
    for part in path:
        if isinstance(part, int):
            continue
        setting = None if is_name or section is None else settings(section).get(part.lower())
        parts.append("<name>" if is_name else part)
        is_name = setting is not None and setting.shape.container == "map"
        section = setting.shape.section if setting is not None else section
    return tuple(parts)


def _either(places: list[str]) -> str:
    *others, last = places
    return f"{', '.join(others)} or {last}" if others else last


def _names(setting: Setting) -> tuple[str, ...]:
    return tuple(name.lower() for name in (setting.name, *setting.also))
