"""LDAP against a real slapd."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.auth.accounts import plain
from tests.auth.slapd import ADMIN, BASE, DEVS, PEOPLE, Slapd
from tests.auth.test_basic import Clock, login
from tests.auth.test_htpasswd import line
from zot.app import create_app
from zot.auth import ldap as module
from zot.auth.accounts import Account
from zot.auth.basic import Basic
from zot.auth.htpasswd import Htpasswd
from zot.auth.ldap import Ldap, LdapSettings
from zot.auth.remembered import Remembered
from zot.auth.throttle import Queue, Throttle
from zot.config import Config
from zot.errors import StartupError, Unauthorized, Unavailable

pytestmark = pytest.mark.e2e


def directory(slapd: Slapd, **more: Any) -> Ldap:
    """Return the source, by default over a plain connection to the people of the directory."""
    settings: dict[str, Any] = {
        "address": "127.0.0.1",
        "port": slapd.port,
        "base_dn": PEOPLE,
        "user_attribute": "uid",
        "user_group_attribute": "memberOf",
        "bind_dn": ADMIN,
        "bind_password": "adminpw",
    }
    return Ldap(LdapSettings(**(settings | more)))


def test_a_login(slapd: Slapd) -> None:
    """A user with the right password gets in with the groups of the directory, others do not."""
    users = directory(slapd)
    assert plain(users.check("alice", "alicepw")) == Account("alice", frozenset({DEVS}))
    assert plain(users.check("bob", "bobpw")) == Account("bob")
    for user, password in (("alice", "bobpw"), ("alice", ""), ("carol", "alicepw"), ("", "alicepw")):
        assert users.check(user, password) is None


def test_the_spelling_is_the_directory_s(slapd: Slapd) -> None:
    """ALICE is alice to the directory, and is called alice from then on, so that policies that name her hold."""
    assert plain(directory(slapd).check("ALICE", "alicepw")) == Account("alice", frozenset({DEVS}))
    assert directory(slapd).account("ALICE") is None
    assert plain(directory(slapd).account("alice")) == Account("alice", frozenset({DEVS}))


@pytest.mark.parametrize(
    "user",
    [
        "*",
        "ali*",
        "alice)(uid=*",
        "*)(uid=alice",
        "alice)(|(uid=*",
        "\\61lice",
        "a\\2ab",
        "alice\\00",
        "(uid=alice)",
        "a*",
    ],
)
def test_names_can_not_change_the_search(slapd: Slapd, user: str) -> None:
    """What means something in a filter is a letter of the name like others."""
    for password in ("alicepw", "starpw"):
        assert directory(slapd).check(user, password) is None
    assert plain(directory(slapd).check("a*b", "starpw")) == Account("a*b")


def test_where_users_are(slapd: Slapd) -> None:
    """With subtreeSearch users are found below the base, without it directly under it only."""
    assert directory(slapd, base_dn=BASE).check("alice", "alicepw") is None
    assert directory(slapd, base_dn=BASE, subtree_search=True).check("alice", "alicepw")


@pytest.mark.parametrize(
    "text", ["(title=staff)", "title=staff", "(&(title=staff)(objectClass=person))", "!(title=guest)"]
)
def test_a_filter(slapd: Slapd, text: str) -> None:
    """Users must match userFilter too, with or without its outer parentheses."""
    users = directory(slapd, user_filter=text)
    assert users.check("alice", "alicepw")
    assert users.check("bob", "bobpw") is None


def test_groups_are_optional(slapd: Slapd) -> None:
    """Without userGroupAttribute, and with one that nobody has, users have no groups."""
    for attribute in ("", "description"):
        assert plain(directory(slapd, user_group_attribute=attribute).check("alice", "alicepw")) == Account("alice")


def test_several_entries_are_none(slapd: Slapd) -> None:
    """An attribute that several users share lets none of them in."""
    users = directory(slapd, user_attribute="title")
    assert users.check("staff", "alicepw") is None
    assert plain(users.check("guest", "bobpw")) == Account("guest")


@pytest.mark.parametrize(
    "more",
    [
        {"start_tls": True},
        {"insecure": True, "start_tls": True},
        {"insecure": False, "port": "tls"},
        {"insecure": False, "port": "tls", "start_tls": True},
    ],
)
def test_tls(slapd: Slapd, tmp_path: Path, more: dict[str, Any]) -> None:
    """StartTLS and LDAPS check the certificate against cacert, or against nothing with skipVerify."""
    more = more | ({"port": slapd.tls_port} if more.get("port") == "tls" else {})
    assert directory(slapd, cacert=slapd.ca, **more).check("alice", "alicepw")
    other = str(tmp_path / "other.pem")
    trustme.CA().cert_pem.write_to_path(other)
    with pytest.raises(Unavailable, match="certificate verify failed"):
        directory(slapd, cacert=other, **more).check("alice", "alicepw")
    with pytest.raises(Unavailable):
        directory(slapd, **more).check("alice", "alicepw")
    assert directory(slapd, skip_verify=True, **more).check("alice", "alicepw")


def test_a_certificate_for_another_name(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that the authority signed for another name is refused."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", slapd.port))])
    users = directory(slapd, address="elsewhere.example", cacert=slapd.ca, start_tls=True)
    with pytest.raises(Unavailable, match=r"[Hh]ostname mismatch"):
        users.check("alice", "alicepw")


@pytest.mark.parametrize(
    ("settings", "ldaps", "port"),
    [
        ({}, False, 389),
        ({"port": 636}, True, 636),
        ({"port": 389, "start_tls": True}, False, 389),
        ({"insecure": False}, True, 636),
        ({"insecure": False, "port": 389}, True, 389),
        ({"insecure": True}, False, 389),
        ({"insecure": True, "port": 636}, False, 636),
        ({"insecure": True, "start_tls": True}, False, 389),
    ],
)
def test_what_insecure_means(settings: dict[str, Any], ldaps: bool, port: int) -> None:
    """Left out, port 636 means LDAPS and any other a plain connection; the port is 389, or 636 with LDAPS."""
    made = LdapSettings("ldap.example.org", BASE, "uid", **settings)
    server = Ldap(made).server()
    assert (made.is_ldaps, server.ssl, server.port) == (ldaps, ldaps, port)


def test_the_registry_s_own_login(slapd: Slapd) -> None:
    """A wrong bindPassword is the operator's trouble, 503 and not 401; without bindDN the search is anonymous."""
    with pytest.raises(Unavailable, match="refuses bindDN: invalidCredentials"):
        directory(slapd, bind_password="wrong").check("alice", "alicepw")
    assert directory(slapd, bind_dn="", bind_password="").check("alice", "alicepw") is None


def test_a_directory_that_restarts(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is away the answer is 503, without another try for a moment; when it is back logins go on."""
    monkeypatch.setattr(module, "_AWAY_SECONDS", 0.0)
    users = directory(slapd)
    assert users.check("alice", "alicepw")
    slapd.stop()
    try:
        with pytest.raises(Unavailable):
            users.check("alice", "alicepw")
        monkeypatch.setattr(module, "_AWAY_SECONDS", 60.0)
        with pytest.raises(Unavailable):
            users.check("alice", "alicepw")
        with pytest.raises(Unavailable, match="a moment ago"):
            users.check("alice", "alicepw")
    finally:
        slapd.start()
    users._away_until = 0.0
    assert users.check("alice", "alicepw")


def test_a_user_who_leaves_a_group(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The groups of somebody who is not there are asked again after a minute, and are gone then; so is the user."""
    users = directory(slapd)
    joined = f"dn: {DEVS}\nchangetype: modify\nadd: member\nmember: uid=bob,{PEOPLE}\n"
    slapd.change("ldapmodify", joined)
    assert plain(users.account("bob")) == Account("bob", frozenset({DEVS}))
    slapd.change("ldapmodify", joined.replace("add: member", "delete: member"))
    assert plain(users.account("bob")) == Account("bob", frozenset({DEVS}))
    users._known.clear()
    assert plain(users.account("bob")) == Account("bob")
    assert users.account("nobody") is None
    assert plain(users.check("bob", "bobpw")) == Account("bob")


def test_a_name_that_is_given_to_somebody_else(slapd: Slapd) -> None:
    """Another entry of the same name has another stamp; the same one keeps it, also with another password."""
    users = directory(slapd)
    dn = f"uid=temp,{PEOPLE}"
    entry = f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: temp\ncn: temp\nsn: temp\nuserPassword: pw\n"
    slapd.change("ldapadd", entry)
    first = users.check("temp", "pw")
    assert first is not None
    assert len(first.stamp) == 64
    slapd.change("ldapmodify", f"dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: new\n")
    assert users.check("temp", "new") == first
    users._known.clear()
    assert users.account("temp") == first
    slapd.change("ldapmodify", f"dn: {dn}\nchangetype: delete\n")
    slapd.change("ldapadd", entry)
    second = users.check("temp", "pw")
    slapd.change("ldapmodify", f"dn: {dn}\nchangetype: delete\n")
    assert second is not None
    assert second.stamp not in ("", first.stamp)


@pytest.mark.parametrize(
    ("attributes", "same"),
    [
        ({"uid": [b"a"]}, None),
        ({"objectGUID": [b"\x00\xff"]}, {"objectguid": [b"\x00\xff"], "uid": [b"b"]}),
        ({"nsUniqueId": [b"1"], "entryUUID": []}, {"nsuniqueid": [b"1"]}),
    ],
)
def test_identifiers_of_other_directories(attributes: dict[str, Any], same: dict[str, Any] | None) -> None:
    """The identifier is that of whichever directory, however its name is spelled; without one there is no stamp."""
    found = module._stamp(attributes)
    assert found == ("" if same is None else module._stamp(same))
    assert bool(found) == (same is not None)


@pytest.fixture
def both(slapd: Slapd, tmp_path: Path) -> Basic:
    """LDAP, and a file that has the users both and fileonly."""
    return with_file(directory(slapd), tmp_path)


def with_file(ldap: Ldap, tmp_path: Path) -> Basic:
    """Return the authenticator that asks LDAP first, then a file."""
    path = tmp_path / "htpasswd"
    path.write_text(line("both", "of-file") + line("fileonly", "filepw"))
    return Basic([ldap, Htpasswd(str(path), nullcontext())], Remembered(60), Throttle(Clock()), Queue(4, 4))


@pytest.mark.parametrize(
    ("user", "password", "origin"),
    [
        ("both", "of-ldap", "ldap"),
        ("both", "of-file", "htpasswd"),
        ("both", "of-neither", None),
        ("alice", "alicepw", "ldap"),
        ("fileonly", "filepw", "htpasswd"),
        ("alice", "filepw", None),
        ("nobody", "alicepw", None),
    ],
)
def test_a_name_in_both(both: Basic, user: str, password: str, origin: str | None) -> None:
    """LDAP goes first, then htpasswd: either password of a name that is in both is right, each as its own user."""
    if origin is None:
        with pytest.raises(Unauthorized):
            both.authenticate(login(user, password))
        return
    found = both.authenticate(login(user, password))
    assert found is not None
    assert (found.name, found.origin) == (user, origin)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which something listens that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


@pytest.mark.parametrize("more", [{}, {"start_tls": True}, {"insecure": False}])
def test_a_directory_that_does_not_answer(tmp_path: Path, silent: int, more: dict[str, Any]) -> None:
    """Users of the file get in although the directory takes connections and says nothing; its own get 503."""
    ldap = Ldap(LdapSettings("127.0.0.1", PEOPLE, "uid", port=silent, **more))
    judge = with_file(ldap, tmp_path)
    assert judge.authenticate(login("fileonly", "filepw"))
    with pytest.raises(Unavailable):
        judge.authenticate(login("alice", "alicepw"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": ""}, "address is missing"),
        ({"base_dn": ""}, "baseDN is missing"),
        ({"user_attribute": ""}, "is no attribute"),
        ({"user_attribute": "uid)(x"}, "is no attribute"),
        ({"user_group_attribute": "*"}, "is no attribute"),
        ({"cacert": "/missing.pem"}, "/missing.pem can't be used"),
    ],
)
def test_settings_that_can_not_work(settings: dict[str, str], message: str) -> None:
    """Settings without which nobody could ever log in stop the server at its start, with the key and a remedy."""
    with pytest.raises(StartupError, match=message):
        Ldap(LdapSettings(**({"address": "x", "base_dn": BASE, "user_attribute": "uid"} | settings)))  # type: ignore[arg-type]


@pytest.mark.parametrize("beside", [True, False])
def test_the_configuration(slapd: Slapd, tmp_path: Path, beside: bool) -> None:
    """The manual's section, with bindDN inline or in a credentialsFile, opens the directory, whose groups count."""
    (tmp_path / "htpasswd").write_text(line("both", "of-file"))
    section: dict[str, Any] = {
        "address": "127.0.0.1",
        "port": slapd.port,
        "startTLS": False,
        "baseDN": BASE,
        "userAttribute": "uid",
        "skipVerify": False,
        "subtreeSearch": True,
        "userGroupAttribute": "memberOf",
    }
    credentials = {"bindDN": ADMIN, "bindPassword": "adminpw"}
    if beside:
        (tmp_path / "ldap.json").write_text(json.dumps(credentials))
        section["credentialsFile"] = str(tmp_path / "ldap.json")
    else:
        section |= credentials
    auth = {"ldap": section, "htpasswd": {"path": str(tmp_path / "htpasswd")}}
    policy = {"repositories": {"**": {"policies": [{"groups": [DEVS], "actions": ["read"]}]}}}
    http = {"auth": auth, "accessControl": policy}
    config = Config.model_validate({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http})
    client = create_app(config).test_client()

    def ask(user: str, password: str) -> int:
        header = login(user, password).authorization
        return client.get("/v2/a/tags/list", headers={"Authorization": header}).status_code

    assert (ask("alice", "alicepw"), ask("bob", "bobpw")) == (404, 403)
    assert (ask("both", "of-ldap"), ask("both", "of-file")) == (403, 403)
    assert ask("alice", "wrong") == 401
