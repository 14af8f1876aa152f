"""No route goes past the guard."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from zot.api.guard import Guard, Routes, check_guarded
from zot.auth.policy import Action, Policy, Principal
from zot.errors import Denied, Unauthorized

EXPECTED = {
    ("/livez", "GET"): Action.HEALTH,
    ("/metrics", "GET"): Action.METRICS,
    ("/readyz", "GET"): Action.HEALTH,
    ("/startupz", "GET"): Action.HEALTH,
    ("/v2/", "GET"): Action.PING,
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


class Nothing:
    """A policy that allows nothing, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Action, str | None]] = []

    def allows(self, principal: Principal, action: Action, repository: str | None) -> bool:
        """Return False."""
        self.asked.append((action, repository))
        return False

    def reads_everything(self, principal: Principal) -> bool:
        """Return False."""
        return False


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


def test_a_view_runs_only_if_it_may(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a policy that allows nothing every route answers 401 first of all, and asked for its own right."""
    policy = Nothing()
    guards = {cell.cell_contents for view in app.view_functions.values() for cell in view.__closure__ or ()}
    (guard,) = (one for one in guards if isinstance(one, Guard))
    monkeypatch.setattr(guard, "_policy", policy)
    for (rule, method), action in EXPECTED.items():
        path = rule.replace("<repository:name>", "some/repo").replace("<digest>", "bad").replace("<reference>", "v1")
        answer = client.open(path.replace("<session>", "s"), method=method)
        assert answer.status_code == 401, (rule, method)
        assert policy.asked.pop() == (action, "some/repo" if "<repository" in rule else None)
    assert policy.asked == []


def test_anonymous_is_asked_to_log_in_and_others_are_refused() -> None:
    """Who is not known gets 401, who is known and may not gets 403."""
    policy: Policy = Nothing()
    with pytest.raises(Unauthorized):
        Guard(policy).require(Principal(), Action.READ, "a")
    with pytest.raises(Denied) as caught:
        Guard(policy).require(Principal("mallory"), Action.DELETE, "a")
    assert caught.value.status == 403


def test_routes_is_the_way(app: Flask) -> None:
    """What `Routes` registers passes the check."""
    from flask import Blueprint, Response

    blueprint = Blueprint("more", __name__)
    Routes(blueprint, Guard(Nothing())).add("/more", ["GET"], Action.READ, Response)
    app.register_blueprint(blueprint)
    check_guarded(app)
