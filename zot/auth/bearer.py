"""Tokens of an external token server, as docker's registries take them (distribution's "Token Authentication").

A client without a token is told where to get one, and for what; it comes back with a signed token that says what it may
do where. The token server knows the users; here only its public key is known.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zot.auth.actions import Action, Actions
from zot.auth.principal import Credentials, Principal, Scope, Via
from zot.auth.signatures import Claims, Keys, TokenError, read_keys
from zot.errors import NameInvalid, StartupError, Unauthorized
from zot.oci import names
from zot.oci.globs import compile_glob, exactly

log = logging.getLogger(__name__)

# Clocks may differ by so many seconds.
_LEEWAY = 10
_LONGEST_NAME = 256
# No time is so far away, in seconds; the years of five digits end before.
_LAST = 1e13
# What the words of a token allow here.
_WORDS: dict[str, Actions] = {
    "pull": frozenset({Action.READ}),
    "push": frozenset({Action.CREATE, Action.UPDATE}),
    "delete": frozenset({Action.DELETE}),
    "*": frozenset({Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE, Action.DETECT}),
}
# What a client is told to ask for. Who pushes or deletes looks first.
_ASKED = {
    Action.READ: "pull",
    Action.CREATE: "pull,push",
    Action.UPDATE: "pull,push",
    Action.DELETE: "pull,delete",
}
_CATALOG = Scope(compile_glob("**"), frozenset({Action.LIST}))

Stamp = tuple[int, int, int]


class Bearer:
    """The authenticator. The file of keys is read again whenever it has changed.

    Raises `StartupError` if the file can't be used.
    """

    def __init__(self, file: str, service: str, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._service = service
        self._clock = clock
        self._reading = threading.Lock()
        self._stamp: Stamp | None
        try:
            self._stamp = _stamp(file)
            self._keys = _read(file)
        except OSError as error:
            problem = f"http.auth.bearer.cert {file} can't be read: {os.strerror(error.errno or 0)}"
            raise StartupError(problem, "name a file that is there") from error
        except ValueError as error:
            remedy = "give the token server's certificate or public key in PEM, or its key set"
            raise StartupError(f"http.auth.bearer.cert {file}: {error}", remedy) from error

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return whom the token in the header is for; None for another kind of header. Raises `Unauthorized`."""
        header = credentials.authorization
        if header[:7].lower() != "bearer ":
            return None
        try:
            claims = self._current().open(header[7:].strip()).claims
            self._check(claims)
            return Principal(_subject(claims), frozenset(), Via.TOKEN, "bearer", _scopes(claims))
        except TokenError as error:
            raise Unauthorized(
                f"the token can't be believed: {error}", "get a new one where the answer says"
            ) from error

    def _check(self, claims: Claims) -> None:
        """Raise `TokenError` unless the token is for this service and for now."""
        audience = claims.get("aud")
        if self._service not in (audience if isinstance(audience, list) else [audience]):
            raise TokenError(f"its aud is not {self._service!r}")
        now = self._clock()
        if _time(claims, "exp") <= now - _LEEWAY:
            raise TokenError("it has expired")
        if "nbf" in claims and _time(claims, "nbf") > now + _LEEWAY:
            raise TokenError("it is not valid yet")

    def _current(self) -> Keys:
        """Return what the file holds now; while that can't be used, what it held last."""
        try:
            stamp: Stamp | None = _stamp(self._file)
        except OSError:
            stamp = None
        if stamp != self._stamp:
            with self._reading:
                self._take(stamp)
        return self._keys

    def _take(self, stamp: Stamp | None) -> None:
        """Read the file, once for each of its states."""
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = _read(self._file)
        except (OSError, ValueError) as error:
            log.warning("%s can't be used, and the keys that it held last stay: %s", self._file, error)


def challenge(realm: str, service: str) -> Callable[[Action, str | None, str], Mapping[str, str]]:
    """Return what tells a client where to get a token (RFC 6750), for what it tried to do."""

    def header(action: Action, repository: str | None, error: str) -> Mapping[str, str]:
        said = {"realm": realm, "service": service}
        if repository is not None and action in _ASKED:
            said["scope"] = f"repository:{repository}:{_ASKED[action]}"
        elif action is Action.LIST:
            said["scope"] = "registry:catalog:*"
        if error:
            said["error"] = error
        return {"WWW-Authenticate": "Bearer " + ",".join(f"{name}={json.dumps(value)}" for name, value in said.items())}

    return header


def _subject(claims: Claims) -> str:
    """Return the user's name; it may be empty: token servers give tokens to the anonymous too."""
    subject = claims.get("sub", "")
    if not isinstance(subject, str) or len(subject) > _LONGEST_NAME or not subject.isprintable():
        raise TokenError("its sub is no name")
    return subject


def _time(claims: Claims, name: str) -> float:
    found = claims.get(name)
    # Beyond that, and with what is no number, comparisons mean nothing.
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < _LAST:
        raise TokenError(f"it does not say its {name}")
    return float(found)


class _Entry(NamedTuple):
    kind: str
    name: str
    words: list[Any]


def _scopes(claims: Claims) -> tuple[Scope, ...]:
    """Return what the token grants, of what is known here."""
    access = claims.get("access")
    if not isinstance(access, list | None):
        raise TokenError("its access is no list")
    scopes = []
    for one in access or []:
        entry = _entry(one)
        actions = frozenset[Action]().union(*(_WORDS.get(word, frozenset()) for word in entry.words))
        if entry.kind == "repository" and _is_repository(entry.name):
            scopes.append(Scope(exactly(entry.name), actions))
        elif (entry.kind, entry.name) == ("registry", "catalog") and "*" in entry.words:
            scopes.append(_CATALOG)
    return tuple(scopes)


def _entry(one: Any) -> _Entry:
    if not isinstance(one, dict):
        raise TokenError("its access has an entry that is no object")
    kind, name, words = one.get("type"), one.get("name"), one.get("actions")
    words = [] if words is None else words
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(words, list)):
        raise TokenError("its access has an entry without type, name and actions")
    return _Entry(kind, name, [word for word in words if isinstance(word, str)])


def _is_repository(name: str) -> bool:
    """Tell whether this names one repository: a pattern grants nothing."""
    try:
        names.check_repository(name)
    except NameInvalid:
        return False
    return True


def _stamp(file: str) -> Stamp:
    found = os.stat(file)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(file: str) -> Keys:
    with open(file, "rb") as opened:
        return read_keys(opened.read())
