"""Rules for `http.accessControl`."""

from __future__ import annotations

from collections.abc import Iterator

from zot.config.access import NEEDS, AccessControl, Policy
from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.rules.finding import Finding
from zot.oci.globs import Glob, compile_glob, covers

_PATH = ("http", "accessControl")


def needs_a_login(config: Config) -> Iterator[Finding]:
    """Rules for users are of no use where nobody can be one."""
    control = config.http.access_control
    if control is None or _has_login(config) or _is_anonymous_only(control):
        return
    what = "nobody can log in, so rules for users never hold"
    yield Finding(_PATH, what, "add htpasswd, ldap, openid, bearer or mtls to http.auth, or use anonymousPolicy only")


def _has_login(config: Config) -> bool:
    auth, tls = config.http.auth, config.http.tls
    by_certificate = tls is not None and bool(tls.cert and tls.key and tls.cacert)
    return by_certificate or (
        auth is not None and any((auth.htpasswd, auth.ldap, auth.openid, auth.bearer, auth.apikey))
    )


def _is_anonymous_only(control: AccessControl) -> bool:
    policies = list(control.repositories.values())
    admin = control.admin_policy
    for_users = any(one.default_policy or one.policies for one in policies) or admin.users or admin.actions
    anonymous = any(one.anonymous_policy for one in policies) or control.metrics.anonymous_policy
    return not for_users and bool(anonymous)


def globs(config: Config) -> Iterator[Finding]:
    """Patterns over repositories can be read."""
    control = config.http.access_control
    for pattern in control.repositories if control else ():
        try:
            compile_glob(pattern)
        except ValueError as error:
            yield Finding((*_PATH, "repositories", pattern), str(error), "write it as infra/*, prod/** or repos2/repo")


def deciding(config: Config) -> Iterator[Finding]:
    """Every pattern decides for some repository: none longer matches all that it does, and names can match it."""
    control = config.http.access_control
    patterns = [one for one in map(_readable, control.repositories if control else ()) if one is not None]
    ranked = sorted(patterns, key=lambda one: one.rank)
    for number, glob in enumerate(ranked):
        pattern, path = glob.pattern, (*_PATH, "repositories", glob.pattern)
        by = next((other.pattern for other in ranked[:number] if covers(other.pattern, pattern)), None)
        if by is not None:
            what = f"it never decides: {by!r} matches all that it does, and goes first as it is longer"
            yield Finding(path, what, "leave it out, or narrow the other", warning=True)
        elif pattern != pattern.lower() or pattern.startswith("/") or "//" in pattern:
            what = "no repository matches it: names are in lower case, without // or a leading /"
            yield Finding(path, what, "write it as infra/*, prod/** or repos2/repo", warning=True)


def _readable(pattern: str) -> Glob | None:
    try:
        return compile_glob(pattern)
    except ValueError:
        return None


def grants(config: Config) -> Iterator[Finding]:
    """Every policy is for somebody, and lets them do something."""
    control = config.http.access_control
    if control is None:
        return
    for path, policy in _policies(control):
        if not policy.users and not policy.groups and (policy.actions or len(path) > len(_PATH) + 1):
            yield Finding(path, "it is for nobody", "add users or groups", warning=True)
        elif (policy.users or policy.groups) and not policy.actions:
            yield Finding(path, "it allows nothing", "add actions", warning=True)
        yield from _lacking((*path, "actions"), policy.actions)
    for pattern, one in control.repositories.items():
        where = (*_PATH, "repositories", pattern)
        yield from _lacking((*where, "defaultPolicy"), one.default_policy)
        yield from _lacking((*where, "anonymousPolicy"), one.anonymous_policy)
        if writes := [action for action in one.anonymous_policy if action in NEEDS]:
            what = f"everybody may {', '.join(writes)} without logging in"
            yield Finding((*where, "anonymousPolicy"), what, "leave read only, unless you mean that", warning=True)


def _lacking(path: KeyPath, actions: tuple[str, ...]) -> Iterator[Finding]:
    for action in actions:
        if lacking := sorted(NEEDS.get(action, frozenset()) - set(actions)):
            what = f"{action} does not count without {' and '.join(lacking)}"
            yield Finding(path, what, f"add {', '.join(lacking)}", warning=True)


def _policies(control: AccessControl) -> Iterator[tuple[KeyPath, Policy]]:
    yield (*_PATH, "adminPolicy"), control.admin_policy
    for pattern, one in control.repositories.items():
        for number, policy in enumerate(one.policies):
            yield (*_PATH, "repositories", pattern, "policies", number), policy


def conditions(config: Config) -> Iterator[Finding]:
    """No policy has conditions: as they are not looked at, it grants nothing."""
    control = config.http.access_control
    for path, policy in _policies(control) if control else ():
        if policy.conditions:
            what = "this version does not evaluate expressions, so the policy grants nothing"
            remedy = "grant in a policy without them what holds without them"
            yield Finding((*path, "conditions"), what, remedy, warning=True)


def groups(config: Config) -> Iterator[Finding]:
    """Groups that policies name have users; some come from elsewhere."""
    control, auth = config.http.access_control, config.http.auth
    if control is None or (auth is not None and (auth.ldap or auth.openid or auth.bearer)):
        return
    for path, policy in _policies(control):
        for number, name in enumerate(policy.groups):
            if name not in control.groups:
                what = f"there is no group {name!r}"
                yield Finding((*path, "groups", number), what, "add it to http.accessControl.groups", warning=True)
            elif not control.groups[name].users:
                yield Finding((*_PATH, "groups", name), "it has no users", "add some", warning=True)


def metrics(config: Config) -> Iterator[Finding]:
    """Somebody may read the metrics: with access control it is nobody unless they are named."""
    control = config.http.access_control
    if control is None or not config.extensions.shows_metrics:
        return
    if not control.metrics.users and "read" not in control.metrics.anonymous_policy:
        remedy = "name users in http.accessControl.metrics.users"
        yield Finding((*_PATH, "metrics"), "nobody may read the metrics", remedy, warning=True)


RULES = (needs_a_login, globs, deciding, grants, conditions, groups, metrics)
