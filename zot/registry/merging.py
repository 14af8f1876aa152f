"""What another program's index changes in a repository: a merge of three, as a pure function.

Each of the three is a mapping: what a tag stands for, and which manifests there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Merge(Generic[K, V]):
    """What is to be done to ours. `refused` are the keys that they moved or deleted and that stay as they are."""

    added: dict[K, V] = field(default_factory=dict)
    moved: dict[K, V] = field(default_factory=dict)
    deleted: set[K] = field(default_factory=set)
    refused: set[K] = field(default_factory=set)


def merge(base: Mapping[K, V] | None, ours: Mapping[K, V], theirs: Mapping[K, V], *, trusted: bool) -> Merge[K, V]:
    """Compare what is here with what another program wrote after it had read `base`, None if that is not known.

    What it adds is added. A move or a deletion of what is still here as it was in `base` is done if `trusted`, and else
    refused. Whatever changed here since stays, and what was deleted here since is not added again: their index is only
    late.
    """
    result: Merge[K, V] = Merge()
    known = ours if base is None else base
    for key, value in theirs.items():
        if key not in ours:
            if key not in known:
                result.added[key] = value
        elif value != ours[key] and known.get(key) == ours[key]:
            if trusted:
                result.moved[key] = value
            else:
                result.refused.add(key)
    for key, value in ours.items():
        if key not in theirs and known.get(key) == value:
            (result.deleted if trusted else result.refused).add(key)
    return result
