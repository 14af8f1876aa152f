"""Rules for `storage.retention` and that of each sub-path."""

from __future__ import annotations

import re
from collections.abc import Iterator

import bracex

from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.rules.finding import A_PUSH, LONGER, Finding, stores
from zot.config.storage import Retention, StoreOptions
from zot.oci.globs import compile_glob

# What is a glob more likely than a regular expression: plain text, and a star at its end.
_GLOB_LIKE = re.compile(r"\^?([\w.-]*)([\w-])\*")
_BEGINS_WITH_ANY = re.compile(r"\^?\.[*+]")
_ENDS_WITH_ANY = re.compile(r"(?<!\\)\.[*+]\$?$")


def policies(config: Config) -> Iterator[Finding]:
    """Each policy can be reached, and is for some repositories."""
    for path, options in stores(config):
        yield from _retention((*path, "retention"), options.retention, options)


def _retention(path: KeyPath, retention: Retention, options: StoreOptions) -> Iterator[Finding]:
    if retention.delay is not None and options.gc and retention.delay < A_PUSH:
        what = "manifests may go before their tag or their index is pushed: uploads still under way may lose layers"
        yield Finding((*path, "delay"), what, LONGER, warning=True)
    elif retention.delay is not None and options.gc and retention.delay < options.gc_delay:
        what = "manifests go before their blobs may, which wait for gcDelay"
        yield Finding((*path, "delay"), what, "use a delay that is not shorter than gcDelay", warning=True)
    catch_all = None
    for number, policy in enumerate(retention.policies):
        where = (*path, "policies", number)
        if not policy.repositories:
            yield Finding(where, "it is for no repository", "add repositories, a list of globs", warning=True)
        elif catch_all is not None:
            what = f"it is never used: policies[{catch_all}] is for all repositories, and the first that matches holds"
            yield Finding(where, what, f"move it before policies[{catch_all}]", warning=True)
        if "**" in policy.repositories and catch_all is None:
            catch_all = number
        every = next((n for n, keep in enumerate(policy.keep_tags) if not keep.patterns or ".*" in keep.patterns), None)
        for later in range(every + 1 if every is not None else len(policy.keep_tags), len(policy.keep_tags)):
            what = f"it is never used: keepTags[{every}] is for all tags, and the first that matches holds"
            yield Finding((*where, "keepTags", later), what, f"move it before keepTags[{every}]", warning=True)


def globs(config: Config) -> Iterator[Finding]:
    """Policies are for repositories that their store may have."""
    routes = {route.strip("/") for route in config.storage.sub_paths}
    for path, options in stores(config):
        route = str(path[-1]).strip("/") if len(path) > 1 else ""
        for number, policy in enumerate(options.retention.policies):
            for position, glob in enumerate(policy.repositories):
                where = (*path, "retention", "policies", number, "repositories", position)
                alternatives = [one.partition("/") for one in bracex.expand(glob, keep_escapes=True)]
                firsts = {first for first, _, _ in alternatives}
                if route and not any(_may_be_below(route, first, slash) for first, slash, _ in alternatives):
                    what = f"no repository of this store matches it: their names begin with {route}/"
                    yield Finding(where, what, f"begin it with {route}/, as in {route}/**", warning=True)
                elif not route and firsts <= routes and all(slash for _, slash, _ in alternatives):
                    below = " and ".join(f"storage.subPaths./{first}" for first in sorted(firsts))
                    what = f"the repositories that it names are not in this store: {below} has them"
                    yield Finding(where, what, f"move it to the retention of {below}", warning=True)


def _may_be_below(route: str, first: str, slash: str) -> bool:
    """Tell whether a pattern with this first component may match a name below a route."""
    if first == "**":
        return True
    try:
        return bool(first and slash) and compile_glob(first).matches(route)
    except ValueError:
        # A slash within brackets: who writes that is not warned.
        return True


def patterns(config: Config) -> Iterator[Finding]:
    """Regular expressions for tags are not globs, and are not written as if they had to match a whole tag."""
    for path, options in stores(config):
        for number, policy in enumerate(options.retention.policies):
            where = (*path, "retention", "policies", number)
            for position, keep in enumerate(policy.keep_tags):
                yield from _mistaken((*where, "keepTags", position, "patterns"), keep.patterns)
            for position, immutable in enumerate(policy.immutable):
                yield from _mistaken((*where, "immutable", position, "patterns"), immutable.patterns)
                yield from _mistaken((*where, "immutable", position, "except"), immutable.except_)


def _mistaken(path: KeyPath, expressions: tuple[str, ...]) -> Iterator[Finding]:
    for number, expression in enumerate(expressions):
        if more := _beyond(expression):
            whole = f"({expression})" if "|" in expression else expression.removeprefix("^").removesuffix("$")
            what = f"it is looked for anywhere in a tag, so it matches tags too that {more}"
            yield Finding((*path, number), what, f"write ^{whole}$ if it is meant for whole tags", warning=True)
        if (match := _GLOB_LIKE.fullmatch(expression)) is None:
            continue
        head, last = match.groups()
        means = f"{head!r} and then any number of {last!r}, or none" if head else f"any number of {last!r}, or none"
        what = f"as a regular expression it is {means}{'' if head else ', so it matches every tag'}"
        yield Finding((*path, number), what, f"write ^{head}{last}.*$ for tags that begin so", warning=True)


def _beyond(expression: str) -> str:
    """Return which tags an expression matches against expectation; nothing if there is no reason to think of any.

    `.*` at an end of it changes nothing, so whoever writes that thinks of whole tags, and of the other end as one.
    """
    begins, ends = _BEGINS_WITH_ANY.match(expression), _ENDS_WITH_ANY.search(expression)
    if ends and not begins and not expression.startswith("^"):
        return "begin with something else"
    if begins and not ends and not expression.endswith("$"):
        return "go on after it"
    return ""


RULES = (policies, globs, patterns)
