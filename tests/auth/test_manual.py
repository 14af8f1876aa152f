"""What zot's manual says of logins, as running servers: its fragments, and its lines of curl word for word.

Only addresses, ports and the names of files differ, and credentials where the manual shows those of somebody else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.api.test_apikey import FIELDS
from tests.auth.certificates import ClientAuthority
from tests.auth.slapd import BASE, Slapd
from tests.auth.tokens import Signer
from tests.certificates import Authority
from tests.documents import plain_file
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.provider import CLIENT, SECRET, provider
from tests.server.test_logins import basic, write_users
from tests.server.test_openid import Browser
from tests.servers import PATIENCE, REPOSITORY, Server, free_port, running_server

pytestmark = pytest.mark.e2e

MAKE = """curl -u user:password -X POST http://localhost:8080/zot/auth/apikey -d '{"label": "git", "scopes": ["repo1", "repo2"]}'"""  # noqa: E501
MAKE_WITH_END = """curl -u user:password -X POST http://localhost:8080/zot/auth/apikey -d '{"label": "myAPIKEY", "expirationDate": "2023-08-28T17:10:05+03:00"}'"""  # noqa: E501
LIST = "curl -u user:password -X GET http://localhost:8080/auth/apikey"
USE = "curl -u user:zak_e77bcb9e9f634f1581756abbf9ecd269 http://localhost:8080/v2/_catalog"
REVOKE = "curl -u user:password -X DELETE http://localhost:8080/zot/auth/apikey?id=46a45ce7-5d92-498a-a9cb-9654b1da3da1"
MANUAL = "http://127.0.0.1:8080"
LOGIN = "http://127.0.0.1:8080/zot/auth/login?provider=<provider>&callback_ui=http://127.0.0.1:8080/home"

PASSWORDS = {"user": "password"}
USERS = ("user", "charlie", "alice", "bob", "mallory", "jane", "somebody", "admin")


class Curl(NamedTuple):
    """Runs the manual's lines: `localhost:8080` in them is the server."""

    home: Path

    def __call__(self, line: str) -> Any:
        """Run a line in a shell; returns the document that it printed."""
        environment = {"HOME": str(self.home), "CURL_HOME": str(self.home), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return json.loads(done.stdout)


def fragment(name: str, directory: Path) -> Any:
    """Return a fragment of the manual, completed to a file; what it names is below `test/data` of the directory."""
    config: Any = plain_file(REPOSITORY / f"tests/config/seed/{name}.json")
    config["storage"]["rootDirectory"] = str(directory / "root")
    config["http"]["port"] = 0
    (directory / "test/data").mkdir(parents=True)
    write_users(directory / "test/data/htpasswd", **{user: PASSWORDS.get(user, f"{user}s") for user in USERS})
    return config


@contextmanager
def serving(config: Any, directory: Path) -> Iterator[Server]:
    """Run it with two workers, in the directory to which its paths are relative."""
    (directory / "config.json").write_text(json.dumps(config))
    with running_server(directory, "--workers", "2", config=directory / "config.json") as server:
        yield server


def curl_for(server: Server, directory: Path, need: Callable[..., str]) -> Curl:
    """Return what runs the manual's lines against a server."""
    need("curl")
    home = directory / "curl"
    home.mkdir()
    (home / ".curlrc").write_text(f'silent\nnoproxy = "*"\nconnect-to = "localhost:8080:127.0.0.1:{server.port}"\n')
    return Curl(home)


def test_api_keys(tmp_path: Path, need: Callable[..., str]) -> None:
    """The manual's five lines of curl: a key without and one with an end, the list, the use of a key, and its end."""
    with serving(fragment("apikey", tmp_path), tmp_path) as server:
        curl = curl_for(server, tmp_path, need)
        first = curl(MAKE)
        assert list(first) == [*FIELDS, "apiKey"]
        assert (first["label"], first["scopes"], first["expirationDate"]) == (
            "git",
            ["repo1", "repo2"],
            "0001-01-01T00:00:00Z",
        )
        # It is over since 2023, so the manual's own date makes no key any more; one to come does.
        assert "errors" in curl(MAKE_WITH_END)
        second = curl(MAKE_WITH_END.replace("2023", "2093"))
        assert (second["label"], second["expirationDate"]) == ("myAPIKEY", "2093-08-28T17:10:05+03:00")
        assert second["scopes"] is None
        listed = curl(LIST)
        assert listed == curl(LIST.replace("/auth", "/zot/auth"))
        assert [list(one) for one in listed["apiKeys"]] == [FIELDS, FIELDS]
        assert "errors" in curl(USE)
        use = USE.replace("zak_e77bcb9e9f634f1581756abbf9ecd269", first["apiKey"])
        assert curl(use) == {"repositories": []}
        curl(REVOKE)
        assert curl(use) == {"repositories": []}
        curl(REVOKE.replace("46a45ce7-5d92-498a-a9cb-9654b1da3da1", first["uuid"]))
        assert {json.dumps(curl(use))[:9] for _ in range(6)} == {'{"errors"'}


def test_htpasswd(tmp_path: Path) -> None:
    """A user of the file gets in, others do not."""
    with serving(fragment("htpasswd", tmp_path), tmp_path) as server:
        for header, status in ((basic("user", "password"), 200), (basic("user", "wrong"), 401), ({}, 401)):
            assert server.request("GET", "/v2/_catalog", headers=header)[0] == status


def test_sessions(tmp_path: Path) -> None:
    """Whoever logs in is given the cookie `session`, which authenticates later calls and is kept below the root."""
    with serving(fragment("htpasswd", tmp_path), tmp_path) as server:
        _, headers, _ = server.request("GET", "/v2/", headers=basic("user", "password"))
        name, _, value = headers["set-cookie"].partition(";")[0].partition("=")
        assert name == "session"
        cookie = {"Cookie": f"session={value}"}
        assert {server.request("GET", "/v2/_catalog", headers=cookie)[0] for _ in range(8)} == {200}
        assert len(list((server.root / "_zot-blobs/sessions/of").glob("*/*"))) == 1


def test_a_failure_is_answered_later(tmp_path: Path) -> None:
    """With a failDelay of 5 a wrong password is answered after five seconds, and a right one at once."""
    with serving(fragment("fail-delay", tmp_path), tmp_path) as server:

        def seconds(password: str, status: int) -> float:
            begun = time.monotonic()
            assert server.request("GET", "/v2/", headers=basic("user", password))[0] == status
            return time.monotonic() - begun

        assert seconds("wrong", 401) >= 5 > min(seconds("password", 200) for _ in range(3))


def test_ldap(tmp_path: Path, slapd: Slapd) -> None:
    """The manual's section finds its users below `ou=Users` with the searcher's login, and lets them in."""
    entry = "dn: {}\nobjectClass: {}\n{}\n\n"
    entries = [
        (f"ou=Users,{BASE}", "organizationalUnit", "ou: Users"),
        (
            f"cn=ldap-searcher,ou=Users,{BASE}",
            "organizationalRole\nobjectClass: simpleSecurityObject",
            "cn: ldap-searcher\nuserPassword: ldap-searcher-password",
        ),
        (f"ou=below,ou=Users,{BASE}", "organizationalUnit", "ou: below"),
        (
            f"uid=user,ou=below,ou=Users,{BASE}",
            "inetOrgPerson",
            "uid: user\ncn: user\nsn: x\nuserPassword: of-the-directory",
        ),
    ]
    slapd.change("ldapadd", "".join(entry.format(*one) for one in entries))
    config = fragment("ldap", tmp_path)
    config["http"]["auth"]["ldap"] |= {"address": "127.0.0.1", "port": slapd.port}
    with serving(config, tmp_path) as server:
        for header, status in ((basic("user", "of-the-directory"), 200), (basic("user", "password"), 401), ({}, 401)):
            assert server.request("GET", "/v2/", headers=header)[0] == status


def test_bearer(tmp_path: Path) -> None:
    """A client is sent to the realm for the service, and comes back with a token that the certificate checks."""
    signer, config = Signer(), fragment("bearer", tmp_path)
    signer.write(tmp_path / "test/data/auth.crt")
    with serving(config, tmp_path) as server:
        status, headers, _ = server.request("GET", "/v2/repo/tags/list")
        expected = 'Bearer realm="https://auth.myreg.io/auth/token",service="myauth",scope="repository:repo:pull"'
        assert (status, headers["www-authenticate"]) == (401, expected)
        for token, status in ((signer.token("repository:repo:pull", aud="myauth"), 404), (signer.token(aud="x"), 401)):
            header = {"Authorization": f"Bearer {token}"}
            assert server.request("GET", "/v2/repo/tags/list", headers=header)[0] == status


def test_mutual_tls(tmp_path: Path, need: Callable[..., str]) -> None:
    """A client with a certificate of `cacert` gets in, one without does not, a foreign one is not even connected."""
    config, servers, clients = fragment("mutual-tls", tmp_path), Authority(tmp_path), ClientAuthority()
    data = tmp_path / "test/data"
    shutil.copy(servers.cert, data / "server.cert")
    shutil.copy(servers.key, data / "server.key")
    (data / "cacert.cert").write_bytes(clients.pem)
    clients.issue("ci").files(tmp_path, "own")
    ClientAuthority("others").issue("ci").files(tmp_path, "foreign")
    with serving(config, tmp_path) as server:
        command = [need("curl"), "-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"]
        command += ["--cacert", str(servers.file), f"https://127.0.0.1:{server.port}/v2/"]
        shown = [["--cert", f"{tmp_path}/{who}.cert", "--key", f"{tmp_path}/{who}.key"] for who in ("own", "foreign")]
        seen = [
            subprocess.run([*command, *more], capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
            for more in ([], *shown)
        ]
        assert seen == ["401", "200", "000"]


def test_openid(tmp_path: Path) -> None:
    """The manual's address for a login leads to each provider, back to its callback, and on to its `callback_ui`."""
    config = fragment("openid", tmp_path)
    config["http"]["port"] = str(free_port())
    with provider() as idp:
        github = {"authurl": f"{idp.url}/authorize", "tokenurl": f"{idp.url}/token"}
        for name, section in config["http"]["auth"]["openid"]["providers"].items():
            place = github if name == "github" else {"issuer": idp.url}
            section.update(place, clientid=CLIENT, clientsecret=SECRET)
        with serving(config, tmp_path) as server:
            for name in ("github", "google", "gitlab"):
                browser = Browser()
                status, headers, _ = browser.ask(LOGIN.replace("<provider>", name).replace(MANUAL, server.url))
                assert (status, headers["location"].startswith(f"{idp.url}/authorize?")) == (302, True)
                back = browser.ask(headers["location"])[1]["location"]
                assert back.startswith(f"{server.url}/zot/auth/callback/{name}?")
                status, headers, _ = browser.ask(back)
                assert (status, headers["location"]) == (302, f"{server.url}/home")
                assert browser.ask(f"{server.url}/zot/auth/apikey")[0] == 200


# Who, where, and what they may do: read, create, update, delete, by their first letters. One line or more a comment.
ACCESS = [
    # "user based policies": charlie has his, everywhere that no longer pattern matches.
    ("charlie", "any/repo", "rcu"),
    # "default policy which is applied for authenticated users, other than charlie".
    ("somebody", "any/repo", "rcd"),
    # "anonymous policy which is applied for unauthenticated users => so they can read repositories".
    ("", "any/repo", "r"),
    # "matches all repos under tmp/ recursively", and says nothing of the anonymous.
    ("somebody", "tmp/infra/repo", "rcu"),
    ("charlie", "tmp/infra/repo", "rcu"),
    ("", "tmp/infra/repo", ""),
    # "matches all repos directly under infra/ (not recursively)".
    ("alice", "infra/repo", "rcud"),
    ("bob", "infra/repo", "rcud"),
    ("mallory", "infra/repo", "rc"),
    ("somebody", "infra/repo", "r"),
    ("alice", "infra/below/repo", "rcd"),
    # "matches only repos2/repo repository"; jane is one of group1.
    ("bob", "repos2/repo", "rc"),
    ("jane", "repos2/repo", "rc"),
    ("mallory", "repos2/repo", "rc"),
    ("somebody", "repos2/repo", "r"),
    ("bob", "repos2/repo2", "rcd"),
    # "global admin policy (overrides per-repo policy)".
    ("admin", "any/repo", "rcud"),
    ("admin", "infra/repo", "rcud"),
    ("admin", "repos2/repo", "rcud"),
]


def test_access_control(tmp_path: Path) -> None:
    """Each comment of the manual's accessControl holds for pulls, pushes, overwriting and deleting over HTTP."""
    with serving(fragment("access-control", tmp_path), tmp_path) as server:
        for repository in {repository for _, repository, _ in ACCESS}:
            _push(server, repository, basic("admin", "admins"))
        for user, repository, expected in ACCESS:
            headers = basic(user, f"{user}s") if user else {}
            assert _rights(server, repository, headers) == expected, (user, repository)
        # "also can detect manifests collision": two tags of one digest, which somebody may not delete by the digest.
        _push(server, "any/repo", basic("admin", "admins"), "v2")
        path = f"/v2/any/repo/manifests/{digest_of(manifest())}"
        assert server.request("DELETE", path, headers=basic("somebody", "somebodys"))[0] == 409


def _push(server: Server, repository: str, headers: dict[str, str], tag: str = "v1") -> None:
    for content in (b"{}", b"layer"):
        path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
        assert server.request("POST", path, content, headers)[0] == 201
    media = {"Content-Type": OCI_MANIFEST}
    assert server.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest(), headers | media)[0] == 201


def _rights(server: Server, repository: str, headers: dict[str, str]) -> str:
    """Try to read, to begin a push, to overwrite a tag with what it is, and to delete one that is not there."""
    media = {"Content-Type": OCI_MANIFEST}
    tries = {
        "r": server.request("GET", f"/v2/{repository}/manifests/v1", headers=headers),
        "c": server.request("POST", f"/v2/{repository}/blobs/uploads/", headers=headers),
        "u": server.request("PUT", f"/v2/{repository}/manifests/v1", manifest(), headers | media),
        "d": server.request("DELETE", f"/v2/{repository}/manifests/none", headers=headers),
    }
    refused = 403 if headers else 401
    found = {letter: answer[0] for letter, answer in tries.items()}
    assert set(found.values()) <= {200, 201, 202, 404, refused}, found
    return "".join(letter for letter, status in found.items() if status != refused)
