"""The routes of API keys, as zot's manual shows them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.auth.test_htpasswd import line
from tests.images import digest_of
from zot.app import create_app
from zot.auth.dates import FORMS
from zot.config import Config

FIELDS = ["createdAt", "expirationDate", "isExpired", "creatorUa", "generatedBy", "lastUsed", "label", "scopes", "uuid"]
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)"


def as_(user: str, password: str, agent: str = "curl/7.68.0") -> dict[str, str]:
    """Return the headers of curl with a login."""
    return {
        "Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode(),
        "User-Agent": agent,
        "Content-Type": "application/x-www-form-urlencoded",
    }


USER = as_("user", "password")


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A registry with API keys and two users, who may read a/** and b/**, and user may also push to them."""
    (tmp_path / "htpasswd").write_text(line("user", "password") + line("other", "secret"))
    rules = {"policies": [{"users": ["user"], "actions": ["read", "create"]}], "defaultPolicy": ["read"]}
    http = {
        "auth": {"htpasswd": {"path": str(tmp_path / "htpasswd")}, "apikey": True},
        "accessControl": {"repositories": {"a/**": rules, "b/**": rules}},
    }
    config = Config.model_validate({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http})
    return create_app(config).test_client()


def create(client: FlaskClient, body: str, headers: dict[str, str] = USER) -> dict[str, Any]:
    """Make a key."""
    answer = client.post("/zot/auth/apikey", data=body, headers=headers)
    assert answer.status_code == 201, answer.data
    made: dict[str, Any] = answer.get_json()
    return made


def test_without_an_expiration_date(client: FlaskClient) -> None:
    """The manual's first example, field by field and in its order."""
    made = create(client, '{"label": "git", "scopes": ["repo1", "repo2"]}')
    assert list(made) == [*FIELDS, "apiKey"]
    assert re.fullmatch(DATE, made["createdAt"])
    assert made["expirationDate"] == made["lastUsed"] == "0001-01-01T00:00:00Z"
    assert (made["isExpired"], made["creatorUa"], made["generatedBy"]) == (False, "curl/7.68.0", "manual")
    assert (made["label"], made["scopes"]) == ("git", ["repo1", "repo2"])
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["uuid"])
    assert re.fullmatch("zak_[0-9a-f]{32}", made["apiKey"])


@pytest.mark.parametrize("date", ["2087-08-28T17:10:05+03:00", "Thu, 28 Aug 2087 17:10:05 +0300"])
def test_with_an_expiration_date(client: FlaskClient, date: str) -> None:
    """The manual's second example, in both forms of dates; without scopes they are null."""
    made = create(client, f'{{"label": "myAPIKEY", "expirationDate": "{date}"}}')
    assert (made["expirationDate"], made["isExpired"]) == ("2087-08-28T17:10:05+03:00", False)
    assert (made["label"], made["scopes"]) == ("myAPIKEY", None)


def test_list_and_revoke(client: FlaskClient) -> None:
    """A user sees their own keys without secrets, and revokes their own; others' and unknown ones are left alone."""
    made = create(client, '{"label": "one"}')
    create(client, '{"label": "two"}')
    theirs = create(client, '{"label": "theirs"}', as_("other", "secret"))
    listed = client.get("/zot/auth/apikey", headers=USER).get_json()["apiKeys"]
    assert [list(key) for key in listed] == [FIELDS, FIELDS]
    assert [key["label"] for key in listed] == ["one", "two"]
    login = as_("user", made["apiKey"])
    assert client.get("/v2/_catalog", headers=login).status_code == 200
    for identifier in (theirs["uuid"], "unknown", made["uuid"], made["uuid"]):
        assert client.delete(f"/zot/auth/apikey?id={identifier}", headers=USER).status_code == 200
    assert client.get("/v2/_catalog", headers=login).status_code == 401
    assert client.get("/v2/_catalog", headers=as_("other", theirs["apiKey"])).status_code == 200
    assert [key["label"] for key in client.get("/zot/auth/apikey", headers=USER).get_json()["apiKeys"]] == ["two"]


@pytest.mark.parametrize("query", ["", "?id=", "?id=a&id=b", "?uuid=a"])
def test_revoke_needs_one_identifier(client: FlaskClient, query: str) -> None:
    """A DELETE without an identifier, or with two, is 400."""
    assert client.delete(f"/zot/auth/apikey{query}", headers=USER).status_code == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "the body"),
        ("{", "the body"),
        ("[]", "the body"),
        ('{"label": 1}', "label"),
        ('{"label": "x", "scopes": "a"}', "scopes"),
        ('{"label": "x", "scopes": ["a:push"]}', "a:push"),
        ('{"label": "x", "admin": true}', "admin"),
        ('{"label": "x", "expirationDate": "2023-08-28T17:10:05+03:00"}', "expirationDate is over"),
        ('{"label": "x", "expirationDate": "soon"}', "'soon' is no date"),
        ('{"label": "x", "expirationDate": "2087-01-01"}', "'2087-01-01' is no date with its time and zone"),
        ('{"label": "' + "x" * 300 + '"}', "label"),
    ],
)
def test_a_request_that_is_not_right(client: FlaskClient, body: str, reason: str) -> None:
    """A body that is no request, unknown fields (CVE-2019-16097), scopes and dates that can't hold are 400."""
    answer = client.post("/zot/auth/apikey", data=body, headers=USER)
    assert answer.status_code == 400
    (error,) = answer.get_json()["errors"]
    assert error["code"] == "REQUEST_INVALID"
    assert reason in error["detail"]["reason"]
    if "no date" in reason:
        assert error["detail"]["remedy"].startswith("write a time with its zone: 2027-08-28T17:10:05Z, ")


def test_every_form_of_a_date_that_is_advised_is_taken(client: FlaskClient) -> None:
    """What the remedy of a refused date shows is accepted, with a year to come."""
    for form in re.split(", (?=20)| or ", FORMS.replace("2027", "2087")):
        made = create(client, json.dumps({"label": "x", "expirationDate": form}))
        assert made["expirationDate"].startswith("2087-08-28T17:10:05"), form


def test_a_body_that_is_too_long(client: FlaskClient) -> None:
    """A body of more than 8 KiB is 413, whether its length is said or not."""
    body = b'{"label": "' + b"x" * 9000 + b'"}'
    assert client.post("/zot/auth/apikey", data=body, headers=USER).status_code == 413


def test_nobody_else_makes_keys(client: FlaskClient) -> None:
    """Without a login it is 401; a key can't make, list or revoke keys, also its own."""
    made = create(client, '{"label": "one"}')
    for headers, status in (({}, 401), (as_("user", "wrong"), 401), (as_("user", made["apiKey"]), 403)):
        assert client.post("/zot/auth/apikey", data='{"label": "x"}', headers=headers).status_code == status
        assert client.get("/zot/auth/apikey", headers=headers).status_code == status
        assert client.delete(f"/zot/auth/apikey?id={made['uuid']}", headers=headers).status_code == status


def test_a_key_may_what_its_user_may(client: FlaskClient) -> None:
    """A key has its user's rights (CVE-2026-28699: also sent as Basic it has no more than its scopes)."""
    plain = as_("user", create(client, '{"label": "x", "scopes": ["repo1"]}')["apiKey"])
    narrow = as_("user", create(client, '{"label": "x", "scopes": ["a/*:read", "b/x:read,create"]}')["apiKey"])
    theirs = as_(
        "other", create(client, '{"label": "x", "scopes": ["**:read,create"]}', as_("other", "secret"))["apiKey"]
    )

    def push(headers: dict[str, str], name: str) -> int:
        return client.post(f"/v2/{name}/blobs/uploads/", headers=headers).status_code

    def read(headers: dict[str, str], name: str) -> int:
        return client.get(f"/v2/{name}/tags/list", headers=headers).status_code

    assert [push(plain, name) for name in ("a/x", "b/x", "c")] == [202, 202, 403]
    assert [push(narrow, name) for name in ("a/x", "b/x", "b/y", "c")] == [403, 202, 403, 403]
    assert [read(narrow, name) for name in ("a/x", "a/x/y", "b/x", "b/y", "c")] == [404, 403, 404, 403, 403]
    assert [push(theirs, name) for name in ("a/x", "c")] == [403, 403]
    assert client.get("/v2/", headers=narrow).status_code == 200
    assert (
        "API key is not for that"
        in client.get("/v2/b/y/tags/list", headers=narrow).get_json()["errors"][0]["detail"]["reason"]
    )


def test_lists_and_mounts_stay_within_a_key(client: FlaskClient) -> None:
    """The catalogue shows a narrow key only what it may read, and a mount takes nothing from elsewhere."""
    digest = digest_of(b"x")
    for name in ("a/x", "b/x"):
        assert client.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data=b"x", headers=USER).status_code == 201
    narrow = as_("user", create(client, '{"label": "x", "scopes": ["a/*:read,create"]}')["apiKey"])
    assert client.get("/v2/_catalog", headers=narrow).get_json() == {"repositories": ["a/x"]}
    for query, status in (
        (f"mount={digest}&from=b/x", 202),
        (f"mount={digest}", 202),
        (f"mount={digest}&from=a/x", 201),
    ):
        assert client.post(f"/v2/a/new/blobs/uploads/?{query}", headers=narrow).status_code == status


def test_a_key_dies_with_its_user(client: FlaskClient, tmp_path: Path) -> None:
    """CVE-2025-23208's class: a user who is taken out of the file is out with their keys."""
    login = as_("user", create(client, '{"label": "x"}')["apiKey"])
    assert client.get("/v2/", headers=login).status_code == 200
    (tmp_path / "htpasswd").write_text(line("other", "secret"))
    assert client.get("/v2/", headers=login).status_code == 401


@pytest.mark.parametrize("password", ["another", "password"])
def test_a_key_dies_with_the_password(client: FlaskClient, tmp_path: Path, password: str) -> None:
    """A user's new hash, be it of the same password, ends their keys: the answer says what to do, and lists show it."""
    old = create(client, '{"label": "old"}')
    theirs = as_("other", create(client, '{"label": "x"}', as_("other", "secret"))["apiKey"])
    assert client.get("/v2/", headers=as_("user", old["apiKey"])).status_code == 200
    users = tmp_path / "htpasswd"
    users.write_text(line("user", password) + users.read_text().splitlines()[1])
    refused = client.get("/v2/", headers=as_("user", old["apiKey"]))
    assert refused.status_code == 401
    assert "has changed since it was made" in refused.text
    assert "make a new key" in refused.text
    assert client.get("/v2/", headers=theirs).status_code == 200
    new = create(client, '{"label": "new"}', as_("user", password))
    assert client.get("/v2/", headers=as_("user", new["apiKey"])).status_code == 200
    listed = client.get("/zot/auth/apikey", headers=as_("user", password)).get_json()["apiKeys"]
    assert {key["label"]: key["isExpired"] for key in listed} == {"old": True, "new": False}


def test_no_cache_keeps_what_is_said_of_keys(client: FlaskClient) -> None:
    """Answers that carry a key, or tell of keys, are not for caches."""
    answers = [
        client.post("/zot/auth/apikey", data='{"label": "x"}', headers=USER),
        client.get("/zot/auth/apikey", headers=USER),
        client.delete("/zot/auth/apikey?id=x", headers=USER),
    ]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 3


def test_keys_are_off_unless_turned_on(tmp_path: Path) -> None:
    """Without http.auth.apikey there are none, and a password in their form is a password."""
    (tmp_path / "htpasswd").write_text(line("user", "zak_" + "0" * 32))
    http = {"auth": {"htpasswd": {"path": str(tmp_path / "htpasswd")}}}
    config = Config.model_validate({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http})
    client = create_app(config).test_client()
    headers = as_("user", "zak_" + "0" * 32)
    assert client.get("/v2/", headers=headers).status_code == 200
    assert client.get("/zot/auth/apikey", headers=headers).status_code == 404
