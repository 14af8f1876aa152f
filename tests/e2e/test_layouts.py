"""Layouts that other programs write below the root, and what they read of ours: skopeo, umoci, oras, olareg."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Registry, Run, check_layouts, digest_in
from tests.images import OCI_MANIFEST, descriptor, digest_of, manifest
from tests.layouts import LayoutWriter, tags_of
from tests.servers import PATIENCE, free_port, running_server, wait_until
from tests.services import listens
from zot.registry import paths

pytestmark = pytest.mark.e2e

INSECURE = ["--src-tls-verify=false", "--dest-tls-verify=false"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root that the servers of a test use."""
    made = tmp_path / "served/root"
    made.mkdir(parents=True)
    return made


@contextmanager
def serving(root: Path) -> Iterator[Registry]:
    """Serve a root, and wait at the end until the leader has looked at every layout."""
    with running_server(root.parent, "--workers", "2") as server:
        yield Registry(server.url.removeprefix("http://"))
        wait_until((root / paths.LED).exists, "the leader has looked at all layouts")


@pytest.fixture
def quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the leader look every second instead of every minute."""
    monkeypatch.setenv("ZOT_LOOK_SECONDS", "1")


def send(
    registry: Registry, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> int:
    """Send a request for a path below /v2/; returns the status."""
    connection = http.client.HTTPConnection(registry.host, timeout=PATIENCE)
    try:
        connection.request(method, f"/v2/{path}", body, dict(headers or {}))
        return connection.getresponse().status
    finally:
        connection.close()


def push(registry: Registry, name: str, tag: str, note: str = "") -> str:
    """Push a small image; returns its digest."""
    body = manifest(annotations={"note": note or tag})
    for blob in (b"{}", b"layer"):
        assert send(registry, "POST", f"{name}/blobs/uploads/?digest={digest_of(blob)}", blob) == 201
    assert send(registry, "PUT", f"{name}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST}) == 201
    return digest_of(body)


def tags(registry: Registry, name: str) -> dict[str, str]:
    """Return the digest of each tag of a repository, as the server says it; one that goes meanwhile is left out."""
    listed = registry.document(f"{name}/tags/list")["tags"]
    return {tag: registry.digest(name, tag) for tag in listed if registry.get(f"{name}/manifests/{tag}")[0] == 200}


def test_a_root_filled_by_others(run: Run, layout: Path, layers: list[Path], root: Path) -> None:
    """What skopeo, umoci and oras wrote is served at first touch with tags, indexes and referrers, and pulled whole."""
    made = root / "team/skopeo"
    made.parent.mkdir()
    run("skopeo", "copy", f"oci:{layout}:v1", f"oci:{made}:v1")
    run("skopeo", "copy", "--all", f"oci:{layout}:multi", f"oci:{made}:multi")
    run("umoci", "init", "--layout", root / "umoci")
    run("umoci", "new", "--image", f"{root}/umoci:v1")
    run("umoci", "raw", "add-layer", "--image", f"{root}/umoci:v1", layers[0])
    run("umoci", "tag", "--image", f"{root}/umoci:v1", "v2")
    run("oras", "cp", "-r", "--from-oci-layout", f"{layout}:v1", "--to-oci-layout", f"{root}/oras:v1")
    (root.parent / "note.txt").write_text("a note")
    note = [root.parent / "note.txt", "--disable-path-validation"]
    run("oras", "attach", "--oci-layout", f"{root}/oras:v1", "--artifact-type", "text/note", *note)
    expected = {
        name: tags_of(json.loads((root / name / "index.json").read_text())) for name in ("team/skopeo", "umoci", "oras")
    }
    with serving(root) as registry:
        assert {name: tags(registry, name) for name in expected} == expected
        multi = registry.document("team/skopeo/manifests/multi")
        for child in multi["manifests"]:
            assert registry.digest("team/skopeo", child["digest"]) == child["digest"]
        (referrer,) = registry.document(f"oras/referrers/{expected['oras']['v1']}")["manifests"]
        assert referrer["artifactType"] == "text/note"
        out = f"oci:{root.parent}/out"
        for name, tag in (("team/skopeo", "multi"), ("umoci", "v2"), ("oras", "v1")):
            source = f"docker://{registry.host}/{name}:{tag}"
            run("skopeo", "copy", "--all", *INSECURE, source, f"{out}:{name.replace('/', '-')}-{tag}")
    check_layouts(shutil.which("skopeo") or "", root, {(n, t): d for n in expected for t, d in expected[n].items()})


def test_our_root_is_served_by_another_registry(run: Run, layout: Path, root: Path, need: Callable[..., str]) -> None:
    """Another registry, olareg, serves our root with every tag and digest as it is, and so do we again after it."""
    with serving(root) as registry:
        run("skopeo", "copy", *INSECURE, f"oci:{layout}:v1", f"docker://{registry.host}/team/app:v1")
        run("skopeo", "copy", "--all", *INSECURE, f"oci:{layout}:multi", f"docker://{registry.host}/team/app:multi")
        subject = registry.digest("team/app", "v1")
        (root.parent / "note.txt").write_text("a note")
        note = [root.parent / "note.txt", "--disable-path-validation", "--plain-http"]
        run("oras", "attach", f"{registry.host}/team/app:v1", "--artifact-type", "text/note", *note)
        for name in ("team", "other/a-b.c"):
            for tag in ("one", "two"):
                push(registry, name, tag)
        pushed = registry.pushed()
        referrers = registry.document(f"team/app/referrers/{subject}")["manifests"]
    check_layouts(need("skopeo"), root, pushed)
    with olareg(need("olareg"), root) as other:
        found = {}
        for name, tag in pushed:
            found[name, tag] = other.digest(name, tag)
            assert tag in other.document(f"{name}/tags/list")["tags"]
        assert found == pushed
    with serving(root) as registry:
        assert registry.pushed() == pushed
        assert registry.document(f"team/app/referrers/{subject}")["manifests"] == referrers


@contextmanager
def olareg(program: str, root: Path) -> Iterator[Registry]:
    """Serve a root by olareg."""
    port = free_port()
    command = [program, "serve", "--addr", "127.0.0.1", "--port", str(port), "--dir", str(root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: listens(port), "olareg answers")
            yield Registry(f"127.0.0.1:{port}")
        finally:
            process.terminate()


def test_skopeo_writes_while_we_are_pushed_to(run: Run, layout: Path, root: Path, quick_look: None) -> None:
    """Tags that skopeo adds one by one, and tags that are pushed and deleted meanwhile, are all as they were left."""
    with serving(root) as registry:
        expected = {"first": push(registry, "app", "first")}
        wait_until((root / "app/index.json").exists, "the layout is there")
        done = threading.Event()

        def keep_pushing() -> None:
            number = 0
            while not done.is_set():
                expected[f"ours{number % 20}"] = push(registry, "app", f"ours{number % 20}", f"{number}")
                if number % 5 == 4:
                    assert send(registry, "DELETE", f"app/manifests/ours{number % 20}") == 202
                    del expected[f"ours{number % 20}"]
                number += 1

        pusher = threading.Thread(target=keep_pushing)
        pusher.start()
        try:
            for number in range(10):
                run("skopeo", "copy", f"oci:{layout}:v1", f"oci:{root}/app:theirs{number}")
        finally:
            done.set()
            pusher.join()
        expected |= {f"theirs{number}": digest_in(layout, "v1") for number in range(10)}
        wait_until(lambda: tags(registry, "app") == expected, "all tags are as they were left")
    check_layouts(shutil.which("skopeo") or "", root, {("app", tag): digest for tag, digest in expected.items()})


def test_a_late_rewrite_by_skopeo(run: Run, layout: Path, root: Path, quick_look: None) -> None:
    """A skopeo that read the index long ago adds its tag, and reverts no push, move or delete that was made since."""
    with serving(root) as registry:
        for tag in ("moves", "goes", "stays"):
            push(registry, "app", tag)
        index = root / "app/index.json"
        wait_until(lambda: index.exists() and len(tags_of(json.loads(index.read_text()))) == 3, "the layout is there")
        before = index.read_bytes()
        delay = ["-e", "trace=openat", "-e", "inject=openat:delay_enter=4000000:when=2+", "-P", index]
        copy = ["skopeo", "copy", f"oci:{layout}:v1", f"oci:{root}/app:theirs"]
        late = threading.Thread(target=run, args=("strace", "-f", "-qq", "-o", "/dev/null", *delay, *copy))
        late.start()
        wait_until(
            lambda: any((root / "app").glob("oci-put-blob*")) or blob_of(root, layout).exists(), "skopeo is at work"
        )
        expected = {"moves": push(registry, "app", "moves", "new"), "new": push(registry, "app", "new")}
        assert send(registry, "DELETE", "app/manifests/goes") == 202
        wait_until(lambda: index.read_bytes() != before, "the layout follows")
        late.join()
        expected |= {"stays": registry.digest("app", "stays"), "theirs": digest_in(layout, "v1")}
        wait_until(lambda: tags(registry, "app") == expected, "the tag of skopeo is there")
        wait_until(lambda: tags_of(json.loads(index.read_text())) == expected, "the layout has all tags")


def blob_of(root: Path, layout: Path) -> Path:
    """Return where the manifest that skopeo copies comes to lie."""
    return root / "app/blobs" / digest_in(layout, "v1").replace(":", "/")


def test_a_skopeo_that_is_killed(
    run: Run, layout: Path, root: Path, quick_look: None, need: Callable[..., str]
) -> None:
    """A skopeo killed at any call leaves every other repository, and all that was pushed, as it was."""
    need("skopeo")
    with serving(root) as registry:
        for name in ("app", "app/below", "other"):
            for tag in ("one", "two"):
                push(registry, name, tag)
            run("skopeo", "copy", *INSECURE, f"oci:{layout}:v1", f"docker://{registry.host}/{name}:shared")
        pushed = registry.pushed()
        wait_until((root / "app/index.json").exists, "the layout is there")
        index = root / "app/index.json"
        ways = [
            ["-e", f"inject=openat,renameat,mkdirat,write:signal=KILL:when={random.randint(40, 200)}"] for _ in range(8)
        ]
        ways.append(["-P", str(index), "-e", "inject=write:signal=KILL:when=1"])
        for number, way in enumerate(ways):
            made = LayoutWriter(root.parent / f"source{number}")
            made.image(os.urandom(100), "v1")
            made.write()
            command = [
                need("strace"),
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=openat,renameat,mkdirat,write",
                *way,
            ]
            command += ["skopeo", "copy", f"oci:{made.root}:v1", f"oci:{root}/app:killed{number}"]
            subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
            assert {key: digest for key, digest in registry.pushed().items() if key in pushed} == pushed
        assert index.read_bytes() == b"", "the last one was killed when it had truncated the index"
        os.utime(index, (1, 1))
        wait_until(lambda: index.read_bytes() != b"", "the index is written anew")
    check_layouts(shutil.which("skopeo") or "", root, pushed)


def test_changes_while_we_were_down(run: Run, layout: Path, root: Path) -> None:
    """What umoci and skopeo add, move and delete while no server runs is there after the start."""
    with serving(root) as registry:
        for tag in ("moves", "goes", "stays"):
            push(registry, "app", tag)
        stays = registry.digest("app", "stays")
    run("umoci", "rm", "--image", f"{root}/app:goes")
    run("umoci", "tag", "--image", f"{root}/app:stays", "also")
    run("skopeo", "copy", f"oci:{layout}:v1", f"oci:{root}/app:moves")
    expected = {"moves": digest_in(layout, "v1"), "stays": stays, "also": stays}
    with serving(root) as registry:
        wait_until(lambda: tags(registry, "app") == expected, "all changes are there")
    assert tags_of(json.loads((root / "app/index.json").read_text())) == expected


def test_a_root_of_zot(run: Run, root: Path) -> None:
    """A root in the layout of zot: untagged entries, hard-linked blobs, its databases and working directories."""
    for name in ("team/app", "team/app/nested"):
        made = LayoutWriter(root / name)
        image = made.image(b"layer", "v1")
        child = made.image(b"child")
        made.multi(child, tag="multi")
        made.add(child, OCI_MANIFEST)
        signature = made.image(b"signature", subject=descriptor(image, OCI_MANIFEST), artifactType="a/signature")
        made.add(signature, OCI_MANIFEST)
        for own in (".uploads", ".sync/1/team"):
            (root / name / own).mkdir(parents=True)
        made.write()
    for blob in (b"{}", b"layer", image):
        other = LayoutWriter(root / "team/app").path(blob)
        LayoutWriter(root / "team/app/nested").path(blob).unlink()
        os.link(other, LayoutWriter(root / "team/app/nested").path(blob))
    for file in ("cache.db", "meta.db", "_trivy/db/x"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    with serving(root) as registry:
        wait_until(lambda: len(registry.document("_catalog")["repositories"]) == 2, "both are taken over")
        for name in ("team/app", "team/app/nested"):
            assert registry.digest(name, "v1") == digest_of(image)
            assert registry.digest(name, digest_of(child)) == digest_of(child)
            (referrer,) = registry.document(f"{name}/referrers/{digest_of(image)}")["manifests"]
            assert referrer["artifactType"] == "a/signature"
            path = LayoutWriter(root / name).path
            assert (path(image).stat().st_nlink, path(b"layer").stat().st_nlink) == (1, 2)
