"""No route goes past the guard."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from zot.api.guard import Guard, Routes, check_guarded
from zot.auth.actions import Action
from zot.auth.authority import Authority
from zot.auth.policy import Decision, OpenPolicy
from zot.auth.principal import Principal, Via
from zot.errors import Denied, Unauthorized

EXPECTED = {
    ("/auth/apikey", "GET"): Action.ACCOUNT,
    ("/livez", "GET"): Action.HEALTH,
    ("/metrics", "GET"): Action.METRICS,
    ("/readyz", "GET"): Action.HEALTH,
    ("/startupz", "GET"): Action.HEALTH,
    ("/v2/", "GET"): Action.PING,
    ("/zot/auth/apikey", "DELETE"): Action.ACCOUNT,
    ("/zot/auth/apikey", "GET"): Action.ACCOUNT,
    ("/zot/auth/apikey", "POST"): Action.ACCOUNT,
    ("/zot/auth/login", "GET"): Action.LOGIN,
    ("/zot/auth/callback/<provider>", "GET"): Action.LOGIN,
    ("/zot/auth/logout", "POST"): Action.LOGIN,
    ("/v2/_catalog", "GET"): Action.LIST,
    ("/v2/<repository:name>/blobs/<digest>", "DELETE"): Action.DELETE,
    ("/v2/<repository:name>/blobs/<digest>", "GET"): Action.READ,
    ("/v2/<repository:name>/blobs/<digest>", "HEAD"): Action.READ,
    ("/v2/<repository:name>/blobs/uploads/", "POST"): Action.CREATE,
    ("/v2/<repository:name>/blobs/uploads/<session>", "DELETE"): Action.CREATE,
    ("/v2/<repository:name>/blobs/uploads/<session>", "GET"): Action.CREATE,
    ("/v2/<repository:name>/blobs/uploads/<session>", "PATCH"): Action.CREATE,
    ("/v2/<repository:name>/blobs/uploads/<session>", "PUT"): Action.CREATE,
    ("/v2/<repository:name>/manifests/<reference>", "DELETE"): Action.DELETE,
    ("/v2/<repository:name>/manifests/<reference>", "GET"): Action.READ,
    ("/v2/<repository:name>/manifests/<reference>", "HEAD"): Action.READ,
    ("/v2/<repository:name>/manifests/<reference>", "PUT"): Action.CREATE,
    ("/v2/<repository:name>/referrers/<digest>", "GET"): Action.READ,
    ("/v2/<repository:name>/tags/list", "GET"): Action.READ,
}


class Nothing(OpenPolicy):
    """A policy that allows nothing, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Action, str | None]] = []

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Return False."""
        self.asked.append((action, repository))
        return False

    def decide(self, principal: Principal, action: Action, repository: str | None) -> Decision:
        """Return no."""
        return Decision(False, "defaultPolicy", "**")


def test_every_route_declares_its_right(app: Flask) -> None:
    """The routes are those in the table, each with the right that stands there."""
    found = {}
    for rule in app.url_map.iter_rules():
        # Flask lets GET answer HEAD too; the table has HEAD where the view means it.
        for method in (rule.methods or set()) - ({"HEAD"} if (rule.rule, "HEAD") not in EXPECTED else set()):
            found[rule.rule, method] = vars(app.view_functions[rule.endpoint])["action"]
    assert found == EXPECTED


def test_a_route_without_a_right_is_refused(app: Flask) -> None:
    """An application with a view that was registered otherwise does not start."""

    @app.get("/v2/back-door")
    def back_door() -> str:
        return "in"

    with pytest.raises(AssertionError, match="back_door"):
        check_guarded(app)


def test_a_view_runs_only_if_it_may(app: Flask, client: FlaskClient) -> None:
    """With a policy that allows nothing every route but the probes answers 401, having asked for its own right."""
    policy = Nothing()
    app.extensions["guard"].authority = Authority(policy)
    for (rule, method), action in EXPECTED.items():
        if action in (Action.HEALTH, Action.LOGIN):
            # Without providers there is nothing at the addresses of logins by them.
            expected = 404 if "provider" in rule or rule.endswith("login") else 200
            assert client.open(rule, method=method).status_code == expected
            continue
        path = rule.replace("<repository:name>", "some/repo").replace("<digest>", "bad").replace("<reference>", "v1")
        answer = client.open(path.replace("<session>", "s"), method=method)
        assert answer.status_code == 401, (rule, method)
        assert policy.asked.pop() == (action, "some/repo" if "<repository" in rule else None)
    assert policy.asked == []


def test_anonymous_is_asked_to_log_in_and_others_are_refused() -> None:
    """Who is not known gets 401 and learns nothing; who is known gets 403, with who, what and by which pattern."""
    guard = Guard(Authority(Nothing()))
    unknown = guard.refusal(Principal(), Action.READ, "a")
    assert isinstance(unknown, Unauthorized)
    assert "**" not in str(unknown.document())
    known = guard.refusal(Principal("mallory"), Action.DELETE, "a")
    assert isinstance(known, Denied)
    assert known.status == 403
    expected = {"principal": "mallory", "missing": "delete", "repository": "a", "pattern": "**"}
    assert expected.items() <= known.detail.items()


@pytest.mark.parametrize(
    ("action", "repository", "asked", "refused"),
    [
        (Action.PING, None, "this registry needs a login", "'eve' may not use this registry"),
        (Action.LIST, None, "the list of repositories needs a login", "'eve' may not list the repositories"),
        (Action.METRICS, None, "the metrics need a login", "'eve' may not read the metrics"),
        (Action.ACCOUNT, None, "API keys need a login", "'eve' may not manage API keys"),
        (Action.READ, "a", "a login is needed to read repository 'a'", "'eve' may not read repository 'a'"),
        (
            Action.CREATE,
            "a",
            "a login is needed to create anything in repository 'a'",
            "'eve' may not create anything in repository 'a'",
        ),
        (
            Action.UPDATE,
            "a",
            "a login is needed to update tags of repository 'a'",
            "'eve' may not update tags of repository 'a'",
        ),
        (
            Action.DELETE,
            "a",
            "a login is needed to delete anything from repository 'a'",
            "'eve' may not delete anything from repository 'a'",
        ),
    ],
)
def test_each_refusal_is_a_sentence(action: Action, repository: str | None, asked: str, refused: str) -> None:
    """What was to be done is said in words, to the anonymous and to the known; of the metrics also who grants them."""
    guard = Guard(Authority(Nothing()))
    unknown = guard.refusal(Principal(), action, repository)
    assert unknown is not None
    assert unknown.reason == asked
    known = guard.refusal(Principal("eve"), action, repository)
    assert known is not None
    assert known.reason == f"{refused}: it is decided by defaultPolicy of pattern '**'"
    assert ("accessControl.metrics.users" in known.remedy) == (action is Action.METRICS)


def test_what_a_key_is_too_narrow_for() -> None:
    """Who may do it, but not with this key, is told of another key and not of other rights."""
    guard = Guard(Authority(OpenPolicy()))
    key = Principal("eve", via=Via.KEY, within=())
    for action, repository, remedy in (
        (Action.READ, "a", "use a key with a wider scope, or make one"),
        (Action.METRICS, None, "use a key without scopes"),
        (Action.ACCOUNT, None, "log in with your password"),
    ):
        refused = guard.refusal(key, action, repository)
        assert isinstance(refused, Denied)
        assert refused.remedy == remedy


def test_routes_is_the_way(app: Flask) -> None:
    """What `Routes` registers passes the check."""
    from flask import Blueprint, Response

    blueprint = Blueprint("more", __name__)
    Routes(blueprint, Guard(Authority(Nothing()))).add("/more", ["GET"], Action.READ, Response)
    app.register_blueprint(blueprint)
    check_guarded(app)
