"""What a running server takes over from a changed configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zot.auth.opening import is_login_possible
from zot.config import Config
from zot.config.changes import changes, side_files
from zot.config.publication import Live, Publication
from zot.errors import StartupError


def config(**sections: Any) -> Config:
    """Return a configuration with some sections."""
    return Config.model_validate({"storage": {"rootDirectory": "/root"}, **sections})


def test_what_may_change_is_taken_and_the_rest_waits() -> None:
    """A log level is taken over and a port is not; the result is consistent: new where taken, old where not."""
    old = config(http={"port": 1}, log={"level": "info", "output": "a"})
    new = config(http={"port": 2, "allowOrigin": "x"}, log={"level": "debug", "output": "b"})
    found = changes(old, new)
    assert found.taken == ["log.level"]
    assert found.waiting == ["http.port", "http.allowOrigin", "log.output"]
    assert found.config == config(http={"port": 1}, log={"level": "debug", "output": "a"})


def test_whole_sections_come_and_go() -> None:
    """A section that may change is taken when it appears and when it goes; others wait as a whole."""
    without = config()
    access = {"repositories": {"**": {"anonymousPolicy": ["read"]}}}
    having = config(http={"accessControl": access, "tls": {"cert": "c", "key": "k"}})
    there = changes(without, having)
    assert (there.taken, there.waiting) == (["http.accessControl"], ["http.tls"])
    assert there.config.http.access_control == having.http.access_control
    assert there.config.http.tls is None
    back = changes(having, without)
    assert (back.taken, back.waiting) == (["http.accessControl"], ["http.tls"])


PASSWORDS = {"auth": {"htpasswd": {"path": "h"}}}
CERTIFICATES = {"tls": {"cert": "c", "key": "k", "cacert": "ca"}}
EVERYBODY = {"accessControl": {"repositories": {"**": {"anonymousPolicy": ["read", "create"]}}}}


@pytest.mark.parametrize(
    ("old", "new", "held"),
    [
        (PASSWORDS, CERTIFICATES, ["http.auth", "http.tls"]),
        (PASSWORDS | EVERYBODY, CERTIFICATES, ["http.auth", "http.accessControl", "http.tls"]),
        (CERTIFICATES, PASSWORDS, ["http.auth", "http.tls"]),
        (CERTIFICATES, PASSWORDS | EVERYBODY, ["http.auth", "http.accessControl", "http.tls"]),
        ({"tls": {"cert": "c", "key": "k"}, **PASSWORDS}, CERTIFICATES, ["http.auth", "http.tls.cacert"]),
    ],
)
def test_rights_wait_with_a_login_that_waits(old: dict[str, Any], new: dict[str, Any], held: list[str]) -> None:
    """While certificates as a login wait for a restart, so do the other logins and the rights: nothing stands open."""
    found = changes(config(http=old), config(http=new, log={"level": "debug"}))
    assert (found.taken, found.waiting) == (["log.level"], held)
    assert found.config.http == config(http=old).http
    assert is_login_possible(found.config.http)


def test_rights_change_beside_another_certificate() -> None:
    """A certificate of the server's own that waits holds nothing else up."""
    old = {"tls": {"cert": "c", "key": "k", "cacert": "ca"}, **PASSWORDS}
    new = {"tls": {"cert": "d", "key": "k", "cacert": "ca"}, **EVERYBODY}
    found = changes(config(http=old), config(http=new))
    assert (found.taken, found.waiting) == (["http.auth", "http.accessControl"], ["http.tls.cert"])


def test_sub_paths() -> None:
    """Of a store what may change is taken; another set of stores waits."""
    one = {"/a": {"rootDirectory": "/a", "gc": True, "gcDelay": "1h"}}
    old = config(storage={"rootDirectory": "/root", "subPaths": one})
    other = {"/a": {"rootDirectory": "/b", "gc": True, "gcDelay": "2h"}}
    found = changes(old, config(storage={"rootDirectory": "/root", "subPaths": other}))
    assert found.taken == ["storage.subPaths./a.gcDelay"]
    assert found.waiting == ["storage.subPaths./a.rootDirectory"]
    assert found.config.storage.sub_paths["/a"].root_directory == "/a"
    none = changes(old, config())
    assert (none.taken, none.waiting) == ([], ["storage.subPaths"])


def test_side_files_are_watched_too() -> None:
    """Files of users and of credentials are among what is watched."""
    providers = {"oidc": {"credentialsFile": "o", "issuer": "i", "scopes": ["openid"]}}
    auth = {
        "htpasswd": {"path": "h"},
        "ldap": {"credentialsFile": "l", "address": "x", "baseDN": "dc=x", "userAttribute": "uid"},
        "openid": {"providers": providers},
    }
    assert side_files(config(http={"auth": auth})) == ["h", "l", "o"]
    assert side_files(config()) == []


def test_what_is_published_is_taken_up_once(tmp_path: Path) -> None:
    """After a publication the next look prepares the new configuration and puts it in place, and others do nothing."""
    publication = Publication(str(tmp_path))
    placed: list[Config] = []
    worker = Live(lambda new: lambda: placed.append(new), publication)
    master = Live(lambda _: lambda: None, publication)
    worker.refresh()
    assert placed == []
    master.publish(config(log={"level": "debug"}))
    worker.refresh()
    worker.refresh()
    assert [one.log.level for one in placed] == ["debug"]


def test_what_cant_be_used_is_not_published(tmp_path: Path) -> None:
    """A configuration that the master can't prepare reaches nobody; one that a worker can't prepare is tried again."""
    publication = Publication(str(tmp_path))
    tries: list[int] = []

    def prepare(_: Config) -> Any:
        tries.append(1)
        raise StartupError("no such file", "make it")

    with pytest.raises(StartupError):
        Live(prepare, publication).publish(config())
    assert publication.number == 0
    Live(lambda _: lambda: None, publication).publish(config())
    worker = Live(prepare, publication)
    worker.refresh()
    worker.refresh()
    # The second comes too soon after the first.
    assert len(tries) == 2
