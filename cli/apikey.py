"""`zot apikey`: API keys, made and taken back beside the server."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial

import click

from cli.configuration import read
from cli.options import config_group, config_option
from cli.output import Output, output_options
from cli.store import open_store, open_to_change, require_store, when
from zot.auth.accounts import Account, Directory
from zot.auth.authority import Authority
from zot.auth.dates import FORMS, now, read_date
from zot.auth.key_login import KeyLogin
from zot.auth.keys import ApiKeys, Key, Wanted
from zot.auth.opening import Opener
from zot.auth.people import People
from zot.auth.scopes import parse_scope
from zot.auth.sessions import Sessions
from zot.config import Config
from zot.errors import StartupError, Unavailable
from zot.logs import note_change
from zot.registry import paths
from zot.registry.stores import Stores

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

_UNKNOWN = "unknown"


@config_group
def apikey() -> None:
    """Make API keys for users, list them and take them back, whether a server runs or not.

    \b
    Examples:
      zot apikey create --user ci --label build --scope 'team/**:read,create' --expires 90d
      zot apikey list
      zot apikey revoke 46a45ce7-5d92-498a-a9cb-9654b1da3da1
    """


@apikey.command()
@click.option("--user", required=True, metavar="U", help="Whose key it is; it may do what they may do, and no more.")
@click.option("--label", required=True, metavar="L", help="What it is for.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="GLOB:ACTION,…", help="What it is narrowed to; may be repeated."
)
@click.option(
    "--expires", metavar="90d", help="How long it is good, or its last day (2027-08-28); for ever if left out."
)
@config_option
@output_options
def create(
    user: str, label: str, scopes: tuple[str, ...], expires: str | None, config: str | None, output: Output
) -> None:
    """Make a key and print it, once. Use it as the password of its user.

    With --quiet nothing is said but the key, and what must not be missed about it.

    \b
    Example:
      zot apikey create --user ci --label build --scope 'team/**:read,create' --expires 90d
    """
    chosen = read(config, output)
    try:
        wanted = Wanted(label, scopes or None, _until(expires), "zot apikey")
        idle = _idle(scopes)
        keys, authority = _open(chosen, open_to_change(chosen, output))
        key, secret = keys.create(*_find(user, authority.directories), wanted)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    note_change("zot apikey create", "POST", f"/zot/auth/apikey?id={key.uuid}", "", "created", f"a key for {user}")
    if idle:
        so = f", so the key may do all that {user} may" if len(idle) == len(scopes) else ""
        output.warning(f"{' '.join(idle)} narrows nothing{so}; write GLOB:ACTION, as a/**:read")
    if authority.keys is None:
        output.warning("API keys are not turned on, so no server takes this one; set http.auth.apikey to true")
    if output.json:
        output.document({**_document(key, ""), "apiKey": secret})
        return
    output.line(secret)
    output.note(f"the key of {user} with the identifier {key.uuid}; it is shown only now")


@apikey.command("list")
@click.option("--user", metavar="U", help="Only the keys of this user.")
@config_option
@output_options
def list_keys(user: str | None, config: str | None, output: Output) -> None:
    """List keys: whose they are, what for, and when they were last used. Their secrets are kept nowhere.

    \b
    Example:
      zot apikey list --user ci
    """
    chosen = read(config, output)
    keys, authority = _open(chosen, open_store(chosen, output))
    login = KeyLogin(keys, authority.directories)
    found = sorted(keys.of(user) if user else keys.all(), key=lambda key: (key.user, key.created))
    listed = [(key, _flaw(key, login)) for key in found]
    if user and not found and not output.json:
        output.note(f"{user!r} has no API keys; zot apikey list shows those of all users")
        return
    if output.json:
        output.document({"apiKeys": [_document(key, flaw) for key, flaw in listed]})
        return
    rows = [
        (key.uuid, key.user, key.label, _scopes(key), _expiry(key), _last_use(key), flaw or "good")
        for key, flaw in listed
    ]
    output.table(["ID", "USER", "LABEL", "SCOPES", "EXPIRES", "LAST USED", "STATE"], rows)


@apikey.command()
@click.argument("identifier", metavar="ID")
@config_option
@output_options
def revoke(identifier: str, config: str | None, output: Output) -> None:
    """Take a key back; a running server refuses it with the next request.

    \b
    Example:
      zot apikey revoke 46a45ce7-5d92-498a-a9cb-9654b1da3da1
    """
    chosen = read(config, output)
    require_store(chosen)
    keys, _ = _open(chosen, open_to_change(chosen, output))
    # Whose it was is known only before it is gone.
    user = next((key.user for key in keys.all() if key.uuid == identifier), "")
    if not keys.revoke(identifier):
        output.failure(f"there is no API key {identifier}", "zot apikey list shows them all")
        sys.exit(1)
    note_change("zot apikey revoke", "DELETE", f"/zot/auth/apikey?id={identifier}", "", "revoked", f"a key of {user}")
    if output.json:
        output.document({"id": identifier, "isRevoked": True})
        return
    output.note(f"{identifier} is revoked")


def _open(config: Config, stores: Stores) -> tuple[ApiKeys, Authority]:
    storage = stores.default.storage
    keys = ApiKeys(storage, paths.API_KEYS)
    opener = Opener(1, keys, Sessions(storage, paths.SESSIONS), partial(People, storage, paths.PEOPLE))
    return keys, opener.open(config.http)


def _find(user: str, directories: Mapping[str, Directory]) -> tuple[Account, str]:
    """Return a user's account, and who vouches for it; leave with an error if nobody does."""
    for origin, directory in directories.items():
        try:
            account = directory.account(user)
        except Unavailable as error:
            raise StartupError(error.reason, "try again") from None
        if account is not None:
            return account, origin
    if not directories:
        raise StartupError(
            "no login has users who may have API keys", "add htpasswd, ldap or openid to http.auth first"
        )
    raise StartupError(f"nobody knows a user {user!r} ({', '.join(directories)})", "add them first")


def _until(expires: str | None) -> datetime | None:
    """Return when a key ends. Raises `ValueError`."""
    if expires is None:
        return None
    match = re.fullmatch(r"(\d{1,5})([mhdw])", expires)
    try:
        if match:
            until: datetime | None = now() + int(match[1]) * _UNITS[match[2]]
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", expires):
            # The whole day is meant, where the command runs.
            until = (datetime.fromisoformat(expires) + timedelta(days=1)).astimezone()
        else:
            until = read_date(expires or "nothing")
    except (ValueError, OverflowError):
        raise ValueError(
            f"--expires {expires}: write 90d (or m, h, w), a last day as 2027-08-28, or a time with its zone: {FORMS}"
        ) from None
    if until is not None and until <= now():
        raise ValueError(f"--expires {expires} is over already")
    return until


def _idle(scopes: Iterable[str]) -> list[str]:
    """Return the scopes that narrow nothing. Raises `ValueError` for those that can't narrow."""
    return [scope for scope in scopes if parse_scope(scope) is None]


def _flaw(key: Key, login: KeyLogin) -> str:
    """Return why a key is worth nothing; nothing while it is good."""
    try:
        return key.flaw(None if key.is_expired else login.account(key))
    except Unavailable:
        return f"{_UNKNOWN}, as {key.origin} can't be asked"


def _scopes(key: Key) -> str:
    """Return the scopes; those that narrow nothing are marked."""
    idle = _idle(key.scopes or ())
    return " ".join(f"{scope} (narrows nothing)" if scope in idle else scope for scope in key.scopes or ()) or "-"


def _last_use(key: Key) -> str:
    return _when(key.last_used) or "-"


def _expiry(key: Key) -> str:
    return _when(key.expires) or "never"


def _when(moment: datetime | None) -> str | None:
    """Return a time as all commands tell it; None if there is none."""
    return None if moment is None else when(moment.timestamp())


def _document(key: Key, flaw: str) -> dict[str, object]:
    """Return what is printed of a key as JSON; `state` is `good`, or why it is not.

    As over HTTP, a key that ended with a change of the login is shown as expired; one of which nobody can tell is not.
    Names are those of zot's API too, but for its `uuid`; times are those of all commands, and what never was is null.
    """
    is_void = bool(flaw) and not flaw.startswith(_UNKNOWN)
    described = {name: value for name, value in key.describe().items() if name != "uuid"}
    times = {"createdAt": key.created, "expirationDate": key.expires, "lastUsed": key.last_used}
    shown = {"user": key.user, "origin": key.origin, "state": flaw or "good", "isExpired": key.is_expired or is_void}
    return {"id": key.uuid} | described | {name: _when(moment) for name, moment in times.items()} | shown
