"""A token server as registries have one beside them: gives out tokens to users with a password, and to the anonymous.

`GET /token?service=&scope=` with Basic, as distribution's "Token Authentication" describes it. It runs in a thread.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.auth.tokens import SERVICE, Signer
from tests.background import answering


class TokenServer:
    """What it knows and what it was asked. `users` have passwords; `rights` says which actions a user has anywhere."""

    def __init__(self, realm: str) -> None:
        self.realm = realm
        self.signer = Signer()
        self.users = {"alice": "alices", "eve": "eves"}
        self.rights = {"alice": {"pull", "push", "delete", "*"}, "eve": {"pull"}, "": set[str]()}
        self.asked: list[dict[str, Any]] = []

    def grant(self, user: str, service: str, scopes: list[str]) -> str:
        """Return a token with what the user may do of what was asked for."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": sorted(self.rights[user] & set(actions.split(",")))})
        return self.signer.token(sub=user, aud=service, access=access)


@contextmanager
def token_server(address: str) -> Iterator[TokenServer]:
    """Run one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
            user, _, password = b64decode(encoded).decode().partition(":") if scheme == "Basic" else ("", "", "")
            found.asked.append({"user": user, **query})
            if user and found.users.get(user) != password:
                self._answer(401, {"details": "wrong"})
                return
            scopes = [one for value in query.get("scope", []) for one in value.split()]
            token = found.grant(user, query.get("service", [SERVICE])[0], scopes)
            self._answer(200, {"token": token, "access_token": token, "expires_in": 300})

        def do_POST(self) -> None:
            # containerd tries this first, and goes on with GET.
            self._answer(404, {})

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer((address, 0), Handler) as server:
        found = TokenServer(f"http://{address}:{server.server_address[1]}/token")
        with answering(server):
            yield found
