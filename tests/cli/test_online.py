"""`zot verify --online`: what a configuration names is tried, and nothing is left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

from tests.servers import environment, zot


def verify(tmp_path: Path, configuration: object, *before: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the status, and outcome and words by key."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps(configuration))
    command = [*before, *zot("verify", "--online", "--output", "json", str(file))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    (document,) = json.loads(done.stdout)
    assert document["valid"], document
    return done.returncode, {one["key"]: (one["outcome"], one["what"]) for one in document["online"]}


def tls(tmp_path: Path, certificate: trustme.LeafCert, key: trustme.LeafCert) -> Any:
    """Return a configuration with the certificate of one and the key of another."""
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    key.private_key_pem.write_to_path(tmp_path / "key")
    names = {"cert": str(tmp_path / "cert"), "key": str(tmp_path / "key")}
    return {"storage": {"rootDirectory": str(root)}, "http": {"tls": names}}


def test_a_directory(tmp_path: Path) -> None:
    """A directory that can be used is, and one that is not there would be made; neither is changed."""
    (tmp_path / "root").mkdir()
    status, tried = verify(tmp_path, {"storage": {"rootDirectory": f"{tmp_path}/root"}})
    assert (status, tried) == (0, {"storage.rootDirectory": ("ok", "it can be written to and has hard links")})
    assert verify(tmp_path, {"storage": {"rootDirectory": f"{tmp_path}/new/root"}})[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "root"]
    assert list((tmp_path / "root").iterdir()) == []


def test_a_directory_that_can_not_be_written_to(tmp_path: Path, need: Callable[..., str]) -> None:
    """What this user may not write to fails, and so does what is below a file."""
    root = tmp_path / "root"
    root.mkdir(mode=0o555)
    drop = [need("setpriv", "install util-linux"), "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    status, tried = verify(tmp_path, {"storage": {"rootDirectory": str(root)}}, *drop)
    assert (status, tried["storage.rootDirectory"][0]) == (1, "failed")
    (tmp_path / "file").write_text("")
    assert verify(tmp_path, {"storage": {"rootDirectory": f"{tmp_path}/file/root"}})[0] == 1


def test_certificates(tmp_path: Path) -> None:
    """A certificate is shown with its names and its end; soon over is a warning, over or of another key a failure."""
    authority = trustme.CA()
    now = datetime.now(UTC)
    good, other = authority.issue_cert("zot.example.com"), authority.issue_cert("zot.example.com")
    soon = authority.issue_cert("zot.example.com", not_after=now + timedelta(days=3))
    over = authority.issue_cert("zot.example.com", not_before=now - timedelta(9), not_after=now - timedelta(1))
    status, tried = verify(tmp_path, tls(tmp_path, good, good))
    assert (status, tried["http.tls.cert"][0]) == (0, "ok")
    assert "zot.example.com" in tried["http.tls.cert"][1]
    status, tried = verify(tmp_path, tls(tmp_path, soon, soon))
    assert (status, tried["http.tls.cert"][0]) == (0, "warning")
    status, tried = verify(tmp_path, tls(tmp_path, over, over))
    assert (status, tried["http.tls.cert"]) == (1, ("failed", "clients refuse it: certificate has expired"))
    status, tried = verify(tmp_path, tls(tmp_path, good, other))
    assert (status, tried["http.tls"][0]) == (1, "failed")


def test_what_does_not_answer(tmp_path: Path) -> None:
    """A directory service and a bucket that do not answer fail; what this version does not try is said."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ldap = {"address": "127.0.0.1", "port": port, "startTLS": True, "baseDN": "dc=x", "userAttribute": "uid"}
    driver = {
        "name": "s3",
        "bucket": "b",
        "regionendpoint": f"http://127.0.0.1:{port}",
        "accesskey": "k",
        "secretkey": "s",
    }
    sync = {"registries": [{"urls": ["https://registry.example.com"], "onDemand": True}], "downloadDir": str(tmp_path)}
    status, tried = verify(
        tmp_path,
        {"storage": {"storageDriver": driver}, "http": {"auth": {"ldap": ldap}}, "extensions": {"sync": sync}},
    )
    assert status == 1
    assert {key: outcome for key, (outcome, _) in tried.items()} == {
        "storage.storageDriver": "failed", "http.auth.ldap": "failed", "extensions.sync.registries[0]": "untried",
    }  # fmt: skip
