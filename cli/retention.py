"""`zot retention`: which tags the rules keep, which they delete, and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from cli.completing import complete_repository
from cli.jobs import FAILED, age, chosen, fail, opened, tell_dry_run, tell_failure, work
from cli.options import config_group, config_option
from cli.output import Output, counted, output_options
from cli.store import Reference, human_size, reference_argument, repository_options, when
from zot.gc import cleaning, clock
from zot.gc.deciding import Decision
from zot.gc.estimating import estimate
from zot.jobs import plans
from zot.jobs.records import Record
from zot.jobs.running import Run
from zot.registry import repositories
from zot.registry.retention import Policy
from zot.registry.store import Store
from zot.storage.protocol import NotFound


@config_group
def retention() -> None:
    """See which tags the rules keep and which they delete, and delete them.

    \b
    Examples:
      zot retention plan
      zot retention run --plan 20261125T181322-1a2b
      zot retention explain team/app:v1
    """


@retention.command()
@repository_options()
@config_option
@output_options
def plan(repository: str | None, config: str | None, output: Output) -> None:
    """Decide on every tag without deleting any, and keep that as a plan.

    Of each tag is said whether it is kept, and by which entry of which policy: PLACE counts both from 0, and names the
    patterns that match. WHY is the condition that keeps it, or those that do not, with what they looked at. FREES is
    how many bytes go with it in the end; what deleted tags share is counted with each of them, and once in the sum.

    \b
    Examples:
      zot retention plan
      zot retention plan team/app --output json
    """
    documents = []
    with opened(config, output) as (_, stores):
        for route, store in chosen(stores, repository, output):
            names = list(repositories.names(store)) if repository is None else [repository]
            documents.append({"store": route, **_plan(store, names, output)})
    if output.json:
        output.document({"stores": documents})
        return
    several = len(documents) > 1
    headings = [
        *(["STORE"] if several else []),
        "REPOSITORY",
        "TAG",
        "DECISION",
        "PLACE",
        "WHY",
        "AGE",
        "PULLED",
        "FREES",
    ]
    rows = [
        [*([document["store"]] if several else []), *_row(one)] for document in documents for one in document["tags"]
    ]
    output.table(headings, rows)
    for document in documents:
        _conclude(document, f"{document['store']}: " if several else "", output)


@retention.command()
@click.option("--plan", "plan_id", metavar="ID", help="Delete exactly what this plan says.")
@config_option
@output_options
def run(plan_id: str | None, config: str | None, output: Output) -> None:
    """Delete the tags that the rules do not keep; what they led to goes with the next garbage collection.

    With --plan exactly the tags of that plan go, and none at all if a rule, a tag or a pull has come in between that
    would change it. A plan is carried out once.

    \b
    Examples:
      zot retention run
      zot retention run --plan 20261125T181322-1a2b
    """
    documents = []
    with opened(config, output, to_change=True) as (_, stores):
        for route, store in stores.by_route():
            record = Record("retention", "hand", store.retention.dry_run)
            job: Callable[[Run], None] = plans.delete_now
            if plan_id is not None:
                try:
                    planned = plans.read(store, plan_id)
                except NotFound:
                    continue
                if planned.run:
                    why = f"{plan_id} was carried out already, by {planned.run} at {when(planned.ended)}"
                    fail(output, why, "make another with zot retention plan")
                job = plans.carry_out(planned)
            done = work(store, record, job, output, lambda _: None)
            tell_failure(done, output)
            if record.dry_run:
                tell_dry_run(route, "", output)
            documents.append({"store": route, **done.document()})
    if not documents:
        fail(output, f"there is no plan {plan_id!r}", "make one with zot retention plan")
    _tell(documents, output)
    sys.exit(0 if all(one["outcome"] == "done" for one in documents) else FAILED)


@retention.command()
@click.argument("tag", metavar="REPOSITORY:TAG", type=reference_argument, shell_complete=complete_repository)
@config_option
@output_options
def explain(tag: Reference, config: str | None, output: Output) -> None:
    """Say what the rules do with one tag, and why.

    \b
    Example:
      zot retention explain team/app:v1
    """
    name, wanted = tag
    if not isinstance(wanted, str):
        raise click.UsageError("Name a tag as REPOSITORY:TAG.")
    with opened(config, output) as (_, stores):
        ((_, store),) = chosen(stores, name, output)
        now = time.time()
        snapshot, made = cleaning.look(store, name, now, clock.suspicion(store.storage, clock.read()))
        decision = next((one for one in made.decisions if one.tag == wanted), None)
        if decision is None:
            fail(output, f"{name!r} has no tag {wanted!r}", f"see zot tag list {name}")
        frees = estimate(snapshot, store.retention, made, now).by_tag.get(wanted, 0)
        policy = store.retention.of(name)
        document = _document(name, decision, frees)
        globs = [one.pattern for one in policy.repositories]
        document["policy"] = globs or None
        entry, patterns = _entry(policy, wanted)
        document["patterns"] = patterns
    if output.json:
        output.document(document)
        return
    output.line(f"{name}:{wanted}: {document['decision']}, {decision.rule}", bold=True)
    said = f"policies[{policy.position}], for {', '.join(globs)}" if globs else "none matches, so all tags are kept"
    output.line(f"  Policy: {said}")
    if patterns is not None:
        output.line(f"  {entry}, for {', '.join(patterns) or 'all tags'}")
    output.line(f"  Pushed {_ago(decision.pushed)}; pulled {_ago(decision.pulled)}")
    output.line(f"  Stands for {decision.digest}")


def _entry(policy: Policy, tag: str) -> tuple[str, list[str] | None]:
    """Return in words which entry of a policy decides on a tag, and its patterns; None if none is about it."""
    for number, rule in enumerate(policy.immutable):
        if rule.is_about(tag):
            return f"Immutable by: immutable[{number}]", [pattern.text for pattern in rule.patterns]
    for number, keep in enumerate(policy.keep_tags):
        if keep.is_about(tag):
            said = f"First of its keepTags that matches: keepTags[{number}]"
            return said, [pattern.text for pattern in keep.patterns]
    return "", None


def _plan(store: Store, names: list[str], output: Output) -> dict[str, Any]:
    now = time.time()
    suspended = clock.suspicion(store.storage, clock.read())
    tags: list[dict[str, Any]] = []
    deleted: dict[str, dict[str, str]] = {}
    frees = 0
    with output.progress("plan", len(names)) as advance:
        for name in names:
            snapshot, made = cleaning.look(store, name, now, suspended)
            estimated = estimate(snapshot, store.retention, made, now)
            tags += [_document(name, one, estimated.by_tag.get(one.tag, 0)) for one in made.decisions]
            frees += estimated.total
            if going := plans.deletes(made):
                deleted[name] = going
            advance(1)
    kept = plans.make(store, deleted, now)
    return {"plan": kept.id, "tags": tags, "deletes": sum(map(len, deleted.values())), "frees": frees}


def _document(name: str, one: Decision, frees: int) -> dict[str, Any]:
    return {
        "repository": name,
        "tag": one.tag,
        "digest": str(one.digest),
        "decision": "keep" if one.kept else "delete",
        "place": one.place or None,
        "rule": one.rule,
        "pushed": when(one.pushed) if one.pushed else None,
        "pulled": when(one.pulled) if one.pulled else None,
        "frees": frees,
    }


def _row(one: dict[str, Any]) -> list[Any]:
    pulled = "never" if one["pulled"] is None else f"{_since(one['pulled'])} ago"
    pushed = "-" if one["pushed"] is None else _since(one["pushed"])
    frees = human_size(one["frees"]) if one["decision"] == "delete" else ""
    return [one["repository"], one["tag"], one["decision"], one["place"] or "-", one["rule"], pushed, pulled, frees]


def _since(moment: str) -> str:
    return age(time.time() - datetime.fromisoformat(moment).timestamp())


def _conclude(document: dict[str, Any], prefix: str, output: Output) -> None:
    share = f"{document['deletes']} of {counted(len(document['tags']), 'tag')}"
    summary = f"{share} would go, and {human_size(document['frees'])} with them"
    how = f"zot retention run --plan {document['plan']}"
    output.line(
        f"{prefix}plan {document['plan']}: {summary}" + (f"; carry it out with {how}" if document["deletes"] else "")
    )


def _tell(documents: list[dict[str, Any]], output: Output) -> None:
    if output.json:
        output.document({"stores": documents})
        return
    for done in documents:
        for one in done["listed"]:
            output.line(f"{one['repository']}:{one['reference']}  {one['reason']}")
        for problem in done["problems"]:
            output.warning(problem)
        verb = "would be deleted" if done["dryRun"] else "deleted"
        if done["outcome"] in {"failed", "refused"} and not done["removed"]:
            continue
        output.line(f"{counted(done['removed'].get('tag', 0), 'tag')} {verb} in store {done['store']}")


def _ago(moment: float) -> str:
    return f"{age(time.time() - moment)} ago" if moment else "never, as far as is known"
