"""Names and passwords: what is asked, remembered, refused and held up."""

from __future__ import annotations

import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.servers import PATIENCE
from zot.auth.accounts import Account
from zot.auth.basic import Basic, tried_user
from zot.auth.principal import Credentials, Via
from zot.auth.remembered import Remembered
from zot.auth.throttle import BY_ADDRESS, BY_ADDRESS_AND_USER, FailDelay, Queue, Throttle, network
from zot.errors import TooManyRequests, Unauthorized, Unavailable


class Clock:
    """A clock that stands."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Source:
    """Knows some users, and counts what it is asked."""

    def __init__(self, origin: str, users: dict[str, str], groups: frozenset[str] = frozenset()) -> None:
        self.origin = origin
        self.users = users
        self.groups = groups
        self.asked = 0
        self.changes = 0
        self.reachable = True

    def check(self, user: str, password: str) -> Account | None:
        """Answer."""
        self.asked += 1
        if not self.reachable:
            raise Unavailable("it is away", "wait")
        return Account(user, self.groups) if self.users.get(user) == password else None

    def account(self, user: str) -> Account | None:
        """Return who is known."""
        return Account(user, self.groups) if user in self.users else None

    def version(self) -> object:
        """Return the number of changes."""
        return self.changes


def basic(*sources: Source, clock: Clock | None = None, places: int = 8) -> Basic:
    """Make the authenticator."""
    clock = clock or Clock()
    return Basic(sources, Remembered(60, clock), Throttle(clock), Queue(places, 16))


def login(user: str, password: str, address: str = "192.0.2.1") -> Credentials:
    """Return the credentials of a name and a password."""
    return Credentials("Basic " + b64encode(f"{user}:{password}".encode()).decode(), address)


def test_the_first_that_says_yes() -> None:
    """Sources are asked in order; who is in both logs in with either password, as the user of whichever agreed."""
    first, second = (
        Source("ldap", {"alice": "a", "both": "1"}, frozenset({"g"})),
        Source("file", {"both": "2", "bob": "b"}),
    )
    judge = basic(first, second)
    for user, password, origin, groups in (
        ("alice", "a", "ldap", frozenset({"g"})),
        ("both", "1", "ldap", frozenset({"g"})),
        ("both", "2", "file", frozenset()),
        ("bob", "b", "file", frozenset()),
    ):
        found = judge.authenticate(login(user, password))
        assert found is not None
        assert (found.name, found.origin, found.groups, found.via) == (user, origin, groups, Via.PASSWORD)
    with pytest.raises(Unauthorized):
        judge.authenticate(login("alice", "b"))


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("alice", "alice"),
        ("a" * 65, "a" * 64),
        ("zak_" + "0" * 32, "(an API key)"),
        (" zak_" + "0" * 32, "(an API key)"),
        ("ZAK_" + "0aB1" * 8, "(an API key)"),
        ("a" * 70 + "zak_" + "0" * 32, "(an API key)"),
        ("zak_0", "(an API key)"),
        ("kozak_anna", "kozak_anna"),
        ("new\nline", ""),
        ("", ""),
    ],
)
def test_what_the_log_says_of_who_was_tried(user: str, told: str) -> None:
    """It is bounded and printable, and no key that was given as a name."""
    assert tried_user(login(user, "x").authorization) == told
    assert tried_user("Basic nonsense") == tried_user("Bearer x") == tried_user("") == ""


def test_one_that_is_away_is_passed_over() -> None:
    """With the first source unreachable users of the second get in; for others the answer is 503, and not "wrong"."""
    first, second = Source("ldap", {"alice": "a"}), Source("file", {"bob": "b"})
    judge = basic(first, second)
    first.reachable = False
    assert judge.authenticate(login("bob", "b"))
    for user, password in (("alice", "a"), ("bob", "wrong")):
        with pytest.raises(Unavailable):
            judge.authenticate(login(user, password))
    first.reachable = True
    assert judge.authenticate(login("alice", "a"))


def test_what_the_log_says_of_whom_a_source_was_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    """The warning that a source is away names who was tried as the log of requests does."""
    source = Source("ldap", {})
    source.reachable = False
    for user in ("zak_" + "0" * 32, "a" * 200):
        with pytest.raises(Unavailable):
            basic(source).authenticate(login(user, "x"))
    assert "'(an API key)'" in caplog.messages[0]
    assert "a" * 65 not in caplog.messages[1]


def test_right_is_remembered_and_wrong_is_not() -> None:
    """A right password is asked for once a minute and after each change of a source; a wrong one every time."""
    clock, source = Clock(), Source("file", {"alice": "a"})
    judge = basic(source, clock=clock)
    for _ in range(3):
        assert judge.authenticate(login("alice", "a"))
    assert source.asked == 1
    for expected in (2, 3):
        with pytest.raises(Unauthorized):
            judge.authenticate(login("alice", "A"))
        assert source.asked == expected
    clock.now += 61
    assert judge.authenticate(login("alice", "a"))
    assert source.asked == 4
    source.users = {}
    source.changes += 1
    with pytest.raises(Unauthorized):
        judge.authenticate(login("alice", "a"))


def test_requests_with_the_same_login_wait_for_one_check() -> None:
    """Clients that ask several things at once cost one check."""
    source = Source("file", {"alice": "a"})
    slow, begun = threading.Event(), threading.Event()
    real = source.check

    def check(user: str, password: str) -> Account | None:
        begun.set()
        slow.wait(PATIENCE)
        return real(user, password)

    source.check = check  # type: ignore[method-assign]
    judge = basic(source)
    with ThreadPoolExecutor(5) as pool:
        results = [pool.submit(judge.authenticate, login("alice", "a")) for _ in range(5)]
        begun.wait(PATIENCE)
        slow.set()
        assert all(result.result() for result in results)
    assert source.asked == 1


@pytest.mark.parametrize("text", ["", "alice", ":a", "alice:", ":", "al\nice:a", "alice:a\0", "al\x7fice:a"])
def test_what_is_no_login(text: str) -> None:
    """A header without a name, a password or a colon, or with control characters, is wrong and asks nobody."""
    source = Source("file", {"alice": "a"})
    with pytest.raises(Unauthorized):
        basic(source).authenticate(Credentials("Basic " + b64encode(text.encode()).decode(), ""))
    assert source.asked == 0


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic YTph,YTph", "Basic YTph YTph", "Basic YTp", "Basic ä"])
def test_what_is_no_base64(header: str) -> None:
    """A malformed header is refused; one without a space is of another kind."""
    if header == "Basic":
        assert basic(Source("file", {})).authenticate(Credentials(header)) is None
        return
    with pytest.raises(Unauthorized):
        basic(Source("file", {"a": "a"})).authenticate(Credentials(header))


@pytest.mark.parametrize("name", ["ünïcode", "名前"])
def test_names_in_other_letters(name: str) -> None:
    """Names in UTF-8 are taken, and in Latin-1 where they are not UTF-8."""
    assert basic(Source("file", {name: "a"})).authenticate(login(name, "a"))
    if name == "ünïcode":
        header = "basic " + b64encode(f"{name}:a".encode("latin-1")).decode()
        assert basic(Source("file", {name: "a"})).authenticate(Credentials(header))


def refused(judge: Basic, user: str, password: str, address: str) -> type[Exception] | None:
    """Return how a login is refused."""
    try:
        judge.authenticate(login(user, password, address))
    except (Unauthorized, TooManyRequests) as error:
        return type(error)
    return None


def test_a_flood_against_one_user() -> None:
    """From one address so many failures for a user are judged; the user gets in from elsewhere, others from there."""
    clock, source = Clock(), Source("file", {"alice": "a", "bob": "b"})
    judge = basic(source, clock=clock)
    answers = [refused(judge, "alice", "wrong", "192.0.2.1") for _ in range(30)]
    burst = BY_ADDRESS_AND_USER.burst
    assert answers == [Unauthorized] * burst + [TooManyRequests] * (30 - burst)
    assert source.asked == burst
    assert refused(judge, "alice", "a", "192.0.2.1") is TooManyRequests
    assert refused(judge, "alice", "a", "192.0.2.2") is None
    assert refused(judge, "bob", "b", "192.0.2.1") is None
    clock.now += BY_ADDRESS_AND_USER.seconds + 0.1
    assert refused(judge, "alice", "a", "192.0.2.1") is None


def test_a_flood_against_many_users() -> None:
    """From one address so many failures are judged in all; who logged in from there before still gets in."""
    clock, source = Clock(), Source("file", {"alice": "a", "bob": "b"})
    judge = basic(source, clock=clock)
    assert refused(judge, "alice", "a", "192.0.2.1") is None
    answers = [refused(judge, f"user{number}", "wrong", "192.0.2.1") for number in range(60)]
    assert answers == [Unauthorized] * BY_ADDRESS.burst + [TooManyRequests] * (60 - BY_ADDRESS.burst)
    clock.now += 61
    answers = [refused(judge, f"user{number}", "wrong", "192.0.2.1") for number in range(60)]
    assert refused(judge, "alice", "a", "192.0.2.1") is None
    assert refused(judge, "bob", "b", "192.0.2.1") is TooManyRequests
    assert refused(judge, "bob", "b", "192.0.2.2") is None


def test_few_wait() -> None:
    """No more threads check passwords than there are places, fewer for one address; the others are refused at once."""
    slow, source = threading.Event(), Source("file", {})

    def check(_user: str, _password: str) -> None:
        slow.wait(PATIENCE)

    source.check = check  # type: ignore[method-assign, assignment]
    judge = basic(source, places=4)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(refused, judge, f"u{n}", "x", f"192.0.2.{n}") for n in range(4)]
        while judge._queue._taken["all"] < 4:
            pass
        assert refused(judge, "u9", "x", "192.0.2.9") is TooManyRequests
        slow.set()
        assert [one.result() for one in waiting] == [Unauthorized] * 4
    assert judge._queue._taken.total() == 0


def test_a_failed_login_waits_but_few_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures wait for the delay, up to so many at a time; the next is told at once to come later."""
    delay, over, slept = FailDelay(0.2, 2), threading.Event(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        over.wait(PATIENCE)

    monkeypatch.setattr("zot.auth.throttle.time", SimpleNamespace(sleep=sleep))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(delay.wait) for _ in range(2)]
        while len(slept) < 2:
            pass
        with pytest.raises(TooManyRequests) as caught:
            delay.wait()
        assert caught.value.headers["Retry-After"] == "1"
        over.set()
        for one in waiting:
            one.result()
    delay.wait()
    FailDelay(0, 1).wait()
    assert slept == [0.2] * 3


def test_places_are_kept_for_addresses_without_failures() -> None:
    """Addresses from which logins failed share a third of the places, and one address never has them all."""
    queue = Queue(4, 4)
    with queue.place("a", is_suspect=True):
        with pytest.raises(TooManyRequests), queue.place("b", is_suspect=True):
            pass
        others = queue.place("c"), queue.place("c"), queue.place("d")
        with others[0], others[1], others[2], pytest.raises(TooManyRequests), queue.place("e"):
            pass
    with queue.place("a"), queue.place("a"), pytest.raises(TooManyRequests), queue.place("a"):
        pass
    assert queue._taken.total() == 0
    with queue.enter(), queue.enter(), queue.enter(), queue.enter(), pytest.raises(TooManyRequests), queue.enter():
        pass


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("no:address", "no:other", False),
    ],
)
def test_whom_failures_count_for(one: str, other: str, same: bool) -> None:
    """Failures count for an IPv4 address, and for all addresses of a network of IPv6, of which a client has many."""
    assert (network(one) == network(other)) is same


def test_a_client_with_a_network_of_addresses_is_held_up() -> None:
    """Wrong logins from ever new addresses of one IPv6 network are refused as from one address."""
    judge = basic(Source("file", {"alice": "a"}), clock=Clock())
    refused = 0
    for number in range(40):
        try:
            judge.authenticate(login("alice", "wrong", f"2001:db8::{number:x}"))
        except TooManyRequests:
            refused += 1
        except Unauthorized:
            continue
    assert refused == 30
