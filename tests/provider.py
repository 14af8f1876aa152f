"""Providers of identities for tests: one of OpenID Connect, and one that answers as GitHub does. They run in a thread.

The user is whoever `claims` or `user` say, and has always agreed already: `/authorize` sends the browser straight back.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.auth.tokens import Signer
from tests.background import answering

CLIENT, SECRET = "zot-client", "s3cret-0f-the-client"


class FakeProvider:
    """What the providers know, and what they were asked; a test changes it as it likes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reset()

    def reset(self) -> None:
        """Be as in the beginning."""
        self.signer = Signer()
        self.kid = "one"
        self.claims: dict[str, Any] = {
            "sub": "1",
            "email": "alice@example.org",
            "email_verified": True,
            "groups": ["devs"],
        }
        self.userinfo: dict[str, Any] = {"sub": "1"}
        self.metadata: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}
        """Claims of the ID token that are other than they should be; None takes one out."""
        self.user: dict[str, Any] = {"login": "alice", "id": 7, "email": "public@example.org"}
        self.emails = [
            {"email": "old@example.org", "primary": False, "verified": True},
            {"email": "alice@example.org", "primary": True, "verified": True},
        ]
        self.orgs: list[dict[str, Any]] | None = [{"login": "home"}]
        self.teams: list[dict[str, Any]] = [{"slug": "devs", "organization": {"login": "home"}}]
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser is sent back to, with a code."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        back = {"code": code, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Change a code, once, for tokens; the verifier must be that of the challenge (RFC 7636)."""
        begun = self.codes.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if (
            begun is None
            or begun["code_challenge"] != challenge.decode()
            or begun["redirect_uri"] != form["redirect_uri"]
        ):
            return None
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": begun.get("nonce"),
            **self.claims, **self.changed,
        }  # fmt: skip
        encoded = self.signer.sign({key: value for key, value in claims.items() if value is not None}, kid=self.kid)
        return {"access_token": "canary-access-token", "token_type": "Bearer", "id_token": encoded}

    def answer(self, path: str) -> Any:
        """Return the document at a path; None if there is none, and a number for an error."""
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "end_session_endpoint": f"{self.url}/logout",
                **self.metadata,
            },
            "/keys": {"keys": [self.signer.jwk(kid=self.kid, use="sig")]},
            "/userinfo": self.userinfo,
            "/api/v3/user": self.user,
            "/api/v3/user/emails": self.emails,
            "/api/v3/user/orgs": 403 if self.orgs is None else self.orgs,
            "/api/v3/user/teams": self.teams,
        }
        return documents.get(path)


@contextmanager
def provider() -> Iterator[FakeProvider]:
    """Run one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            found.asked.append(parts.path)
            if parts.path == "/authorize":
                self._send(302, {}, found.authorize(query))
                return
            answer = found.answer(parts.path)
            private = parts.path == "/userinfo" or parts.path.startswith("/api/")
            if private and self.headers.get("Authorization") != "Bearer canary-access-token":
                self._send(401, {})
            elif isinstance(answer, list):
                page, size = int(query.get("page", 1)), int(query["per_page"])
                self._send(200, answer[(page - 1) * size : page * size])
            elif isinstance(answer, int) or answer is None:
                self._send(answer or 404, {})
            else:
                self._send(200, answer)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(body).items()}
            found.asked.append(self.path)
            tokens = found.token(form)
            self._send(400 if tokens is None else 200, tokens or {"error": "invalid_grant"})

        def _send(self, status: int, document: Any, location: str = "") -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = FakeProvider(f"http://127.0.0.1:{server.server_address[1]}")
        with answering(server):
            yield found
