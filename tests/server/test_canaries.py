"""A canary in every secret key at once: it is in nothing that a server, or a command beside it, says anywhere."""

from __future__ import annotations

import json
import signal
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.slapd import ADMIN, BASE, Slapd
from tests.config.test_secrets import SECRETS, whole
from tests.faults import Fault, FaultProxy, fault_proxy
from tests.provider import FakeProvider, provider
from tests.servers import Server, environment, running_server, wait_until, zot
from tests.services import S3Server

CANARY = "CANARY-7f3a-0123"
ALICE = {"Authorization": "Basic " + b64encode(b"alice:CANARY-7f3a-alice").decode()}


def configuration(directory: Path, proxy: FaultProxy, moto: S3Server, slapd: Slapd, found: FakeProvider) -> Any:
    """Return a configuration with a canary in every secret key, that a server starts with and comes to grief by."""
    document = whole(CANARY, *SECRETS)
    storage, auth = document["storage"], document["http"]["auth"]
    place = {key: moto.driver()[key] for key in ("bucket", "region")} | {"regionendpoint": proxy.endpoint}
    storage["storageDriver"] |= place | {"rootdirectory": directory.name}
    storage["gcInterval"] = "1s"
    sub_path = storage["subPaths"].pop("oidc")
    sub_path["storageDriver"] |= place | {"rootdirectory": f"{directory.name}-sub"}
    storage["subPaths"]["/sub"] = sub_path
    auth["ldap"] |= {
        "address": "127.0.0.1", "port": slapd.tls_port, "insecure": False, "cacert": slapd.ca, "baseDN": BASE,
        "userAttribute": "uid", "bindDN": ADMIN,
    }  # fmt: skip
    auth["openid"]["providers"]["oidc"] |= {"issuer": found.url, "clientid": "c", "scopes": ["openid"]}
    auth["apikey"] = True
    document["http"] |= {
        "port": 0,
        "externalUrl": "http://127.0.0.1:1",
        "accessControl": {"repositories": {"**": {"anonymousPolicy": ["read", "create"]}}},
    }
    document["log"] = {"level": "debug", "output": str(directory / "log"), "audit": str(directory / "audit")}
    document["extensions"]["metrics"] = {"enable": True}
    return document


@pytest.fixture
def others(moto: S3Server, slapd: Slapd) -> Iterator[tuple[FaultProxy, S3Server, Slapd, FakeProvider]]:
    """Return the servers that the secrets are for: a bucket behind a proxy, a directory, a provider."""
    with fault_proxy(moto.endpoint) as proxy, provider() as found:
        yield proxy, moto, slapd, found


def said_by_commands(file: Path) -> str:
    """Return all that commands print about the configuration."""
    said = ""
    for command in (
        ["config", "show"], ["verify", "--online"], ["doctor"], ["gc", "run"], ["scrub", "run"], ["du"],
        ["apikey", "create", "--user", "nobody", "--label", "l"], ["auth", "check"],
    ):  # fmt: skip
        where = [str(file)] if command[0] in ("config", "verify") else ["--config", str(file)]
        done = subprocess.run(zot(*command, *where), capture_output=True, env=environment(), check=False)
        said += f"{command}\n{(done.stdout + done.stderr).decode()}\n"
        assert "Traceback" not in said
    return said


def provoke(server: Server) -> str:
    """Ask for all that needs a secret; returns the answers."""
    said = ""
    for method, path, headers in (
        ("GET", "/v2/", ALICE),
        ("GET", "/v2/a/tags/list", {}),
        ("POST", "/v2/a/blobs/uploads/", {}),
        ("POST", "/v2/sub/a/blobs/uploads/", {}),
        ("POST", "/zot/auth/apikey", ALICE),
        ("GET", "/zot/auth/login?provider=oidc", {}),
        ("GET", "/zot/auth/callback/oidc?code=c&state=s", {}),
        ("GET", "/readyz", {}),
        ("GET", "/metrics", {}),
    ):
        status, got, body = server.request(method, path, b"" if method == "POST" else None, headers)
        said += f"{method} {path} {status} {got} {body!r}\n"
    return said


def test_no_secret_is_said(tmp_path: Path, others: tuple[FaultProxy, S3Server, Slapd, FakeProvider]) -> None:
    """Not in logs down to debug, audit lines, errors, metrics, command lines, or in what commands print.

    So it is while all goes well, while the bucket refuses and fails, and when a broken file is to be taken up.
    """
    proxy = others[0]
    file = tmp_path / "config.json"
    document = configuration(tmp_path, *others)
    file.write_text(json.dumps(document))
    with running_server(tmp_path, "--workers", "2", config=file) as server:
        said = provoke(server) + said_by_commands(file)
        assert "refuses bindDN" in said, "the secrets were used"
        for fault in (Fault(403), Fault(500)):
            proxy.rule = lambda *_, fault=fault: fault
            said += provoke(server)
        proxy.rule = lambda *_: None
        file.write_text(json.dumps(document | {"prot": 1}))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "prot" in (tmp_path / "log").read_text(), "the broken file was looked at")
        said += said_by_commands(file)
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                said += process.read_text(errors="replace").replace("\0", " ")
            except OSError:
                continue
    said += "".join((tmp_path / name).read_text() for name in ("log", "audit", "server.log"))
    basic = ALICE["Authorization"].split()[1]
    found = [line[:500] for line in said.splitlines() if "CANARY" in line or basic in line]
    assert found == []
