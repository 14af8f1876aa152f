"""`zot verify --online`: what a configuration names is tried, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from tests.auth.slapd import ADMIN, BASE, Slapd
from tests.faults import Fault, fault_proxy
from tests.provider import provider
from tests.servers import environment, free_port, zot
from tests.services import S3Server

WORST = ["good", "warning", "bad"]


def verify(tmp_path: Path, configuration: object, *before: str) -> tuple[int, dict[str, str]]:
    """Return the status, and the worst state of each thing that was tried, by its first word or key."""
    status, found = findings(tmp_path, configuration, *before)
    states: dict[str, str] = {}
    for one in found:
        name = one["what"].partition(" ")[0]
        states[name] = max(states.get(name, "good"), one["state"], key=WORST.index)
    return status, states


def findings(tmp_path: Path, configuration: object, *before: str) -> tuple[int, list[dict[str, str]]]:
    """Return the status, and what was found."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps(configuration))
    command = [*before, *zot("verify", "--online", "--output", "json", str(file))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    (document,) = json.loads(done.stdout)["files"]
    assert document["valid"], document
    found: list[dict[str, str]] = document["online"]
    assert all(one["remedy"] or one["state"] == "good" for one in found)
    return done.returncode, found


def finding(tmp_path: Path, configuration: object, key: str) -> tuple[int, str, str]:
    """Return the status, and the state and the words of what was found at a key."""
    status, found = findings(tmp_path, configuration)
    (one,) = (one for one in found if one["what"].startswith(key))
    return status, one["state"], one["said"]


def tls(tmp_path: Path, issued: trustme.LeafCert) -> Any:
    """Return a configuration with a certificate and its key."""
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    issued.private_key_pem.write_to_path(tmp_path / "key")
    names = {"cert": str(tmp_path / "cert"), "key": str(tmp_path / "key")}
    return {"storage": {"rootDirectory": str(root)}, "http": {"tls": names}}


def test_a_directory(tmp_path: Path) -> None:
    """A directory that can be used is, and one that is not there would be made; neither is changed."""
    (tmp_path / "root").mkdir()
    status, states = verify(tmp_path, {"storage": {"rootDirectory": f"{tmp_path}/root"}})
    assert (status, set(states)) == (0, {"root"})
    assert verify(tmp_path, {"storage": {"rootDirectory": f"{tmp_path}/new/root"}})[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "root"]
    assert list((tmp_path / "root").iterdir()) == []


def test_a_directory_that_can_not_be_written_to(tmp_path: Path, need: Callable[..., str]) -> None:
    """What this user may not write to is bad, and so is what is below a file."""
    root = tmp_path / "root"
    root.mkdir(mode=0o555)
    drop = [need("setpriv", "install util-linux"), "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    assert verify(tmp_path, {"storage": {"rootDirectory": str(root)}}, *drop) == (1, {"root": "bad"})
    (tmp_path / "file").write_text("")
    assert verify(tmp_path, {"storage": {"rootDirectory": f"{tmp_path}/file/root"}})[0] == 1


def test_log_files(tmp_path: Path) -> None:
    """A file that can be made is good and is not made; a directory, and a file below nothing, are bad."""
    storage = {"rootDirectory": f"{tmp_path}/root"}
    status, states = verify(
        tmp_path, {"storage": storage, "log": {"output": f"{tmp_path}/a.log", "audit": str(tmp_path)}}
    )
    assert (status, states["log.output"], states["log.audit"]) == (1, "good", "bad")
    assert not (tmp_path / "a.log").exists()
    status, states = verify(tmp_path, {"storage": storage, "log": {"output": f"{tmp_path}/none/a.log"}})
    assert (status, states["log.output"]) == (1, "bad")


@pytest.mark.parametrize("command", [("verify", "--online"), ("doctor",)], ids=" ".join)
def test_what_this_user_can_not_reach(tmp_path: Path, command: tuple[str, ...], need: Callable[..., str]) -> None:
    """Of a log or a root in a directory that is closed to this user is told which that is, and as whom to run."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o600)
    file = tmp_path / "c.json"
    log = {"output": f"{shut}/a.log"}
    file.write_text(json.dumps({"storage": {"rootDirectory": f"{shut}/root"}, "log": log}))
    # The superuser gets everywhere, unless that ability is taken away.
    bounds = "--bounding-set=-dac_override,-dac_read_search"
    drop = [need("setpriv", "install util-linux"), bounds] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*drop, *zot(*command, str(file))], capture_output=True, text=True, env=environment(), check=False
    )
    told = done.stdout + done.stderr
    assert (done.returncode, "a fault of zot" in told) == (1, False), told
    for what in (f"root {shut}/root", f"log.output {shut}/a.log"):
        (line,) = [line for line in told.splitlines() if what in line]
        assert f"this user can't get into {shut}; run it as " in line


def test_certificates(tmp_path: Path) -> None:
    """A certificate and its key are good, and of how long it is valid is told."""
    one = trustme.CA().issue_cert("zot.example.com")
    status, states = verify(tmp_path, tls(tmp_path, one))
    assert (status, "certificate" in states) == (0, True)


def test_users(tmp_path: Path) -> None:
    """How many users a file has, every line that is none or of no use, and to whom rights are given that is no user."""
    lines = ["alice:$2b$05$" + "." * 53, "bob:$apr1$x$y", "no colon", "# a remark", "", "alice:$6$x$y"]
    (tmp_path / "users").write_text("\n".join(lines))
    rules = {"team/**": {"policies": [{"users": ["alice", "carol"], "actions": ["read"]}]}}
    http = {"auth": {"htpasswd": {"path": str(tmp_path / "users")}}, "accessControl": {"repositories": rules}}
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http}))
    done = subprocess.run(
        zot("verify", "--online", str(file)), capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0
    assert f"htpasswd {tmp_path}/users: 1 user\n" in done.stdout
    told = [line.partition(": warning: ")[2] for line in done.stderr.splitlines() if line.startswith("htpasswd")]
    assert [line.partition(";")[0] for line in told] == [
        "line 2: the hash of 'bob' is none of bcrypt, $5$ and $6$",
        "line 3 is not USER:HASH, and is passed over",
        "line 6 is about 'alice' again, and takes the place of the line before",
    ]
    assert done.stderr.count("nobody can log in as 'carol'") == 1


@pytest.fixture
def answering() -> Iterator[str]:
    """A server that is an OpenID provider and a registry that wants a login."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_discovery = self.path == "/.well-known/openid-configuration"
            body = json.dumps({"issuer": f"http://127.0.0.1:{self.connection.getsockname()[1]}"}).encode()
            self.send_response(200 if is_discovery else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def named(url: str, port: int) -> Any:
    """Return a configuration that names a provider, a registry, a directory service and a bucket."""
    provider = {"issuer": url, "clientid": "c", "scopes": ["openid"]}
    ldap = {"address": "127.0.0.1", "port": port, "startTLS": True, "baseDN": "dc=x", "userAttribute": "uid"}
    at = f"http://127.0.0.1:{port}"
    driver = {"name": "s3", "bucket": "b", "regionendpoint": at, "accesskey": "k", "secretkey": "s"}
    return {
        "storage": {"storageDriver": driver},
        "http": {"auth": {"ldap": ldap, "openid": {"providers": {"oidc": provider}}}},
        "extensions": {"sync": {"registries": [{"urls": [f"{url}/x"], "onDemand": True}], "downloadDir": "/tmp"}},
    }


def test_what_answers_and_what_does_not(tmp_path: Path, answering: str) -> None:
    """A provider and a registry that answer are good; what does not answer is bad, each by its key."""
    port = free_port()
    names = (
        "storage.storageDriver",
        "http.auth.ldap",
        "http.auth.openid.providers.oidc",
        "extensions.sync.registries[0]",
    )
    assert verify(tmp_path, named(answering, port)) == (
        1, dict(zip(names, ("bad", "bad", "good", "good"), strict=True)),
    )  # fmt: skip
    assert verify(tmp_path, named(f"http://127.0.0.1:{port}", port)) == (1, dict.fromkeys(names, "bad"))


@pytest.mark.parametrize(
    ("ends", "status", "state", "said"),
    [(timedelta(days=90), 0, "good", "valid until"), (timedelta(days=9), 0, "warning", "9 days"),
     (timedelta(0), 0, "warning", "0 days"), (timedelta(days=-3), 1, "bad", "ended on")],
)  # fmt: skip
def test_when_a_certificate_ends(tmp_path: Path, ends: timedelta, status: int, state: str, said: str) -> None:
    """The day on which it ends is said; within a month is a warning, whatever it was made for; over is bad."""
    now = datetime.now(UTC)
    made = trustme.CA().issue_cert(
        "a.example", not_before=now - timedelta(days=4), not_after=now + ends + timedelta(hours=1)
    )
    code, found, words = finding(tmp_path, tls(tmp_path, made), "certificate")
    assert (code, found) == (status, state)
    assert said in words
    assert f"{now + ends + timedelta(hours=1):%Y-%m-%d}" in words


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [({}, 0, "lets us in"), ({"bindPassword": "wrong"}, 1, "refuses bindDN: invalidCredentials"),
     ({"cacert": ""}, 1, "")],
)  # fmt: skip
def test_a_directory_service(tmp_path: Path, slapd: Slapd, changes: dict[str, Any], status: int, said: str) -> None:
    """A real slapd lets us in over TLS; a wrong password is bad, and so is a certificate that nobody vouches for."""
    ldap = {
        "address": "127.0.0.1", "port": slapd.tls_port, "insecure": False, "cacert": slapd.ca, "baseDN": BASE,
        "userAttribute": "uid", "bindDN": ADMIN, "bindPassword": "adminpw",
    }  # fmt: skip
    root = {"rootDirectory": str(tmp_path / "root")}
    settings = {"storage": root, "http": {"auth": {"ldap": ldap | changes}}}
    code, state, words = finding(tmp_path, settings, "http.auth.ldap")
    assert (code, state) == (status, "bad" if status else "good")
    assert said in words
    assert "wrong" not in words


@pytest.mark.parametrize("name", ["moto", pytest.param("seaweedfs", marks=pytest.mark.e2e)])
def test_a_bucket(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    """A bucket that is there and keeps conditions is good, one that is not there is bad; nothing is left in it."""
    server: S3Server = request.getfixturevalue(name)
    driver = server.driver(f"verify-{name}")
    code, state, words = finding(tmp_path, {"storage": {"storageDriver": driver}}, "storage.storageDriver")
    assert (code, state) == (0, "good"), words
    missing = {"storage": {"storageDriver": driver | {"bucket": "not-there"}}}
    code, state, words = finding(tmp_path, missing, "storage.storageDriver")
    assert (code, state) == (1, "bad")
    assert "not-there" in words
    below = {"rootDirectory": str(tmp_path / "root"), "subPaths": {"/s": {"gc": True, **missing["storage"]}}}
    key = "storage.subPaths./s.storageDriver"
    (one,) = (one for one in findings(tmp_path, {"storage": below})[1] if one["what"] == key)
    assert (one["state"], one["remedy"]) == ("bad", f"make the bucket, or correct {key}.bucket")


def test_a_bucket_that_takes_no_conditions(tmp_path: Path, moto: S3Server) -> None:
    """A server that passes over If-None-Match is found out."""
    with fault_proxy(moto.endpoint) as proxy:
        proxy.rule = lambda *_: Fault(without=("if-none-match",))
        driver = moto.driver("deaf") | {"regionendpoint": proxy.endpoint}
        code, state, words = finding(tmp_path, {"storage": {"storageDriver": driver}}, "storage.storageDriver")
    assert (code, state) == (1, "bad")
    assert "ignores If-None-Match" in words


def test_an_openid_provider(tmp_path: Path) -> None:
    """A provider that answers as the issuer is good; one of another name, and an address without one, are bad."""
    with provider() as found:

        def look(issuer: str) -> tuple[int, str]:
            oidc = {"issuer": issuer, "clientid": "c", "clientsecret": "s", "scopes": ["openid"]}
            http = {"auth": {"openid": {"providers": {"oidc": oidc}}}}
            settings = {"storage": {"rootDirectory": str(tmp_path / "root")}, "http": http}
            return finding(tmp_path, settings, "http.auth.openid.providers.oidc")[:2]

        assert look(found.url) == (0, "good")
        assert look(f"{found.url}/realms/none") == (1, "bad")
        found.metadata["issuer"] = "https://other.example"
        assert look(found.url) == (1, "bad")
