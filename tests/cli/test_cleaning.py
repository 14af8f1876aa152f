"""`zot gc`, `zot retention` and `zot job`, as a user types them, beside a running server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.jobs import work
from cli.output import Output
from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import PATIENCE, Server, environment, running_server, wait_until, zot
from zot.gc import clock
from zot.jobs import lease, records
from zot.jobs.records import Record
from zot.jobs.running import Run
from zot.registry import paths
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem

CONFIG = {
    "http": {"port": 0},
    "log": {"level": "debug"},
    "storage": {
        "gc": False,
        "gcDelay": "0s",
        "retention": {
            "delay": "0s",
            "policies": [
                {"repositories": ["team/**"], "keepTags": [{"patterns": ["^v"], "mostRecentlyPushedCount": 2}]}
            ],
        },
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that collects no garbage itself."""
    directory = tmp_path_factory.mktemp("cleaning")
    config = directory / "config.json"
    storage = CONFIG["storage"] | {"rootDirectory": str(directory / "root")}  # type: ignore[operator]
    config.write_text(json.dumps(CONFIG | {"storage": storage}))
    with running_server(directory, "--workers", "2", config=config) as running:
        yield running


def run(server: Server, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command against the server's store."""
    done = subprocess.run(
        zot(*arguments, "--config", str(server.root.parent / "config.json")),
        capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done


def document(server: Server, *arguments: str, status: int = 0) -> Any:
    """Run a command and read its JSON."""
    return json.loads(run(server, *arguments, "--output", "json", status=status).stdout)


def stores(server: Server, *arguments: str, status: int = 0) -> Any:
    """Run a command and return what its JSON says of each store."""
    return document(server, *arguments, status=status)["stores"]


def push(server: Server, name: str, tag: str, note: str) -> str:
    """Push an image; returns its digest."""
    for blob in (b"{}", note.encode()):
        path = f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}"
        assert server.request("POST", path, blob)[0] == 201
    body = manifest(layers=(note.encode(),))
    assert server.request("PUT", f"/v2/{name}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})[0] == 201
    return digest_of(body)


def tags(server: Server, name: str) -> list[str]:
    """Return the tags that the server lists."""
    found: list[str] = json.loads(server.request("GET", f"/v2/{name}/tags/list")[2])["tags"]
    return found


def test_a_dry_run_says_what_a_run_then_does(server: Server) -> None:
    """Names, digests, sizes, reasons and the sum are those of the real run, which serves on; nothing is left to do."""
    old = push(server, "dry", "latest", "old layer")
    push(server, "dry", "latest", "new layer")
    (dry,) = stores(server, "gc", "run", "--repo", "dry", "--dry-run")
    assert {one["reference"] for one in dry["listed"]} == {old, digest_of(b"old layer")}
    assert {one["reason"] for one in dry["listed"]} == {"deleteUntagged", "unreferenced"}
    assert [one["kind"] for one in dry["listed"]] == ["manifest", "blob", "blob"]
    assert server.request("GET", f"/v2/dry/manifests/{old}")[0] == 200
    text = run(server, "gc", "run", "--repo", "dry", "--dry-run").stdout.splitlines()
    size = next(one["size"] for one in dry["listed"] if (one["kind"], one["reference"]) == ("blob", old))
    assert text[0] == f"manifest    {f'{size} B':>14}  dry {old}  deleteUntagged"
    assert text[1].startswith(f"blob                   9 B  dry {digest_of(b'old layer')}  ")
    assert text[2:] == [f"would remove 1 blob, 1 manifest: {size + 9} B in 1 repository"]
    (done,) = stores(server, "gc", "run", "--repo", "dry")
    assert (done["listed"], done["freed"]) == (dry["listed"], dry["freed"])
    assert server.request("GET", f"/v2/dry/manifests/{old}")[0] == 404
    assert server.request("GET", "/v2/dry/manifests/latest")[0] == 200
    assert run(server, "gc", "run", "--repo", "dry").stdout.startswith("removed nothing")
    (state,) = stores(server, "gc", "status")
    assert (state["enabled"], state["lastRun"]["outcome"]) == (False, "done")
    assert datetime.fromisoformat(state["lastRun"]["started"]) <= datetime.now(UTC)
    assert "set storage.gc to true" in run(server, "gc", "run", "--repo", "dry").stderr


def test_what_waits_is_said(server: Server, tmp_path: Path) -> None:
    """What is too young to go is counted, with the time from which on it goes; quiet says nothing of it."""
    push(server, "waits", "latest", "old layer of waits")
    push(server, "waits", "latest", "new layer of waits")
    given = json.loads((server.root.parent / "config.json").read_text())
    given["storage"] |= {"gcDelay": "1h", "retention": {"delay": "90m"}}
    (tmp_path / "config.json").write_text(json.dumps(given))
    command = ("gc", "run", "--repo", "waits", "--dry-run", "--config", str(tmp_path / "config.json"))
    done = subprocess.run(zot(*command), capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "would remove nothing: 0 B in 1 repository\n"
    assert "\n1 manifest may go later, from 2" in done.stderr
    assert "(gcDelay 1h, delay 90m)" in done.stderr
    given["storage"]["retention"] = {"delay": "0s"}
    (tmp_path / "config.json").write_text(json.dumps(given))
    done = subprocess.run(zot(*command), capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.startswith("manifest    its blob stays  waits sha256:")
    assert "  deleteUntagged\nwould remove 1 manifest: 0 B in 1 repository" in done.stdout
    assert "2 blobs (" in done.stderr
    done = subprocess.run(zot(*command, "--quiet"), capture_output=True, text=True, env=environment(), check=True)
    assert "later" not in done.stderr


def test_a_plan_is_carried_out_or_refused(server: Server) -> None:
    """What the plan says goes and nothing else; a push in between makes it void, and then nothing goes."""
    for tag in ("v1", "v2", "v3", "other"):
        push(server, "team/app", tag, tag)
    (planned,) = stores(server, "retention", "plan", "--repo", "team/app")
    decided = {one["tag"]: (one["decision"], one["rule"]) for one in planned["tags"]}
    assert decided == {
        "other": ("delete", "no entry of keepTags matches its name"),
        "v1": ("delete", "not kept by mostRecentlyPushedCount: 2 (it is 3rd of 3)"),
        "v2": ("keep", "kept by mostRecentlyPushedCount: 2 (it is 2nd of 3)"),
        "v3": ("keep", "kept by mostRecentlyPushedCount: 2 (it is 1st of 3)"),
    }
    assert [one["place"] for one in planned["tags"]] == [
        "policies[0] (team/**)",
        *["policies[0] (team/**), keepTags[0] (^v)"] * 3,
    ]
    push(server, "team/app", "v4", "v4")
    refused = run(server, "retention", "run", "--plan", planned["plan"], status=1)
    assert refused.stderr == (
        "zot: nothing was deleted: team/app:v2 would be decided otherwise now;"
        " make a new plan, which tells what goes now: zot retention plan\n"
    )
    assert document(server, "job", "list")["runs"][0]["outcome"] == "refused"
    assert refused.stdout == ""
    assert tags(server, "team/app") == ["other", "v1", "v2", "v3", "v4"]
    (planned,) = stores(server, "retention", "plan", "--repo", "team/app")
    assert planned["deletes"] == 3
    run(server, "retention", "run", "--plan", planned["plan"])
    last = document(server, "job", "list")["runs"][0]["id"]
    again = run(server, "retention", "run", "--plan", planned["plan"], status=1)
    assert f"{planned['plan']} was carried out already, by {last} at 2" in again.stderr
    assert (again.stdout, document(server, "job", "list")["runs"][0]["id"]) == ("", last)
    assert tags(server, "team/app") == ["v3", "v4"]
    explained = document(server, "retention", "explain", "team/app:v3")
    assert (explained["decision"], explained["patterns"], explained["policy"]) == ("keep", ["^v"], ["team/**"])
    told = run(server, "retention", "explain", "team/app:v3").stdout
    assert "team/app:v3: keep, kept by mostRecentlyPushedCount: 2 (it is 2nd of 2)\n" in told
    assert "  Policy: policies[0], for team/**\n" in told
    assert "  First of its keepTags that matches: keepTags[0], for ^v\n" in told


def test_tags_that_go_have_no_size(server: Server, tmp_path: Path) -> None:
    """What is printed of a dry run is a table for each repository; what a tag leads to stands in a line of its own."""
    push(server, "aligned", "short", "aligned")
    given = json.loads((server.root.parent / "config.json").read_text())
    given["storage"]["retention"] = {
        "delay": "0s", "policies": [{"repositories": ["aligned"], "keepTags": [{"patterns": ["none"]}]}]
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(given))
    command = ("gc", "run", "--repo", "aligned", "--dry-run", "--config", str(tmp_path / "config.json"))
    done = subprocess.run(zot(*command), capture_output=True, text=True, env=environment(), check=True)
    lines = done.stdout.splitlines()[:-1]
    assert re.match(r"tag +-  aligned short +policies\[0\] \(aligned\): no entry", lines[0])
    assert {line.split()[0] for line in lines[1:]} == {"manifest", "blob", "repository"}
    reasons = [re.split(" {2,}", line, maxsplit=3)[3] for line in lines]
    assert len({line.rindex(reason) for line, reason in zip(lines, reasons, strict=True)}) == 1


def test_which_rule_makes_a_tag_immutable_is_said(server: Server, tmp_path: Path) -> None:
    """`explain` names the entry of `immutable` with its patterns, and not one of `keepTags`, which does not decide."""
    push(server, "fixed", "v1", "fixed")
    given = json.loads((server.root.parent / "config.json").read_text())
    policy = {
        "repositories": ["fixed"],
        "keepTags": [{"patterns": ["^v"]}],
        "immutable": [{"patterns": ["^w"]}, {"patterns": ["^v1$"]}],
    }
    given["storage"]["retention"] = {"policies": [policy]}
    (tmp_path / "config.json").write_text(json.dumps(given))
    command = zot("retention", "explain", "fixed:v1", "--config", str(tmp_path / "config.json"))
    told = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True).stdout
    assert "fixed:v1: keep, it is immutable\n" in told
    assert "  Immutable by: immutable[1], for ^v1$\n" in told
    assert "keepTags" not in told
    given = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, env=environment(), check=True)
    assert json.loads(given.stdout)["patterns"] == ["^v1$"]


def test_why_no_tag_went_is_said(server: Server) -> None:
    """Where the record of pulls is damaged all tags stay, and `retention run` says so."""
    push(server, "team/doubt", "other", "doubt")
    record = server.root / paths.statistics("team/doubt")
    record.parent.mkdir(exist_ok=True)
    record.write_text("damaged")
    done = run(server, "retention", "run", "--quiet")
    assert "warning: team/doubt: the record of pulls is damaged" in done.stderr
    record.unlink()
    assert tags(server, "team/doubt") == ["other"]
    assert "team/doubt:other  " in run(server, "retention", "run").stdout


def test_a_pull_is_seen_soon(server: Server) -> None:
    """What a worker counted is in the store within seconds, and explained."""
    digest = push(server, "team/pulled", "v1", "pulled")
    assert document(server, "retention", "explain", "team/pulled:v1")["pulled"] is None
    assert server.request("GET", f"/v2/team/pulled/manifests/{digest}")[0] == 200
    wait_until(lambda: document(server, "retention", "explain", "team/pulled:v1")["pulled"], "the pull is written")


def test_scrub_finds_damage_and_lets_it_be_pushed_anew(server: Server) -> None:
    """A changed byte: tag and blob are named, it leaves with 1, the server answers 404, and a push mends it."""
    push(server, "decayed", "latest", "precious")
    digest = digest_of(b"precious")
    assert run(server, "scrub", "run", "--repo", "decayed").stdout.endswith("in 1 repository: 0 problems\n")
    (server.root / "decayed/blobs/sha256" / digest.partition(":")[2]).write_bytes(b"Precious")
    done = run(server, "scrub", "run", "--repo", "decayed", status=1)
    assert "latest" in done.stdout
    assert digest in done.stdout
    assert server.request("GET", f"/v2/decayed/blobs/{digest}")[0] == 404
    (again,) = stores(server, "scrub", "run", "--repo", "decayed", status=1)
    assert "is missing" in again["problems"][0]
    push(server, "decayed", "latest", "precious")
    assert server.request("GET", f"/v2/decayed/blobs/{digest}")[2] == b"precious"
    run(server, "scrub", "run", "--repo", "decayed")


def test_why_a_repository_was_not_scrubbed_is_said(server: Server) -> None:
    """One that is passed over is a warning with the reason, quiet or not, and is counted among the problems."""
    push(server, "unreadable", "latest", "unreadable")
    directory = server.root / paths.manifests("unreadable")
    kept = directory.rename(directory.with_name("kept"))
    directory.symlink_to(directory)
    try:
        done = run(server, "scrub", "run", "--quiet", status=1)
    finally:
        directory.unlink()
        kept.rename(directory)
    assert "warning: unreadable is passed over: " in done.stderr
    assert done.stdout.endswith(": 1 problem\n")


def kept_run(server: Server, record: Record) -> str:
    """Keep a record in the server's store; returns its identifier."""
    return records.begin(Filesystem(str(server.root), private=paths.PRIVATE), record).id


def test_of_a_list_that_was_cut_no_blob_is_said_to_stay(server: Server) -> None:
    """A manifest whose blob is not listed has kept it only if everything is listed."""
    whole, cut = (Record("gc", "hand", outcome="done") for _ in range(2))
    for record, blobs in ((whole, 0), (cut, 1)):
        record.add("a", "manifest", "sha256:0", 0, "deleteUntagged")
        record.removed["blob"] = blobs
    assert "its blob stays" in run(server, "job", "show", kept_run(server, whole)).stdout
    assert "its blob stays" not in run(server, "job", "show", kept_run(server, cut)).stdout


def test_what_a_killed_run_removed_is_not_claimed_to_be_known(server: Server) -> None:
    """Its record is some seconds old: what that counts is told as the least."""
    record = Record("gc", "hand", process=0, owner="")
    record.add("a", "blob", "sha256:0", 0, "unreferenced")
    assert "removed at least 1 thing in" in run(server, "job", "show", kept_run(server, record)).stdout
    record.outcome = "done"
    assert "removed 1 thing in" in run(server, "job", "show", kept_run(server, record)).stdout


def test_a_scrub_is_not_said_to_have_removed_anything(server: Server) -> None:
    """What it found are problems, in the list and of the one run."""
    record = Record("scrub", "hand", outcome="done", repositories=1)
    record.add("a", "damaged", "sha256:0", 0, "the blob is missing")
    record.complain("a: sha256:0: the blob is missing")
    scrub = kept_run(server, record)
    assert run(server, "job", "show", scrub).stdout.endswith("\nfound 1 problem in 1 repository\n")
    (row,) = (line for line in run(server, "job", "list").stdout.splitlines() if line.startswith(scrub))
    assert re.split("  +", row)[-3:] == ["done (1 problem)", "-", "-"]


def test_why_a_run_by_hand_removes_nothing_is_said(server: Server, tmp_path: Path) -> None:
    """Where the configuration asks for a dry run, a run that was not asked to be one names the key."""
    push(server, "dry", "latest", "dry")
    config = tmp_path / "config.json"
    storage = {"rootDirectory": str(server.root), "retention": {"dryRun": True}}
    config.write_text(json.dumps({"storage": storage}))
    for command, notes in ((("gc", "run"), 1), (("retention", "run"), 1), (("gc", "run", "--dry-run"), 0)):
        done = subprocess.run(
            zot(*command, "--config", str(config)),
            capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=True,
        )  # fmt: skip
        assert done.stderr.count("storage.retention.dryRun is on, so nothing is removed") == notes


def test_a_storage_that_fails_in_the_middle_is_not_said_to_be_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose record can't be kept any more ends in one line and 1, and what it did is not denied."""
    store = Store(Filesystem(str(tmp_path), private=paths.PRIVATE))

    def job(_: Run) -> None:
        (tmp_path / paths.JOBS / "runs").rename(tmp_path / "kept")
        (tmp_path / paths.JOBS / "runs").write_text("")

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            work(store, Record("gc", "hand"), job, Output(json=False), lambda _: None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "what the run had done by then stays" in told


def test_a_damaged_record_is_not_shown(server: Server) -> None:
    """What is no record is none, as in the list."""
    damaged = kept_run(server, Record("gc", "hand"))
    (server.root / paths.JOBS / "runs" / damaged).write_text('{"unheard": 1}')
    assert run(server, "job", "show", damaged, status=1).stderr.startswith("zot: there is no run ")
    assert damaged not in run(server, "job", "list").stdout


def test_what_to_do_while_the_clock_is_doubted(server: Server) -> None:
    """A plan that is refused as the clock has jumped is not to be made anew: it stays."""
    push(server, "team/clock", "other", "clock")
    (planned,) = stores(server, "retention", "plan", "--repo", "team/clock")
    storage = Filesystem(str(server.root), private=paths.PRIVATE)
    remembered = storage.read(f"{paths.JOBS}/clock")
    now = clock.read()
    clock.suspicion(storage, now._replace(wall=now.wall - 2 * 3600))
    refused = run(server, "retention", "run", "--plan", planned["plan"], status=1)
    assert "the clock has jumped" in refused.stderr
    assert "the plan stays" in refused.stderr
    assert "make a new plan" not in refused.stderr
    storage.write(f"{paths.JOBS}/clock", remembered)
    run(server, "retention", "run", "--plan", planned["plan"])
    assert tags(server, "team/clock") == []


def test_runs_are_listed_and_shown(server: Server) -> None:
    """The list and one run, for people and for programs, tell the same."""
    push(server, "shown", "latest", "a")
    push(server, "shown", "latest", "b")
    run(server, "gc", "run", "--repo", "shown")
    newest = document(server, "job", "list", "--limit", "1")["runs"][0]
    assert (newest["kind"], newest["outcome"], newest["by"]) == ("gc", "done", "hand")
    shown = document(server, "job", "show", newest["id"])
    assert len(shown["listed"]) == sum(shown["removed"].values()) == 3
    assert shown["notes"] == {"manifestBlobs": 1}
    lines = run(server, "job", "show", newest["id"]).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["KIND", "manifest", "blob"]
    assert lines[-1].startswith("removed 2 things in 1 repository: ")
    row = run(server, "job", "list", "--limit", "1").stdout.splitlines()[1]
    assert re.split("  +", row)[-2] == "2"
    assert newest["id"] in run(server, "job", "list").stdout
    assert digest_of(b"a") in run(server, "job", "show", newest["id"]).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("gc", "run", "--repo", "nobody"),
        ("retention", "plan", "--repo", "nobody"),
        ("retention", "explain", "nobody:v1"),
        ("retention", "explain", "team/app:nobody"),
        ("retention", "run", "--plan", "nobody"),
        ("retention", "run", "--plan", "../../x"),
        ("job", "show", "nobody"),
        ("job", "show", "../../x"),
    ],
)
def test_what_is_not_there_is_1(server: Server, arguments: tuple[str, ...]) -> None:
    """An unknown repository, tag, plan or run is one line."""
    push(server, "team/app", "v9", "v9")
    done = run(server, *arguments, status=1)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("zot: ")
    assert not done.stdout


def test_wrong_use_is_2(server: Server) -> None:
    """A reference without a tag is wrong use."""
    run(server, "retention", "explain", "team/app", status=2)


def test_a_second_run_is_refused(server: Server) -> None:
    """While one holds the lock, another is told who, and changes nothing."""
    storage = Filesystem(str(server.root), private=paths.PRIVATE)
    with lease.take(storage, "gc"):
        for arguments in (("gc", "run"), ("retention", "run")):
            done = run(server, *arguments, status=1)
            assert "is being done already, by process" in done.stderr
            assert done.stderr.count("\n") == 1
    run(server, "gc", "run")


def test_several_stores_are_told_apart(tmp_path: Path) -> None:
    """Each line says which store it is about, and where the server collects nothing, that is said."""
    config = tmp_path / "config.json"
    storage = {"rootDirectory": f"{tmp_path}/root", "subPaths": {"/a": {"rootDirectory": f"{tmp_path}/a"}}}
    config.write_text(json.dumps({"storage": storage}))
    for name in ("root", "a"):
        (tmp_path / name / "_zot-blobs").mkdir(parents=True)

    def told(*arguments: str) -> tuple[list[str], str]:
        command = zot(*arguments, "--config", str(config))
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=True)
        return done.stdout.splitlines(), done.stderr

    lines, noted = told("gc", "run", "--dry-run")
    assert [line.partition(":")[0] for line in lines] == ["/", "/a"]
    assert noted.startswith("/a: gc is off here")
    assert "set storage.subPaths./a.gc to true" in noted
    heading, *lines = told("retention", "plan")[0]
    assert heading.split()[0] == "STORE"
    assert [line.partition(" ")[0] for line in lines] == ["/:", "/a:"]


def test_without_a_registry_nothing_is_made(tmp_path: Path) -> None:
    """A root that holds no registry is refused, and not made into one."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "wrong")}}))
    done = subprocess.run(
        zot("gc", "run", "--config", str(config)),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "there is no store at" in done.stderr
    assert not (tmp_path / "wrong").exists()
