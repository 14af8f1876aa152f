"""The users to whom rights are given by name: with a file of users alone, each of them is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zot.config.access import AccessControl
from zot.config.model import Config
from zot.config.nodes import KeyPath
from zot.config.rules.finding import Finding

# A file that is longer is not read, as checking a configuration takes no time; bcrypt's lines have some 70 bytes.
_LONGEST = 256 * 1024
_PATH = ("http", "accessControl")


def unknown_users(config: Config) -> Iterator[Finding]:
    """Find the names in accessControl that nobody can log in with."""
    control, auth, tls = config.http.access_control, config.http.auth, config.http.tls
    if control is None or auth is None or auth.htpasswd is None or (tls is not None and tls.cacert):
        return
    if auth.ldap or auth.openid or auth.bearer or auth.mtls:
        return
    known = _names(auth.htpasswd.path)
    for path, name in _named(control):
        if known is not None and name not in known:
            what = f"nobody can log in as {name!r}, who is not in {auth.htpasswd.path}"
            yield Finding(path, what, "check the spelling, or add the user", warning=True)


def _names(file: str) -> set[str] | None:
    """Return the names in a file of users, also those whose line is of no use; None if it can't be looked at."""
    try:
        if Path(file).stat().st_size > _LONGEST:
            return None
        text = Path(file).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return {name for name, colon, _ in (line.partition(":") for line in text.splitlines()) if colon}


def _named(control: AccessControl) -> Iterator[tuple[KeyPath, str]]:
    """Return each user to whom rights are given by name, with the place of the name."""
    several: list[tuple[KeyPath, tuple[str, ...]]] = [
        ((*_PATH, "adminPolicy"), control.admin_policy.users),
        ((*_PATH, "metrics"), control.metrics.users),
        *(((*_PATH, "groups", name), group.users) for name, group in control.groups.items()),
    ]
    for pattern, one in control.repositories.items():
        below = (*_PATH, "repositories", pattern, "policies")
        several += [((*below, number), policy.users) for number, policy in enumerate(one.policies)]
    for path, users in several:
        for number, name in enumerate(users):
            yield (*path, "users", number), name
