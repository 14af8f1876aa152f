"""Who somebody is, from what a provider says of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from zot.errors import Unauthorized

log = logging.getLogger(__name__)

_LONGEST_NAME = 256
_MOST_GROUPS = 1000


class Identity(NamedTuple):
    """A user's name, as policies have it, and the groups that the provider gives them."""

    name: str
    groups: frozenset[str] = frozenset()


class ClaimNames(NamedTuple):
    """The claims of the name and of the groups."""

    username: str = "email"
    groups: str = "groups"


def identity(names: ClaimNames, *sources: Mapping[str, Any]) -> Identity:
    """Return whom these claims describe; of the name's the last source with one counts, groups are those of all.

    Raises `Unauthorized` if there is no name, or it is an email address that the provider says is not theirs.
    """
    claims = {key: value for source in sources for key, value in source.items()}
    used = names.username
    if not _is_name(claims.get(used)) and used != "email":
        log.warning("a login has no claim %r, and email is taken instead", used)
        used = "email"
    name = claims.get(used)
    if not _is_name(name):
        raise Unauthorized(
            f"the provider says no {used}", "ask it for that scope, or name another claim in claimMapping"
        )
    if used == "email" and claims.get("email_verified", True) not in (True, "true"):
        raise Unauthorized("the provider has not verified the email address", "verify it there, then log in again")
    found = [group for source in sources for group in _texts(source.get(names.groups))]
    return Identity(str(name), frozenset(found[:_MOST_GROUPS]))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable() and value == value.strip()


def _texts(value: object) -> list[str]:
    """Return the groups in a claim, which is a list, or one of them by itself."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and _is_name(one)]
