"""What logins cost: CPU of a pull with each kind of proof, and what a flood of wrong logins does to the others.

Prints ratios of one run, which mean something on a busy machine too. Run it as `scripts/login-costs`.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections import Counter
from pathlib import Path

import bcrypt

from tests.images import OCI_MANIFEST, digest_of, manifest
from tests.servers import Server, running_server

REQUESTS, ROUNDS = 4000, 4
SECONDS, TURNS, A_CONNECTION, FLOODERS, WRONG_A_SECOND = 4.0, 6, 100, 24, 200
PATH = "/v2/a/manifests/v1"


def basic(user: str, password: str) -> dict[str, str]:
    """Return the headers of a login."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def configure(directory: Path) -> Path:
    """Write a configuration with two users, whose hashes cost what bcrypt's usual cost of 10 makes them."""
    users = {user: bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode() for user in ("alice", "bob")}
    (directory / "htpasswd").write_text("".join(f"{user}:{digest}\n" for user, digest in users.items()))
    everything = {"users": ["alice", "bob"], "actions": ["read", "create", "update", "delete"]}
    http = {
        "port": 0,
        "auth": {"htpasswd": {"path": str(directory / "htpasswd")}, "apikey": True},
        "accessControl": {"repositories": {"**": {"policies": [everything], "anonymousPolicy": ["read"]}}},
    }
    path = directory / "config.json"
    storage = {"rootDirectory": str(directory / "root")}
    path.write_text(json.dumps({"storage": storage, "log": {"level": "error"}, "http": http}))
    return path


def fill(server: Server) -> str:
    """Push an image and make an API key, which is returned."""
    login = basic("alice", "secret")
    for content in (b"{}", b"layer"):
        server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content, login)
    assert server.request("PUT", PATH, manifest(), {**login, "Content-Type": OCI_MANIFEST})[0] == 201
    key: str = json.loads(server.request("POST", "/zot/auth/apikey", b'{"label": "x"}', login)[2])["apiKey"]
    return key


def cpu_of(server: Server) -> float:
    """Return the CPU seconds of the server's master and workers so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if server.pid in (int(stat.parent.name), int(fields[1])):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pulls(server: Server, headers: dict[str, str]) -> float:
    """Return the microseconds of CPU for one pull of a manifest, over many."""
    connection, before = server.connect(), cpu_of(server)
    for _ in range(REQUESTS):
        ask(connection, headers)
    connection.close()
    return (cpu_of(server) - before) / REQUESTS * 1e6


def ask(connection: http.client.HTTPConnection, headers: dict[str, str], path: str = PATH) -> int:
    """Send a request on a connection; returns the status."""
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def rate(server: Server, headers: dict[str, str]) -> float:
    """Return how many manifests a second one client gets; on many connections, which go to all workers."""
    begun, count = time.monotonic(), 0
    while time.monotonic() < begun + SECONDS:
        connection = server.connect()
        for _ in range(A_CONNECTION):
            assert ask(connection, headers) == 200
        connection.close()
        count += A_CONNECTION
    return count / (time.monotonic() - begun)


def flood(port: int, flag: str) -> None:
    """Send wrong logins from several addresses, for one user and for many, while a file says so; print what came.

    It has the lowest priority: whoever floods does so from elsewhere, and what that costs them is not the server's.
    """
    os.nice(19)
    statuses: Counter[int] = Counter()

    def run(number: int) -> None:
        source = (f"127.0.0.{2 + number % 8}", 0)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=source)
        attempt = 0
        while (state := Path(flag).read_text()) != "end":
            time.sleep(FLOODERS / WRONG_A_SECOND)
            if state == "flood":
                attempt += 1
                user = "bob" if number % 2 else f"user{number}-{attempt}"
                statuses[ask(connection, basic(user, f"wrong{attempt}"))] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(FLOODERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(dict(statuses))


def right_login(server: Server, number: int) -> float:
    """Log in from a fresh address as the user whom the flood is about; returns the seconds that it took.

    Whoever is told to come later does so a moment later.
    """
    begun = time.monotonic()
    source = (f"127.0.1.{1 + number}", 0)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=source)
    while (status := ask(connection, basic("bob", "secret"), "/v2/")) == 429:
        time.sleep(0.1)
    connection.close()
    assert status == 200, status
    return time.monotonic() - begun


def costs(config: Path, directory: Path) -> dict[str, str]:
    """Print what a pull costs with each proof; returns the headers of a password."""
    with running_server(directory, "--workers", "1", config=config) as server:
        proofs = {"anonymous": {}, "basic": basic("alice", "secret"), "key": basic("alice", fill(server))}
        best = dict.fromkeys(proofs, float("inf"))
        for _ in range(ROUNDS):
            best = {name: min(best[name], pulls(server, headers)) for name, headers in proofs.items()}
    for name, cost in best.items():
        print(f"manifest GET, {name}: {cost:.0f} µs of CPU, {cost / best['anonymous']:.2f} times that of anonymous")
    return proofs["basic"]


def beside_a_flood(config: Path, directory: Path, login: dict[str, str]) -> None:
    """Print the rate of pulls with and without a flood, in turns, and how long right logins took during it."""
    flag, rates, logins = directory / "flag", dict[str, list[float]](wait=[], flood=[]), []
    set_flag(flag, "wait")
    with running_server(directory, "--workers", "2", config=config) as server:
        command = [sys.executable, "-m", "scripts.login_costs", str(server.port), str(flag)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flooding:
            try:
                rate(server, login)
                for turn in range(TURNS):
                    for state, found in rates.items():
                        set_flag(flag, state)
                        time.sleep(1)
                        if state == "flood":
                            logins.append(right_login(server, turn))
                        found.append(rate(server, login))
            finally:
                set_flag(flag, "end")
            answers = flooding.communicate()[0].strip()
    ratios = sorted(flooded / quiet for quiet, flooded in zip(rates["wait"], rates["flood"], strict=True))
    print(f"pulls a second, by turns: {rounded(rates['wait'])} without and {rounded(rates['flood'])} beside a flood:")
    print(f"    {statistics.median(ratios):.0%} in the median, {ratios[0]:.0%} to {ratios[-1]:.0%}")
    print(f"right logins during the flood took {max(logins):.2f} s at most; the flood got {answers}")


def set_flag(flag: Path, state: str) -> None:
    """Tell the flood what to do."""
    beside = flag.with_suffix(".new")
    beside.write_text(state)
    beside.replace(flag)


def rounded(numbers: list[float]) -> str:
    """Return whole numbers as a text."""
    return " ".join(f"{number:.0f}" for number in numbers)


def main() -> None:
    """Measure and print."""
    directory = Path(tempfile.mkdtemp(prefix="zot-logins-"))
    config = configure(directory)
    beside_a_flood(config, directory, costs(config, directory))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        flood(int(sys.argv[1]), sys.argv[2])
    else:
        main()
