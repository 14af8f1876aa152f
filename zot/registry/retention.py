"""What is kept and what goes: the rules that a configuration gives for the repositories of a store. Times in seconds.

These are values; `zot.gc` decides by them. See docs/garbage-collection.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from zot.oci.globs import Glob
from zot.oci.patterns import Pattern


@dataclass(frozen=True)
class Keep:
    """Which tags are kept: those that match a pattern, or all without one, and meet any of the four rules.

    A rule that is None is not there; without a rule every tag that matches is kept.
    """

    patterns: tuple[Pattern, ...] = ()
    pushed_within: float | None = None
    pulled_within: float | None = None
    most_recently_pushed: int | None = None
    most_recently_pulled: int | None = None

    @property
    def has_rules(self) -> bool:
        """Whether more than the name decides."""
        rules = (self.pushed_within, self.pulled_within, self.most_recently_pushed, self.most_recently_pulled)
        return any(rule is not None for rule in rules)

    def is_about(self, tag: str) -> bool:
        """Tell whether a tag matches."""
        return not self.patterns or any(pattern.matches(tag) for pattern in self.patterns)


@dataclass(frozen=True)
class Immutable:
    """Tags that match a pattern, or any without one, and no exception: once pushed they neither move nor go."""

    patterns: tuple[Pattern, ...] = ()
    exceptions: tuple[Pattern, ...] = ()

    def is_about(self, tag: str) -> bool:
        """Tell whether a tag matches."""
        if any(pattern.matches(tag) for pattern in self.exceptions):
            return False
        return not self.patterns or any(pattern.matches(tag) for pattern in self.patterns)


@dataclass(frozen=True)
class Policy:
    """The rules of the repositories that match any of the globs; `position` is its place among the policies."""

    repositories: tuple[Glob, ...] = ()
    delete_referrers: bool = False
    delete_untagged: bool = True
    keep_tags: tuple[Keep, ...] = ()
    keep_untagged: Keep | None = None
    immutable: tuple[Immutable, ...] = ()
    position: int = 0

    def forbids_moving(self, tag: str) -> bool:
        """Tell whether a tag is immutable."""
        return any(rule.is_about(tag) for rule in self.immutable)


NO_POLICY = Policy()


@dataclass(frozen=True)
class Retention:
    """The rules of a store.

    `gc_delay` is how long nobody must have cared for a blob before it goes, `delay` how long for an untagged manifest
    or a referrer without its subject. With `dry_run` nothing goes.
    """

    gc_delay: float = 3600.0
    delay: float = 3600.0
    dry_run: bool = False
    policies: tuple[Policy, ...] = field(default=())

    @property
    def fingerprint(self) -> str:
        """What tells these rules from others."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def of(self, name: str) -> Policy:
        """Return the first policy that is about a repository, or the one that keeps all tags."""
        for policy in self.policies:
            if any(pattern.matches(name) for pattern in policy.repositories):
                return policy
        return NO_POLICY
