"""How much later a server with a full configuration gives its first answer than one with none to speak of.

The two are started in turn, so that a busy machine bears on both. Run it as
`python -m scripts.start_delay [ROUNDS]`; it leaves with 1 if the difference of the medians is 0.2 s or more.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import bcrypt

MOST = 0.2


class Started(NamedTuple):
    """Seconds: until the first answer, and of processor time that the master took for it."""

    wall: float
    cpu: float


def configurations(directory: Path) -> dict[str, Path]:
    """Write both configurations below a directory."""
    users = directory / "users"
    users.write_text("alice:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode() + "\n")
    made = {"least": _least(directory), "full": _full(directory, users)}
    for name, document in made.items():
        (directory / f"{name}.json").write_text(json.dumps(document))
    return {name: directory / f"{name}.json" for name in made}


def _least(directory: Path) -> dict[str, Any]:
    return {"storage": {"rootDirectory": str(directory / "least")}, "http": {"port": 0}}


def _full(directory: Path, users: Path) -> dict[str, Any]:
    """Return a configuration with all that this version acts on and that needs no other server to start."""
    oidc = {"issuer": "https://127.0.0.1:9", "clientid": "c", "clientsecret": "s", "scopes": ["openid"]}
    ldap = {"address": "127.0.0.1", "port": 636, "baseDN": "dc=x", "userAttribute": "uid"}
    rules = {"repositories": ["**"], "keepTags": [{"patterns": ["^v"], "mostRecentlyPushedCount": 9}]}
    scrub_and_metrics = {"scrub": {"interval": "24h"}, "metrics": {"prometheus": {"path": "/metrics"}}}
    return {
        "storage": {
            "rootDirectory": str(directory / "full"),
            "retention": {"policies": [rules]},
            "subPaths": {f"/{one}": {"rootDirectory": str(directory / one), "gc": True} for one in ("a", "b")},
        },
        "http": {
            "port": 0,
            "externalUrl": "https://registry.example.com",
            "auth": {
                "htpasswd": {"path": str(users)},
                "ldap": ldap,
                "apikey": True,
                "openid": {"providers": {"oidc": oidc}},
            },
            "accessControl": {
                "repositories": {"**": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]}},
                "adminPolicy": {"users": ["alice"], "actions": ["delete"]},
            },
            "ratelimit": {"rate": 100000},
            "allowOrigin": "https://pages.example.com",
        },
        "log": {"output": str(directory / "log"), "audit": str(directory / "audit")},
        "extensions": scrub_and_metrics,
    }


def start(config: Path) -> Started:
    """Start a server, ask it once, and stop it."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "cli.main", "serve", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            address = urlsplit(process.stdout.readline().split()[-1])
            connection = http.client.HTTPConnection(str(address.hostname), address.port or 0, timeout=60)
            connection.request("GET", "/v2/")
            connection.getresponse().read()
            return Started(time.perf_counter() - begun, _cpu(process.pid))
        finally:
            process.terminate()


def _cpu(pid: int) -> float:
    """Return the seconds of processor time that a process has taken, on all its threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def main(rounds: int) -> int:
    """Start both in turn, and print what they took."""
    with tempfile.TemporaryDirectory() as directory:
        files = configurations(Path(directory))
        for file in files.values():
            start(file)
        took: dict[str, list[Started]] = {name: [] for name in files}
        for _ in range(rounds):
            for name, file in files.items():
                took[name].append(start(file))
    for name, found in took.items():
        walls, cpus = [one.wall for one in found], [one.cpu for one in found]
        print(f"{name:<6} first answer after {median(walls):.3f} s, at best {min(walls):.3f} s; "
              f"{median(cpus):.3f} s of the master's processor time")  # fmt: skip
    delay, best, work = (_later(took, pick) for pick in (
        lambda found: median(one.wall for one in found),
        lambda found: min(one.wall for one in found),
        lambda found: median(one.cpu for one in found),
    ))  # fmt: skip
    print(f"full is later by {delay:.3f} s, the best by {best:.3f} s; the master works {work:.3f} s more")
    return 0 if delay < MOST else 1


def _later(took: dict[str, list[Started]], pick: Callable[[list[Started]], float]) -> float:
    return pick(took["full"]) - pick(took["least"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m scripts.start_delay", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("rounds", type=int, nargs="?", default=9, help="how often each is started (default 9)")
    sys.exit(main(parser.parse_args().rounds))
