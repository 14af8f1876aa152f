"""Accounts in tests that are about something else than stamps."""

from __future__ import annotations

from zot.auth.accounts import Account


def plain(account: Account | None) -> Account | None:
    """Return an account without its stamp."""
    return None if account is None else account._replace(stamp="")
