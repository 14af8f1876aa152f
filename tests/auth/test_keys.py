"""API keys at rest: what is kept, found, listed, narrowed and taken back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers import wait_until
from zot.auth import keys as module
from zot.auth.accounts import Account
from zot.auth.actions import Action
from zot.auth.dates import NEVER, now, read_date, write_date
from zot.auth.key_login import KeyLogin
from zot.auth.keys import ApiKeys, Wanted, is_secret
from zot.auth.principal import Via
from zot.auth.scopes import narrowing, parse_scope
from zot.errors import Denied, Unauthorized
from zot.registry import paths
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Storage


@pytest.fixture(params=["filesystem", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty store."""
    if request.param == "memory":
        return Memory()
    driver = Filesystem(str(tmp_path / "root"), private=paths.PRIVATE)
    driver.start()
    return driver


@pytest.fixture
def keys(storage: Storage) -> ApiKeys:
    """The keys of it."""
    return ApiKeys(storage, paths.API_KEYS)


class People:
    """Vouches for some."""

    origin = "people"
    stamp = ""

    def __init__(self, **groups: set[str]) -> None:
        self.groups = groups

    def account(self, user: str) -> Account | None:
        """Return who is among them."""
        return Account(user, frozenset(self.groups[user]), self.stamp) if user in self.groups else None


def test_a_key(keys: ApiKeys) -> None:
    """A key is found by its secret only, listed to its user, and gone when it is revoked, in every process."""
    made, secret = keys.create(Account("alice"), "people", Wanted("ci", ("a", "b"), None, "curl"))
    assert is_secret(secret)
    assert keys.find(secret) == made
    assert keys.find(secret[:-1] + ("0" if secret[-1] != "0" else "1")) is None
    other, _ = keys.create(Account("bob"), "people", Wanted("x"))
    assert [key.uuid for key in keys.of("alice")] == [made.uuid]
    assert {key.uuid for key in keys.all()} == {made.uuid, other.uuid}
    assert list(keys.of("carol")) == []
    elsewhere = ApiKeys(keys._storage, paths.API_KEYS)
    assert not elsewhere.revoke(made.uuid, "bob")
    assert elsewhere.revoke(made.uuid, "alice")
    assert not elsewhere.revoke(made.uuid)
    assert keys.find(secret) is None
    assert [key.user for key in keys.all()] == ["bob"]
    assert keys.revoke(other.uuid)


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """No file of the store holds the secret of a key."""
    driver = Filesystem(str(tmp_path / "root"), private=paths.PRIVATE)
    driver.start()
    _, secret = ApiKeys(driver, paths.API_KEYS).create(Account("alice"), "people", Wanted("ci"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert secret.removeprefix("zak_").encode() not in path.read_bytes() + str(path).encode()


def test_the_last_use_is_noted_beside_the_request(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is used many times has its last use written once a minute, and a store that fails breaks nothing."""
    made, secret = keys.create(Account("alice"), "people", Wanted("ci"))
    written: list[str] = []
    write = keys._storage.write

    def watched(key: str, document: bytes, **more: bool) -> None:
        written.append(key)
        write(key, document, **more)

    monkeypatch.setattr(keys._storage, "write", watched)
    for _ in range(20):
        keys.note_use(secret)
    wait_until(lambda: next(iter(keys.of("alice"))).last_used, "the use is noted")
    assert len(written) == 1
    assert made.last_used is None


def test_too_many_keys(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user has a bounded number of keys."""
    monkeypatch.setattr(module, "MOST_PER_USER", 2)
    for _ in range(2):
        keys.create(Account("alice"), "people", Wanted("ci"))
    with pytest.raises(Denied):
        keys.create(Account("alice"), "people", Wanted("ci"))
    keys.create(Account("bob"), "people", Wanted("ci"))


def test_a_login_with_a_key(keys: ApiKeys) -> None:
    """A key logs in its user only, with the groups of now, while it is good and the user is there."""
    people = People(alice={"devs"}, bob=set())
    login = KeyLogin(keys, {"people": people})
    made, secret = keys.create(Account("alice"), "people", Wanted("ci", ("a/*:read", "plain")))
    found = login.judge("alice", secret)
    assert (found.name, found.via, found.origin, found.key) == ("alice", Via.KEY, "people", made.uuid)
    assert found.groups == {"devs"}
    assert found.stays_within(Action.READ, "a/x")
    assert not found.stays_within(Action.CREATE, "a/x")
    assert not found.stays_within(Action.READ, "b")
    for user, other in (("bob", secret), ("alice", "zak_" + "0" * 32)):
        with pytest.raises(Unauthorized, match="is wrong"):
            login.judge(user, other)
    people.groups["alice"] = {"others"}
    assert login.judge("alice", secret).groups == {"others"}
    del people.groups["alice"]
    with pytest.raises(Unauthorized, match="no user"):
        login.judge("alice", secret)
    with pytest.raises(Unauthorized, match="no user"):
        KeyLogin(keys, {}).judge("alice", secret)


def test_a_revoked_key_is_known_for_a_while(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log, and never the answer, says which key was revoked and when, until that is long ago."""
    made, secret = keys.create(Account("alice"), "people", Wanted("ci"))
    keys.create(Account("alice"), "people", Wanted("other"))
    assert keys.revocation(secret) == ""
    keys.revoke(made.uuid)
    assert keys.forget_revoked() == 0
    with pytest.raises(Unauthorized) as refused:
        KeyLogin(keys, {"people": People(alice=set())}).judge("alice", secret)
    assert refused.value.because.startswith(f"API key {made.uuid} was revoked at 20")
    assert made.uuid not in str(refused.value.document())
    monkeypatch.setattr(module, "now", lambda: datetime.now(UTC) + timedelta(days=91))
    assert keys.forget_revoked() == 1
    assert keys.revocation(secret) == ""


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"uuid": "x", "at": 1}', b'{"uuid": "x", "at": "soon"}'])
def test_a_damaged_mark_of_a_revoked_key_is_dropped(keys: ApiKeys, damage: bytes) -> None:
    """Whoever shows the key is told what everybody is told, and the leader does away with the mark."""
    made, secret = keys.create(Account("alice"), "people", Wanted("ci"))
    keys.revoke(made.uuid)
    (mark,) = keys._storage.list(f"{keys._prefix}/revoked")
    keys._storage.write(f"{keys._prefix}/revoked/{mark}", damage)
    with pytest.raises(Unauthorized):
        KeyLogin(keys, {"people": People(alice=set())}).judge("alice", secret)
    assert keys.forget_revoked() == 1


def test_a_key_dies_with_the_login_that_it_was_made_with(keys: ApiKeys) -> None:
    """A key of an account with another stamp is refused, with the reason and what to do; a later one is good."""
    people = People(alice=set())
    login = KeyLogin(keys, {"people": people})
    people.stamp = "one"
    _, early = keys.create(people.account("alice") or Account(""), "people", Wanted("ci"))
    assert login.judge("alice", early)
    for changed in ("two", ""):
        people.stamp = changed
        with pytest.raises(Unauthorized, match="login of 'alice' has changed") as refused:
            login.judge("alice", early)
        assert "make a new key" in str(refused.value.document())
    _, late = keys.create(people.account("alice") or Account(""), "people", Wanted("ci"))
    assert login.judge("alice", late)


def test_a_key_without_a_stamp(keys: ApiKeys, storage: Storage) -> None:
    """A key from before there were stamps is good only where nobody has one."""
    people = People(alice=set())
    _, secret = keys.create(Account("alice"), "people", Wanted("ci"))
    (name,) = storage.list(f"{paths.API_KEYS}/by-hash")
    at = f"{paths.API_KEYS}/by-hash/{name}"
    document = json.loads(storage.read(at))
    del document["stamp"]
    storage.write(at, json.dumps(document).encode())
    assert KeyLogin(keys, {"people": people}).judge("alice", secret)
    people.stamp = "one"
    with pytest.raises(Unauthorized, match="has changed"):
        KeyLogin(keys, {"people": people}).judge("alice", secret)


def test_a_key_that_has_expired(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is good until its date and not from then on."""
    until = now() + timedelta(hours=1)
    made, secret = keys.create(Account("alice"), "people", Wanted("ci", expires=until))
    login = KeyLogin(keys, {"people": People(alice=set())})
    assert login.judge("alice", secret)
    assert not made.is_expired
    monkeypatch.setattr(module, "now", lambda: until)
    with pytest.raises(Unauthorized, match="expired") as refused:
        login.judge("alice", secret)
    assert refused.value.because == f"API key {made.uuid}: it has expired"


@pytest.mark.parametrize("text", ["repo1", "a/b", "read", ""])
def test_a_plain_scope_narrows_nothing(text: str) -> None:
    """A scope without a colon, as in zot's manual, is kept and shown."""
    assert parse_scope(text) is None
    assert narrowing([text]) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:pull", "'pull' is none of read, create, update, delete"),
        ("a:", "is none of"),
        ("a:read,", "is none of"),
        ("a:detectManifestCollision", "is none of"),
        (":read", "pattern"),
        ("a:create", "create needs read too"),
        ("a:read,update", "update needs create too"),
        ("a:delete", "delete needs read too"),
        ("{a,b}:read", "too involved"),
        ("**/**/**/**/**/a:read", "too involved"),
        ("a" * 300, "at most"),
    ],
)
def test_a_scope_that_can_not_narrow_is_refused(text: str, problem: str) -> None:
    """A scope that means to narrow a key and could not is refused, with a reason, rather than kept as a plain one."""
    with pytest.raises(ValueError, match=problem):
        parse_scope(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-08-28T17:10:05+03:00", "2027-08-28T17:10:05+03:00"),
        ("2027-08-28T17:10:05Z", "2027-08-28T17:10:05Z"),
        ("2027-08-28T17:10:05.259-08:00", "2027-08-28T17:10:05.259000-08:00"),
        ("Sat, 28 Aug 2027 17:10:05 +0300", "2027-08-28T17:10:05+03:00"),
        (NEVER, NEVER),
        ("", NEVER),
    ],
)
def test_dates(text: str, expected: str) -> None:
    """Dates are read in RFC 3339 and RFC 1123Z, and written in RFC 3339 in the zone they had."""
    assert write_date(read_date(text)) == expected


@pytest.mark.parametrize(
    "text", ["tomorrow", "2027-08-28", "2027-08-28T17:10:05", "2027-13-01T00:00:00Z", "9" * 60, "Sat"]
)
def test_what_is_no_date(text: str) -> None:
    """Other texts, and dates without a zone, are refused; whoever asked is told how to write one."""
    with pytest.raises(ValueError, match="is no date"):
        read_date(text)


def test_dates_are_compared_across_zones() -> None:
    """A date is a moment, whatever its zone."""
    assert read_date("2027-08-28T17:10:05+03:00") == datetime(2027, 8, 28, 14, 10, 5, tzinfo=UTC)
