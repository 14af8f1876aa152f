"""Sessions at rest, and whose page a request comes from."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.auth.test_keys import People
from zot.auth import sessions as module
from zot.auth.accounts import Account
from zot.auth.origins import Origins
from zot.auth.principal import Credentials, Via
from zot.auth.sessions import IDLE_SECONDS, LONGEST_SECONDS, SessionLogin, Sessions
from zot.registry import paths
from zot.storage.filesystem import Filesystem


@pytest.fixture
def storage(tmp_path: Path) -> Filesystem:
    """An empty store."""
    driver = Filesystem(str(tmp_path / "root"), private=paths.PRIVATE)
    driver.start()
    return driver


@pytest.fixture
def sessions(storage: Filesystem) -> Sessions:
    """The sessions of it."""
    return Sessions(storage, paths.SESSIONS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands, in a list of one."""
    standing = [time.time()]
    monkeypatch.setattr(time, "time", lambda: standing[0])
    return standing


def documents(storage: Filesystem) -> list[str]:
    """Return the documents of all sessions, each user's from the oldest on."""
    owners = storage.list(f"{paths.SESSIONS}/of")
    return [f"{owner}/{name}" for owner in owners for name in storage.list(f"{paths.SESSIONS}/of/{owner}")]


def test_a_session(sessions: Sessions, storage: Filesystem) -> None:
    """A cookie stands for a user in every process, until the session is ended in any of them."""
    cookie = sessions.begin(Account("alice"), "people")
    elsewhere = Sessions(storage, paths.SESSIONS)
    found = elsewhere.find(cookie)
    assert found is not None
    assert (found.user, found.origin) == ("alice", "people")
    assert sessions.begin(Account("alice"), "people") != cookie
    elsewhere.end(cookie)
    assert sessions.find(cookie) is None


@pytest.mark.parametrize("change", ["", ".", "x", "no dot", "ä.ö", "\udc80.x"])
def test_cookies_that_were_not_given(sessions: Sessions, change: str) -> None:
    """What this registry did not give, or what was altered, stands for nobody, and ending it harms nobody."""
    cookie = sessions.begin(Account("alice"), "people")
    secret, _, signature = cookie.rpartition(".")
    for wrong in (change, f"{secret}.{'0' * 64}", secret, f"{secret}.", f".{signature}", f"{secret[:-1]}.{signature}"):
        assert sessions.find(wrong) is None
        sessions.end(wrong)
    assert sessions.find(cookie)


def test_the_store_gives_nobody_a_session(sessions: Sessions, tmp_path: Path) -> None:
    """Neither cookie nor secret is in any file: who reads the store can't use the sessions in it."""
    cookie = sessions.begin(Account("alice"), "people")
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes() + str(path).encode()
        assert not any(part.encode() in content for part in cookie.split(".")[2:])


def test_keys_that_sign(sessions: Sessions) -> None:
    """With the same key cookies are good after a restart, with another one they are void."""
    cookie = sessions.signed_with(b"one").begin(Account("alice"), "people")
    assert sessions.signed_with(b"one").find(cookie)
    assert sessions.signed_with(b"two").find(cookie) is None
    assert sessions.find(cookie) is None


def test_time_runs_out(sessions: Sessions, clock: list[float]) -> None:
    """A session that is used goes on for twelve hours, one that is not ends after two; writing is rare."""
    cookie = sessions.begin(Account("alice"), "people")
    for _ in range(int(LONGEST_SECONDS / 3600) - 1):
        clock[0] += 3600
        assert sessions.find(cookie)
    clock[0] += 3601
    assert sessions.find(cookie) is None
    idle = sessions.begin(Account("alice"), "people")
    clock[0] += IDLE_SECONDS + 1
    assert sessions.find(idle) is None
    assert sessions.sweep() == 2
    assert sessions.sweep() == 0


def test_a_session_in_use_is_written_rarely(
    sessions: Sessions, clock: list[float], monkeypatch: pytest.MonkeyPatch, storage: Filesystem
) -> None:
    """A session that is used all the time is written every ten minutes, and never again once it was ended."""
    cookie = sessions.begin(Account("alice"), "people")
    updates: list[str] = []
    update = storage.update

    def watched(key: str, change: object) -> None:
        updates.append(key)
        update(key, change)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "update", watched)
    for _ in range(60):
        clock[0] += 60
        assert sessions.find(cookie)
    assert len(updates) == 6
    clock[0] += 601
    monkeypatch.setattr(sessions, "_read", lambda at: module.Session(**json.loads(storage.read(at))))
    document = storage.read(updates[0])
    sessions.end(cookie)
    monkeypatch.setattr(sessions, "_read", lambda _: module.Session(**json.loads(document)))
    sessions.find(cookie)
    assert documents(storage) == []


def test_a_program_that_logs_in_again_and_again(sessions: Sessions, clock: list[float], storage: Filesystem) -> None:
    """The same client with the same user gets the same session for a while, unless it was ended; others do not."""
    first = sessions.begin_or_again(Account("alice"), "people", "curl")
    assert sessions.begin_or_again(Account("alice"), "people", "curl") == first
    others = {
        sessions.begin_or_again(Account("alice", stamp="another password"), "people", "curl"),
        sessions.begin_or_again(Account("bob"), "people", "curl"),
        sessions.begin_or_again(Account("alice"), "people", "wget"),
        sessions.begin_or_again(Account("alice"), "else", "curl"),
    }
    assert len(others | {first}) == 5
    sessions.end(first)
    second = sessions.begin_or_again(Account("alice"), "people", "curl")
    assert second != first
    clock[0] += 700
    assert sessions.begin_or_again(Account("alice"), "people", "curl") != second


def test_a_session_dies_with_its_user(sessions: Sessions) -> None:
    """CVE-2025-23208: a session has the groups that its user has now, and none when the user is gone."""
    people = People(alice={"g1", "g2"})
    login = SessionLogin(sessions, {"people": people})
    credentials = Credentials(session=sessions.begin(Account("alice"), "people"))
    found = login.authenticate(credentials)
    assert found is not None
    assert (found.name, found.via, found.groups) == ("alice", Via.SESSION, frozenset({"g1", "g2"}))
    people.groups["alice"] = {"g1"}
    later = login.authenticate(credentials)
    assert later is not None
    assert later.groups == {"g1"}
    del people.groups["alice"]
    assert login.authenticate(credentials) is None
    assert SessionLogin(sessions, {}).authenticate(credentials) is None
    assert login.authenticate(Credentials()) is None


@pytest.mark.parametrize(("then", "now"), [("one", "two"), ("one", ""), ("", "two")])
def test_a_session_dies_with_the_login_that_it_began_with(sessions: Sessions, then: str, now: str) -> None:
    """A session of an account with another stamp is nobody's: the password was changed, or the name given away."""
    people = People(alice=set())
    people.stamp = then
    login = SessionLogin(sessions, {"people": people})
    credentials = Credentials(session=sessions.begin(Account("alice", stamp=then), "people"))
    assert login.authenticate(credentials)
    people.stamp = now
    assert login.authenticate(credentials) is None


def test_a_user_has_a_bounded_number_of_sessions(
    sessions: Sessions, storage: Filesystem, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever begins one too many ends their oldest one, and nobody else's; whoever uses one lists nothing."""
    monkeypatch.setattr(module, "MOST_PER_USER", 3)
    theirs = sessions.begin(Account("bob"), "people")
    cookies = []
    for _ in range(5):
        clock[0] += 1
        cookies.append(sessions.begin(Account("alice"), "people"))
    monkeypatch.setattr(storage, "list", lambda *_: pytest.fail("a request lists"))
    assert [sessions.find(cookie) is not None for cookie in cookies] == [False, False, True, True, True]
    assert sessions.find(theirs)


def test_a_sweep_leaves_nothing_of_who_is_gone(sessions: Sessions, storage: Filesystem, clock: list[float]) -> None:
    """The sessions that are over go with what held them, the others stay."""
    sessions.begin(Account("alice"), "people")
    clock[0] += LONGEST_SECONDS
    cookie = sessions.begin(Account("bob"), "people")
    assert sessions.sweep() == 1
    assert len(documents(storage)) == len(list(storage.list(f"{paths.SESSIONS}/of"))) == 1
    assert sessions.find(cookie)


OWN = {"method": "POST", "host": "zot.example:5000"}


@pytest.mark.parametrize(
    ("shown", "foreign"),
    [
        ({}, False),
        ({"origin": "https://zot.example:5000"}, False),
        ({"origin": "http://ZOT.example:5000", "site": "same-origin"}, False),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "https://zot.example:5000.evil.example"}, True),
        ({"origin": "https://zot.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://[bad"}, True),
        ({"origin": "https://evil.example", "site": "same-origin"}, True),
        ({"site": "cross-site"}, True),
        ({"site": "same-site"}, True),
        ({"site": "none"}, False),
        ({"origin": "https://ui.example"}, False),
        ({"origin": "https://outside.example", "method": "GET", "site": "cross-site"}, False),
        ({"origin": "https://outside.example", "method": "DELETE"}, True),
    ],
)
def test_whose_page(shown: dict[str, str], foreign: bool) -> None:
    """A request that changes something is refused if a page of another origin sends it, listed ones excepted."""
    assert Origins(["https://ui.example", "", "*"]).is_foreign(Credentials(**(OWN | shown))) is foreign  # type: ignore[arg-type]
