"""A real provider of OpenID Connect for tests: npm's oidc-provider, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import free_port, wait_until


@dataclass(frozen=True)
class OidcProvider:
    """A running provider, and the port that it expects the registry on."""

    url: str
    registry_port: int
    settings: Path

    def section(self, **more: Any) -> dict[str, Any]:
        """Return `http.auth.openid` of a configuration that uses the provider; a value of None takes a key out."""
        provider = {
            "name": "Corporate SSO",
            "issuer": self.url,
            "clientid": "zot-client",
            "clientsecret": "a-secret-of-the-client",
            "scopes": ["openid", "profile", "email", "groups"],
            **more,
        }
        return {"providers": {"oidc": {key: value for key, value in provider.items() if value is not None}}}

    def change(self, user: str, **claims: Any) -> None:
        """Say other claims of a user from now on; without claims take the users out."""
        settings = json.loads(self.settings.read_text())
        settings["users"] = {**settings["users"], user: claims} if claims else {}
        self.settings.write_text(json.dumps(settings))


@contextmanager
def oidc_provider(program: str, directory: Path, **client: Any) -> Iterator[OidcProvider]:
    """Run one that knows a client, the registry, and a user, alice; `client` are further facts of the former."""
    port, registry_port = free_port(), free_port()
    own = f"http://127.0.0.1:{registry_port}"
    known = {
        "client_id": "zot-client",
        "client_secret": "a-secret-of-the-client",
        "redirect_uris": [f"{own}/zot/auth/callback/oidc"],
        "post_logout_redirect_uris": [f"{own}/login"],
        **client,
    }
    known = {key: value for key, value in known.items() if value is not None}
    alice = {"email": "alice@example.org", "email_verified": True, "name": "Alice", "groups": ["devs"]}
    settings = directory / "oidc-provider.json"
    settings.write_text(json.dumps({"port": port, "clients": [known], "users": {"alice": alice}}))
    with (directory / "oidc-provider.log").open("wb") as log:
        process = subprocess.Popen([program, settings], stdout=log, stderr=log)
    found = OidcProvider(f"http://127.0.0.1:{port}", registry_port, settings)
    try:
        wait_until(lambda: process.poll() is not None or answers(found.url), "the provider answers")
        yield found
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    """Tell whether an issuer describes itself."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/.well-known/openid-configuration", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False
