"""Who somebody is, from what a provider says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from zot.errors import Unauthorized

_LONGEST_NAME = 256
_MOST_GROUPS = 1000


class Identity(NamedTuple):
    """A user's name, as policies have it, the groups that the provider gives them, and the account's stamp.

    The stamp is of the provider and its own name for the user: an address may be given to somebody else, that never.
    """

    name: str
    groups: frozenset[str] = frozenset()
    stamp: str = ""


class ClaimNames(NamedTuple):
    """The claims of the name and of the groups."""

    username: str = "email"
    groups: str = "groups"


def identity(names: ClaimNames, stamp: str, *sources: Mapping[str, Any]) -> Identity:
    """Return whom these claims describe; of the name's the last source with one counts, groups are those of all.

    An email address counts only with the word of the same source that it is verified. Raises `Unauthorized` if there is
    no name: another claim than the configured one is never taken for it, as it may be somebody else's name.
    """
    used = names.username
    said = [source for source in sources if _is_name(source.get(used))]
    if not said:
        raise Unauthorized(
            f"the provider says no {used}", "ask it for that scope, or name another claim in claimMapping"
        )
    trusted = [source for source in said if used != "email" or source.get("email_verified") in (True, "true")]
    if not trusted:
        raise Unauthorized(
            "the provider does not say that the email address is verified",
            "verify it there and log in again, or name another claim in claimMapping",
        )
    found = [group for source in sources for group in _texts(source.get(names.groups))]
    return Identity(str(trusted[-1][used]), frozenset(found[:_MOST_GROUPS]), stamp)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable() and value == value.strip()


def _texts(value: object) -> list[str]:
    """Return the groups in a claim, which is a list, or one of them by itself."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and _is_name(one)]
