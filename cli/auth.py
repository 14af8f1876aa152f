"""`zot auth`: who may do what, and why."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import click

from cli.configuration import read
from cli.options import config_argument, config_group, config_option
from cli.output import Output, output_options
from cli.store import repository_options
from zot.auth.access import AccessControl
from zot.auth.actions import GRANTED, Action
from zot.auth.htpasswd import Htpasswd
from zot.auth.opening import policy_of
from zot.auth.policy import Policy
from zot.auth.principal import ANONYMOUS, Principal
from zot.config import Config

# What clients call what they do, in the rights that it takes.
_WORDS = {"pull": (Action.READ,), "push": (Action.READ, Action.CREATE, Action.UPDATE), "list": (Action.READ,)}
_LETTERS = {Action.READ: "r", Action.CREATE: "c", Action.UPDATE: "u", Action.DELETE: "d", Action.DETECT: "!"}
_HTPASSWD = "http.auth.htpasswd"
_NOBODY_NAMED = "(anybody else who logs in)"


@config_group
def auth() -> None:
    """Explain what accessControl allows, without asking a server.

    \b
    Examples:
      zot auth explain --user alice --repo team/app --action push
      zot auth check config.json
    """


@auth.command()
@click.option("--user", default="", metavar="U", help="Who asks; nobody who has logged in, if left out.")
@click.option("--group", "groups", multiple=True, metavar="G", help="A group of theirs; may be repeated.")
@repository_options(required=True)
@click.option("--tag", metavar="T", help="The tag that is pushed, to say it in the answer.")
@click.option(
    "--action",
    required=True,
    type=click.Choice([*_WORDS, *GRANTED]),
    help="What is to be done: a word of clients, or a right of accessControl.",
)
@config_option
@output_options
def explain(
    user: str,
    groups: tuple[str, ...],
    repository: str,
    tag: str | None,
    action: str,
    config: str | None,
    output: Output,
) -> None:
    """Say whether somebody may do something, and which rule decides that.

    Of all patterns that match the repository the longest decides, alone: no policy and no defaultPolicy of another one
    counts. A push takes `create` and, for a tag that is there already, `update`. Leaves with 1 if any of it is not
    allowed.

    \b
    Example:
      zot auth explain --user alice --group devs --repo team/app --tag v1 --action push
    """
    chosen = read(config, output)
    policy = policy_of(chosen.http)
    principal = Principal(user, frozenset(groups))
    rights = _WORDS.get(action) or (GRANTED[action],)
    decisions = [(right, policy.decide(principal, right, repository)) for right in rights]
    if output.json:
        output.document({"decisions": [{"action": right.value, **decision._asdict()} for right, decision in decisions]})
    else:
        target = f"{repository}:{tag}" if tag else repository
        for right, decision in decisions:
            verb = "may" if decision.allowed else "may not"
            where = f"pattern {decision.pattern!r}: " if decision.pattern else ""
            only = " (needed if the tag is there already)" if right is Action.UPDATE and action == "push" else ""
            output.line(f"{user or 'anonymous'} {verb} {right.value} {target}{only}: {where}{decision.rule}")
        if isinstance(policy, AccessControl):
            _remark(policy, chosen, user, repository, output)
    sys.exit(0 if all(decision.allowed for _, decision in decisions) else 1)


def _remark(policy: AccessControl, config: Config, user: str, repository: str, output: Output) -> None:
    """Tell what people expect to count and does not, and of a user whom nothing names."""
    first, *others = policy.matching(repository) or [""]
    if others:
        listed = ", ".join(map(repr, others))
        output.note(f"of the patterns that match, the longest decides alone: {first!r}; nothing in {listed} counts")
    if not user:
        return
    if _is_stranger(config, user):
        output.note(f"nobody can log in as {user!r}, which is no user of {_HTPASSWD}; check the spelling")
    elif user not in _principals(config) and not policy.groups_of(user, frozenset()):
        output.note(f"no policy and no group of accessControl names {user!r}")


def _is_stranger(config: Config, user: str) -> bool:
    """Tell whether users come from a file only, and this one is not in it."""
    auth = config.http.auth
    if auth is None or auth.htpasswd is None or any((auth.ldap, auth.openid, auth.bearer, auth.mtls)):
        return False
    return Htpasswd(auth.htpasswd.path, nullcontext()).account(user) is None


@auth.command()
@config_argument
@output_options
def check(config: str | None, output: Output) -> None:
    """Show what everybody may do, as a table: repositories by pattern, and whoever the rules speak of.

    r is read, c create, u update, d delete, ! detectManifestCollision. A pattern that never decides is told of.

    \b
    Example:
      zot auth check config.json
    """
    chosen = read(config, output)
    policy = policy_of(chosen.http)
    if not isinstance(policy, AccessControl):
        rule = policy.decide(ANONYMOUS, Action.READ, "a").rule
        if output.json:
            output.document({"rule": rule, "patterns": []})
        else:
            output.line(rule)
        return
    whom = _principals(chosen)
    table = {
        pattern: {title: _letters(policy, one, pattern) for title, one in whom.items()} for pattern in policy.patterns
    }
    if output.json:
        patterns = [{"pattern": pattern, "rights": rights} for pattern, rights in table.items()]
        output.document({"rule": None, "patterns": patterns})
    else:
        output.table(["PATTERN", *whom], [(pattern, *cells.values()) for pattern, cells in table.items()])


def _principals(config: Config) -> dict[str, Principal]:
    """Return everybody that the rules speak of, under what the table calls them."""
    control = config.http.access_control
    assert control is not None, "the policy is one of accessControl"
    policies = [policy for one in control.repositories.values() for policy in one.policies] + [control.admin_policy]
    users = sorted({user for policy in policies for user in policy.users})
    groups = sorted({group for policy in policies for group in policy.groups})
    return {
        "(anonymous)": ANONYMOUS,
        **{user: Principal(user) for user in users},
        **{f"group {group}": Principal(_NOBODY_NAMED, frozenset({group})) for group in groups},
        _NOBODY_NAMED: Principal(_NOBODY_NAMED),
    }


def _letters(policy: Policy, principal: Principal, pattern: str) -> str:
    assert isinstance(policy, AccessControl)
    actions = policy.actions_under(principal, pattern)
    return "".join(letter for action, letter in _LETTERS.items() if action in actions) or "-"
