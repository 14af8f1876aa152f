"""Whoever is taken away loses what they have within the time that docs/authentication.md promises.

Always three proofs at once: the password, a session that began before, and an API key that was made before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.auth.slapd import ADMIN, DEVS, PEOPLE, Slapd
from tests.certificates import replace
from tests.clock import JumpingClock, jumping_clock
from tests.provider import provider
from tests.server.test_logins import basic, write_config, write_users
from tests.server.test_openid import Browser
from tests.server.test_openid import settings as openid_settings
from tests.servers import REPOSITORY, running_server
from zot.auth import ldap, opening, people
from zot.auth.sessions import IDLE_SECONDS, LONGEST_SECONDS

Proofs = dict[str, dict[str, str]]
Ask = Callable[..., tuple[int, dict[str, str], bytes]]
HOUR = 3600
PROTECTED = "/v2/team/app/tags/list"
MANUAL = (REPOSITORY / "docs/authentication.md").read_text()


def proofs(ask: Ask, user: str, password: str) -> Proofs:
    """Log in, and make a key; returns the headers of each proof."""
    header = basic(user, password)
    status, headers, _ = ask("GET", "/v2/", headers=header)
    assert status == 200
    status, _, body = ask("POST", "/zot/auth/apikey", b'{"label": "x"}', header)
    assert status == 201
    return {
        "password": header,
        "session": {"Cookie": headers["set-cookie"].partition(";")[0]},
        "key": basic(user, json.loads(body)["apiKey"]),
    }


def statuses(ask: Ask, shown: Proofs, path: str = PROTECTED) -> dict[str, set[int]]:
    """Return what each proof is answered, often enough that every worker is asked."""
    return {name: {ask("GET", path, headers=headers)[0] for _ in range(8)} for name, headers in shown.items()}


def all_of(shown: Proofs, status: int) -> dict[str, set[int]]:
    """Return what `statuses` does if every proof is answered in one way."""
    return {name: {status} for name in shown}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> JumpingClock:
    """The clock of servers in these tests."""
    return jumping_clock(monkeypatch, tmp_path, ("zot.auth",))


def test_the_manual_says_the_times_that_hold() -> None:
    """The times in the manual are those of the code."""
    said = " ".join(MANUAL.split())
    assert "What the directory said about a user is believed for a minute" in said
    assert ldap.REMEMBER_SECONDS <= 60
    assert "A right password is remembered for a minute" in said
    assert opening._REMEMBER <= 60
    assert "what it said at the last login holds for 30 days" in said
    assert people.BELIEVED_SECONDS <= 30 * 24 * 3600
    assert "two hours without use" in said
    assert (IDLE_SECONDS, LONGEST_SECONDS) == (2 * 3600, 12 * 3600)


def test_from_htpasswd(tmp_path: Path) -> None:
    """Whoever is taken out of the file, or gets another password, is out with the next request on every worker."""
    file = tmp_path / "htpasswd"
    write_users(file, alice="alices", bob="bobs", carol="carols")
    with running_server(tmp_path, "--workers", "3", config=write_config(tmp_path, auth={"apikey": True})) as server:
        alice, bob, carol = (proofs(server.request, user, f"{user}s") for user in ("alice", "bob", "carol"))
        for shown in (alice, bob, carol):
            assert statuses(server.request, shown) == all_of(shown, 404)
        untouched = file.read_text().splitlines()[2]
        write_users(file, bob="another")
        replace(file, f"{file.read_text()}{untouched}\n".encode())
        for shown in (alice, bob):
            # Passwords are checked anew each time, so of many wrong ones some are told to come later.
            found = statuses(server.request, shown)
            assert {name: those - {429} for name, those in found.items()} == all_of(shown, 401)
        assert statuses(server.request, carol) == all_of(carol, 404)
        again = proofs(server.request, "bob", "another")
        assert statuses(server.request, again) == all_of(again, 404)


def _ldap_settings(slapd: Slapd) -> dict[str, Any]:
    section = {
        "address": "127.0.0.1", "port": slapd.port, "baseDN": PEOPLE, "userAttribute": "uid",
        "userGroupAttribute": "memberOf", "bindDN": ADMIN, "bindPassword": "adminpw",
    }  # fmt: skip
    rules = {"policies": [{"groups": [DEVS], "actions": ["read"]}]}
    control = {"repositories": {"team/**": rules}}
    return {"http": {"port": 0, "auth": {"ldap": section, "apikey": True}, "accessControl": control}}


@pytest.mark.e2e
def test_from_a_group_and_from_the_directory(slapd: Slapd, clock: JumpingClock, tmp_path: Path) -> None:
    """Out of the group, a user may no more do what the group may, after a minute; out of the directory, nothing."""
    person = f"uid=leaving,{PEOPLE}"
    rest = "objectClass: inetOrgPerson\nuid: leaving\ncn: leaving\nsn: x\nuserPassword: leavings\n"
    slapd.change("ldapadd", f"dn: {person}\n{rest}")
    slapd.change("ldapmodify", f"dn: {DEVS}\nchangetype: modify\nadd: member\nmember: {person}\n")
    with running_server(tmp_path, "--workers", "2", settings=_ldap_settings(slapd)) as server:
        shown = proofs(server.request, "leaving", "leavings")
        assert statuses(server.request, shown) == all_of(shown, 404)
        slapd.change("ldapmodify", f"dn: {DEVS}\nchangetype: modify\ndelete: member\nmember: {person}\n")
        clock.jump(61)
        assert statuses(server.request, shown) == all_of(shown, 403)
        slapd.change("ldapmodify", f"dn: {person}\nchangetype: delete\n")
        clock.jump(122)
        found = statuses(server.request, shown)
        # Passwords that are wrong by now are checked one after the other.
        assert {name: those - {429} for name, those in found.items()} == all_of(shown, 401)


def test_at_a_provider(clock: JumpingClock, tmp_path: Path) -> None:
    """Who never comes back from the provider: the session ends within hours, the key after thirty days, everywhere."""
    with (
        provider() as idp,
        running_server(tmp_path, "--workers", "3", settings=openid_settings(idp)) as server,
    ):
        browser = Browser()
        assert browser.log_in(server)[0] == 201
        _, _, body = browser.ask(f"{server.url}/zot/auth/apikey", "POST", b'{"label": "x"}')
        session = {"Cookie": f"session={browser.cookies['session']}"}
        shown = {"session": session, "key": basic("alice@example.org", json.loads(body)["apiKey"])}
        path = "/v2/devs/app/tags/list"
        assert statuses(server.request, shown, path) == {"session": {404}, "key": {404}}
        clock.jump(2 * HOUR + 1)
        assert statuses(server.request, shown, path) == {"session": {401}, "key": {404}}
        clock.jump(30 * 24 * HOUR - HOUR)
        assert statuses(server.request, shown, path) == {"session": {401}, "key": {404}}
        clock.jump(30 * 24 * HOUR + HOUR)
        assert statuses(server.request, shown, path) == {"session": {401}, "key": {401}}


def test_a_session_in_use_ends_after_twelve_hours(clock: JumpingClock, tmp_path: Path) -> None:
    """A session that is used every hour goes on for twelve hours, on every worker, and then it is over."""
    write_users(tmp_path / "htpasswd", alice="alices")
    with running_server(tmp_path, "--workers", "3", config=write_config(tmp_path, auth={"apikey": True})) as server:
        session = {"session": proofs(server.request, "alice", "alices")["session"]}
        for hour in range(12):
            clock.jump(hour * HOUR)
            assert statuses(server.request, session) == {"session": {404}}
        clock.jump(12 * HOUR + 1)
        assert statuses(server.request, session) == {"session": {401}}
