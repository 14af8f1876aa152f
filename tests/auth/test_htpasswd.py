"""The htpasswd file: kinds of hashes, changes, and what it costs to ask."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from passlib.hash import sha256_crypt, sha512_crypt

from tests.auth.accounts import plain
from zot.auth import htpasswd
from zot.auth.accounts import Account
from zot.auth.htpasswd import Htpasswd
from zot.auth.throttle import OneAtATime
from zot.errors import StartupError


def line(user: str, password: str, prefix: bytes = b"2b") -> str:
    """Return a line with a cheap bcrypt hash."""
    digest = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    return f"{user}:{digest.replace('$2b$', f'${prefix.decode()}$')}\n"


def source(path: Path, *lines: str) -> Htpasswd:
    """Write a file and open it."""
    path.write_text("".join(lines))
    return Htpasswd(str(path), nullcontext())


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
def test_bcrypt(tmp_path: Path, prefix: bytes) -> None:
    """All spellings of bcrypt are taken; a wrong password, case or user is not."""
    users = source(tmp_path / "h", line("alice", "secret", prefix), line("bob", "other"))
    assert plain(users.check("alice", "secret")) == Account("alice")
    for user, password in (("alice", "other"), ("Alice", "secret"), ("carol", "secret"), ("alice", "")):
        assert users.check(user, password) is None


def test_sha_crypt(tmp_path: Path) -> None:
    """SHA-256-crypt and SHA-512-crypt are taken, with and without rounds."""
    kinds: list[Any] = [sha256_crypt, sha512_crypt]
    hashes = [kind.using(rounds=rounds).hash("secret") for kind in kinds for rounds in (1000, 5000)]
    users = source(tmp_path / "h", *(f"u{number}:{digest}\n" for number, digest in enumerate(hashes)))
    for number in range(len(hashes)):
        assert plain(users.check(f"u{number}", "secret")) == Account(f"u{number}")
        assert users.check(f"u{number}", "wrong") is None


def test_what_openssl_makes(tmp_path: Path) -> None:
    """A hash that `openssl passwd -6 -salt salt secret` printed is taken."""
    digest = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"
    users = source(tmp_path / "h", f"alice:{digest}\n")
    assert plain(users.check("alice", "secret")) == Account("alice")
    assert users.check("alice", "wrong") is None


@pytest.mark.parametrize("digest", ["{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "$apr1$a$b", "plain", "", "$2y$05$short"])
def test_other_hashes_are_no_logins(tmp_path: Path, digest: str, caplog: pytest.LogCaptureFixture) -> None:
    """Hashes of other kinds let nobody in, are warned of, and spoil nothing for the users beside them."""
    users = source(tmp_path / "h", f"eve:{digest}\n", "no colon\n", ":no user\n", "\n", line("alice", "secret"))
    for password in (digest, "plain", ""):
        assert users.check("eve", password) is None
    assert plain(users.check("alice", "secret")) == Account("alice")
    assert "nobody can log in with it" in caplog.text
    assert digest not in caplog.text or not digest


def test_long_and_strange_passwords(tmp_path: Path) -> None:
    """A password of more than 72 bytes counts to there, as bcrypt has it; a zero byte or a surrogate breaks nothing."""
    users = source(tmp_path / "h", line("alice", "x" * 80))
    assert plain(users.check("alice", "x" * 90)) == Account("alice")
    assert users.check("alice", "x" * 71) is None
    assert users.check("alice", "a\0b") is None


def test_a_change_holds_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that was changed or replaced is read at the next question; one that can't be read holds as it was."""
    path = tmp_path / "h"
    users = source(path, line("alice", "one"))
    before = users.version()
    other = tmp_path / "new"
    other.write_text(line("bob", "two"))
    other.replace(path)
    assert users.version() != before
    assert users.check("alice", "one") is None
    assert users.account("alice") is None
    assert plain(users.account("bob")) == Account("bob")
    with path.open("a") as file:
        file.write(line("carol", "three"))
    assert plain(users.check("carol", "three")) == Account("carol")
    os.unlink(path)
    assert plain(users.check("bob", "two")) == Account("bob")
    assert "can't be read" in caplog.text
    path.write_text("")
    assert users.check("bob", "two") is None


def test_an_unknown_user_costs_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a user that is not there a password is checked against the dearest hash of the file."""
    dear = line("bob", "x").split(":")[1].strip().replace("$04$", "$06$")
    users = source(tmp_path / "h", line("alice", "secret"), f"bob:{dear}\n", f"carol:{sha512_crypt.hash('x')}\n")
    checked: list[str] = []

    def verify(_password: str, digest: str) -> bool:
        checked.append(digest)
        return True

    monkeypatch.setattr(htpasswd, "_verify", verify)
    assert users.check("nobody", "secret") is None
    assert checked == [dear]
    assert source(tmp_path / "empty").check("nobody", "x") is None


def test_a_wrong_password_costs_the_same_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hashes of several costs, whoever has a cheap one costs as much as the dearest, and as somebody unknown."""
    costs = {"cheap": 4, "middle": 5, "dear": 7}
    hashes = {name: bcrypt.hashpw(b"x", bcrypt.gensalt(cost)).decode() for name, cost in costs.items()}
    lines = [f"{name}:{digest}\n" for name, digest in hashes.items()] + [f"sha:{sha512_crypt.hash('x')}\n"]
    users = source(tmp_path / "h", *lines)
    spent: list[int] = []
    verify = htpasswd._verify

    def watched(password: str, digest: str) -> bool:
        spent.append(2 ** int(digest[4:6]) if digest.startswith("$2") else 0)
        return verify(password, digest)

    monkeypatch.setattr(htpasswd, "_verify", watched)
    for name in (*costs, "sha", "nobody"):
        spent.clear()
        assert users.check(name, "wrong") is None
        assert sum(spent) == 2**7, name
    spent.clear()
    assert users.check("cheap", "x")
    assert spent == [2**4]


@pytest.mark.parametrize("broken", ["$2b$31$short", f"$2b$99${'.' * 53}", f"$2b$12${'!' * 53}", "$2y$"])
def test_a_broken_hash_sets_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A bcrypt hash that is not whole is nobody's, and what others cost is not filled up to what it claims."""
    users = source(tmp_path / "h", line("alice", "secret"), f"bob:{broken}\n")
    checked: list[str] = []
    monkeypatch.setattr(htpasswd, "_verify", lambda _password, digest: checked.append(digest))
    for name in ("alice", "bob", "nobody"):
        assert users.check(name, "wrong") is None
    assert [digest[:7] for digest in checked] == ["$2b$04$"] * 3
    assert users.account("bob") is None


def test_a_stamp_is_of_the_user_and_the_hash(tmp_path: Path) -> None:
    """The stamp is the same after a restart, another one for another hash, also of the same password, and no hash."""
    path = tmp_path / "h"
    lines = line("alice", "secret"), line("bob", "x")
    first = source(path, *lines).account("alice")
    assert first is not None
    assert source(path, *reversed(lines)).check("alice", "secret") == first
    again = source(path, line("alice", "secret"), lines[1])
    assert again.account("alice") != first
    assert again.account("bob") != again.account("alice")
    assert len(first.stamp) == 64
    same = lines[0].replace("alice", "bob")
    assert source(path, same).account("bob") not in (None, first._replace(name="bob"))


def test_a_missing_file(tmp_path: Path) -> None:
    """Without the file the server does not start, and says how to make it."""
    with pytest.raises(StartupError, match="htpasswd -B"):
        Htpasswd(str(tmp_path / "missing"), nullcontext())


def test_one_at_a_time_over_processes(tmp_path: Path) -> None:
    """The lock is held by one thread of one process; a process that dies while it has it lets it go."""
    lock = OneAtATime()
    inside, most, guard = 0, 0, threading.Lock()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        lock.__enter__()
        os.write(write, b"x")
        os.kill(os.getpid(), 9)
    os.read(read, 1)
    os.waitpid(child, 0)

    def enter() -> None:
        nonlocal inside, most
        with lock:
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    os.close(read)
    os.close(write)
