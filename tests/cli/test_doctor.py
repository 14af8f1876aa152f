"""`zot doctor`, on machines that are fit and on some that are not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.background import answering
from tests.certificates import Authority
from tests.cli.test_commands import run
from tests.servers import Server, running_server
from zot import checkup


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a root of its own."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "root")}}))
    return file


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the state of each finding, the worst for each thing that was looked at."""
    found: dict[str, str] = {}
    for finding in json.loads(done.stdout)["findings"]:
        known = found.get(finding["what"], "good")
        found[finding["what"]] = max(known, finding["state"], key=["good", "warning", "bad"].index)
        assert finding["remedy"] or finding["state"] == "good"
    return found


def test_a_fit_machine(config: Path) -> None:
    """Nothing is bad, it leaves with 0, and makes no store where none is."""
    done = run("doctor", "--config", str(config), "--output", "json")
    assert done.returncode == 0, done.stdout
    assert "bad" not in states(done).values()
    assert not (config.parent / "root").exists()
    assert "root" in run("doctor", "--config", str(config)).stdout


def test_quiet_says_only_what_is_not_good(config: Path) -> None:
    """What is good is left out, for people; warnings and what is bad stay."""
    (config.parent / "root").write_text("no directory")
    done = run("doctor", "--config", str(config), "--quiet")
    assert f"bad     root {config.parent}/root: " in done.stdout
    assert not any(line.startswith("good") for line in done.stdout.splitlines())
    assert any(line.startswith("good") for line in run("doctor", "--config", str(config)).stdout.splitlines())


def test_a_root_that_can_t_be_used(config: Path) -> None:
    """A root that is a file is bad, with a remedy and status 1."""
    (config.parent / "root").write_text("no directory")
    done = run("doctor", "--config", str(config), "--output", "json")
    assert done.returncode == 1
    assert states(done)[f"root {config.parent}/root"] == "bad"


def test_a_root_where_nothing_can_be_written() -> None:
    """Where the system refuses every file, that is a finding."""
    *_, last = checkup.root("/proc/registry")
    assert (last.state, "nothing can be written" in last.said) == ("bad", True)


@pytest.mark.parametrize(("dedupe", "said"), [(True, "so repositories share blobs"), (False, "dedupe is off here")])
def test_whether_blobs_are_shared(config: Path, dedupe: bool, said: str) -> None:
    """It says so only where it is so."""
    document = json.loads(config.read_text())
    document["storage"]["dedupe"] = dedupe
    config.write_text(json.dumps(document))
    for command in (("doctor", "--config", str(config)), ("verify", "--online", str(config))):
        assert said in run(*command).stdout


def test_a_registry_is_seen_from_outside(config: Path, shared_server: Server) -> None:
    """A server that clients reach is good; where nobody listens is bad."""
    url = f"from outside {shared_server.url}"
    done = run("doctor", "--config", str(config), "--url", shared_server.url, "--output", "json")
    assert states(done)[url] == "good"
    assert shared_server.request("GET", "/v2/_catalog")[2] == b'{"repositories":[]}'
    done = run("doctor", "--config", str(config), "--url", "http://127.0.0.1:1", "--output", "json")
    assert (done.returncode, states(done)["from outside http://127.0.0.1:1"]) == (1, "bad")


def test_what_the_configuration_is_warned_of_is_repeated(config: Path) -> None:
    """A sub-path that does not say whether garbage is collected is a warning, by its key."""
    storage = {
        "rootDirectory": str(config.parent / "root"),
        "subPaths": {"/a": {"rootDirectory": f"{config.parent}/a"}},
    }
    config.write_text(json.dumps({"storage": storage}))
    done = run("doctor", "--config", str(config), "--output", "json")
    assert (done.returncode, states(done)["storage.subPaths./a.gc"]) == (0, "warning")


def test_layouts_that_are_not_served_are_told(config: Path) -> None:
    """Each is a warning with its directory and a remedy, twenty of them by name; those that are served are counted."""
    root = config.parent / "root"
    for name in ("good", *(f"Bad{number}" for number in range(25))):
        (root / name / "blobs").mkdir(parents=True)
        (root / name / "index.json").write_text("{}")
    done = run("doctor", "--config", str(config), "--output", "json")
    found = [one for one in json.loads(done.stdout)["findings"] if one["what"].startswith("layout")]
    assert (done.returncode, len(found)) == (0, 22)
    assert found[0]["what"].startswith(f"layout {root}/Bad")
    assert found[0]["remedy"].startswith("rename the directory: use lower-case letters")
    assert [one["said"] for one in found[20:]] == [
        "5 more are not served", "1 layout below the roots has a name that is served",
    ]  # fmt: skip


def test_an_address_is_whole(config: Path) -> None:
    """An address without its scheme is wrong use."""
    done = run("doctor", "--config", str(config), "--url", "127.0.0.1:8080")
    assert done.returncode == 2
    assert "write it with its scheme: https://HOST:PORT" in done.stderr


def test_what_is_wrong_with_tls_is_said(tmp_path: Path, shared_server: Server) -> None:
    """An unknown authority, the wrong scheme and a file that is no authority each have their own remedy."""
    authority = Authority(tmp_path)
    settings = {"http": {"port": 0, "tls": authority.tls}}
    with running_server(tmp_path, settings=settings, authority=authority.file) as secure:
        assert [one.state for one in checkup.outside(secure.url, str(authority.file))] == ["good", "good"]
        (unknown,) = checkup.outside(secure.url)
        (plain,) = checkup.outside(secure.url.replace("https", "http"))
        (no_authority,) = checkup.outside(secure.url, str(secure.log))
    (encrypted,) = checkup.outside(shared_server.url.replace("http", "https"))
    assert "--cafile" in unknown.remedy
    assert "this port speaks HTTPS" in plain.said
    assert plain.remedy == "use https://"
    assert "holds no certificate" in no_authority.said
    assert "does not speak TLS" in encrypted.said
    assert encrypted.remedy.startswith(f"ask {shared_server.url},")


class _Small(BaseHTTPRequestHandler):
    """A proxy that takes no bodies worth speaking of."""

    def do_GET(self) -> None:
        """Answer as a registry."""
        self._answer(200)

    def do_POST(self) -> None:
        """Refuse the body."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(413)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def small_proxy() -> Iterator[str]:
    """The address of such a proxy."""
    with HTTPServer(("127.0.0.1", 0), _Small) as server, answering(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_a_proxy_that_refuses_large_bodies_is_found(small_proxy: str) -> None:
    """The finding names the remedy."""
    *_, last = checkup.outside(small_proxy)
    assert (last.state, "client_max_body_size" in last.remedy) == ("bad", True)


class _Cutting(_Small):
    """A proxy that hangs up on bodies, without a word."""

    def do_POST(self) -> None:
        """Hang up."""
        self.close_connection = True


def test_a_cut_connection_is_a_finding_of_its_own() -> None:
    """Who answers small requests and hangs up on a large body is told apart from who can't be reached."""
    with HTTPServer(("127.0.0.1", 0), _Cutting) as server, answering(server):
        good, bad = checkup.outside(f"http://127.0.0.1:{server.server_port}")
    assert good.state == "good"
    assert "a body of 2 MiB does not get through" in bad.said
    assert "it cut the connection" in bad.said


def test_certificates_are_looked_at(tmp_path: Path) -> None:
    """A pair that fits is good or warned of by its date; a key of another certificate is bad, and so is none at all."""
    (tmp_path / "other").mkdir()
    pair, other = Authority(tmp_path), Authority(tmp_path / "other")
    (found,) = checkup.certificate(str(pair.cert), str(pair.key))
    assert found.state in {"good", "warning"}
    assert "valid until" in found.said
    for key in (other.key, tmp_path / "none"):
        (found,) = checkup.certificate(str(pair.cert), str(key))
        assert found.state == "bad"
