"""From the configuration of a store to its `Retention`."""

from __future__ import annotations

from datetime import timedelta

from zot.config.storage import Immutable as ImmutableSection
from zot.config.storage import Kept, RetentionPolicy, StoreOptions
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry.retention import Immutable, Keep, Policy, Retention


def retention_of(options: StoreOptions) -> Retention:
    """Return the rules of a store. `delay` is `gcDelay` where it is left out."""
    section = options.retention
    delay = options.gc_delay if section.delay is None else section.delay
    return Retention(
        gc_delay=options.gc_delay.total_seconds(),
        delay=delay.total_seconds(),
        dry_run=section.dry_run,
        policies=tuple(_policy(one, position) for position, one in enumerate(section.policies)),
    )


def _policy(section: RetentionPolicy, position: int) -> Policy:
    return Policy(
        repositories=tuple(compile_glob(one) for one in section.repositories),
        delete_referrers=section.delete_referrers,
        delete_untagged=section.delete_untagged,
        keep_tags=tuple(_keep(one, one.patterns) for one in section.keep_tags),
        keep_untagged=None if section.keep_untagged is None else _keep(section.keep_untagged, ()),
        immutable=tuple(_immutable(one) for one in section.immutable),
        position=position,
    )


def _keep(section: Kept, patterns: tuple[str, ...]) -> Keep:
    return Keep(
        patterns=tuple(Pattern(one) for one in patterns),
        pushed_within=_seconds(section.pushed_within),
        pulled_within=_seconds(section.pulled_within),
        most_recently_pushed=section.most_recently_pushed_count or None,
        most_recently_pulled=section.most_recently_pulled_count or None,
    )


def _immutable(section: ImmutableSection) -> Immutable:
    return Immutable(
        patterns=tuple(Pattern(one) for one in section.patterns),
        exceptions=tuple(Pattern(one) for one in section.except_),
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
