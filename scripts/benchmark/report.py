"""What the rounds come to: medians, the table, the bounds, and the facts of the machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from scripts.benchmark.runs import Measured, Plan

Summary = dict[str, float]
Figures = dict[str, dict[str, Summary]]
"""Case, server, and what was measured, by name and unit."""

OURS = "zot"


class Verdict(NamedTuple):
    """What is expected of this registry, and whether it holds."""

    what: str
    value: float
    limit: float
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether the value is on the right side of its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{'PASS' if self.holds else 'OVER'}  {self.what}: {self.value:,.2f} ({side} {self.limit:,.2f})"


def percentile(values: Iterable[float], part: float) -> float:
    """Return the smallest value that is not below `part` (0 to 1) of all. Raises `ValueError` for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]


def summary(rounds: list[Measured]) -> Summary:
    """Return the medians of the rounds; latencies are those of all rounds together, memory is the most of any."""
    median = statistics.median
    latencies = [one for round_ in rounds for one in round_.latencies]
    return {
        "cpu us": median(one.cpu / one.units for one in rounds) * 1e6,
        "cpu us lowest": min(one.cpu / one.units for one in rounds) * 1e6,
        "cpu us highest": max(one.cpu / one.units for one in rounds) * 1e6,
        "deferred cpu us": median(one.deferred / one.units for one in rounds) * 1e6,
        "units/s": median(one.units / one.wall for one in rounds),
        "p50 ms": percentile(latencies, 0.5) * 1000,
        "p99 ms": percentile(latencies, 0.99) * 1000,
        "MB/s": median(one.moved / one.wall for one in rounds) / 1e6,
        "cpu s/GB": median(one.cpu / max(one.moved, 1) for one in rounds) * 1e9,
        "peak process MB": max(one.peaks[0] for one in rounds) / 1e6,
        "tree PSS MB": max(one.proportional for one in rounds) / 1e6,
    }


def table(chosen: list[Plan], figures: Figures) -> str:
    """Return the figures, one line a case and server; ratios are ours to theirs."""
    head = f"{'case':<10}{'server':<14}{'CPU us':>10}{'a second':>11}{'p50 ms':>9}{'p99 ms':>9}"
    head += f"{'MB/s':>9}{'CPU s/GB':>10}{'peak MB':>9}{'ours/theirs: CPU':>18}{'rate':>7}"
    lines = [head]
    for plan in chosen:
        lines.append(f"-- {plan.about}")
        servers = figures[plan.name]
        for name, found in servers.items():
            line = f"{plan.name:<10}{name:<14}{found['cpu us']:>10,.0f}{found['units/s']:>11,.1f}"
            line += f"{found['p50 ms']:>9,.2f}{found['p99 ms']:>9,.2f}{found['MB/s']:>9,.1f}"
            line += f"{found['cpu s/GB']:>10,.2f}" if plan.bulk else f"{'':>10}"
            line += f"{found['peak process MB']:>9,.1f}"
            if name != OURS and OURS in servers:
                ours = servers[OURS]
                line += f"{ours['cpu us'] / found['cpu us']:>18.2f}{ours['units/s'] / found['units/s']:>7.2f}"
            lines.append(line)
    if "start" in figures:
        found = figures["start"][OURS]
        lines.append(f"-- first answer after a start beside {found['repositories']:,.0f} repositories")
        lines.append(f"{'start':<10}{OURS:<14}median {found['median ms']:,.0f} ms, worst {found['worst ms']:,.0f} ms")
    return "\n".join(lines)


def bounds(figures: Figures) -> list[Verdict]:
    """Return what is expected of this registry, as far as it was measured."""
    found: list[Verdict] = []

    def expect(what: str, ours: float | None, limit: float | None, *, at_least: bool = False) -> None:
        if ours is not None and limit is not None:
            found.append(Verdict(what, ours, limit, at_least))

    def value(case: str, key: str, server: str = OURS, times: float = 1) -> float | None:
        known = figures.get(case, {}).get(server, {}).get(key)
        return None if known is None else known * times

    cpu, peer = "cpu us", "distribution"
    expect("manifest GET, us of CPU", value("get", cpu), 350)
    expect("manifest GET among many tags against ten, us", value("get-many", cpu), value("get", cpu, times=1.5))
    expect("tag push among many tags against ten, us", value("push-many", cpu), value("push", cpu, times=1.5))
    expect("tag push at ten against distribution, us", value("push", cpu), value("push", cpu, peer))
    expect("tag push among many against distribution, us", value("push-many", cpu), value("push-many", cpu, peer))
    expect("20 kB image against distribution, us", value("image", cpu), value("image", cpu, peer))
    expect("page of 100 tags, us of CPU", value("page", cpu), 8000)
    expect("page of 100 tags, median ms", value("page", "p50 ms"), 8)
    expect(
        "upload against distribution, MB/s", value("upload", "MB/s"), value("upload", "MB/s", peer, 0.6), at_least=True
    )
    expect("largest process while uploading, MB", value("upload", "peak process MB"), 150)
    expect(
        "download against nginx, MB/s",
        value("download", "MB/s"),
        value("download", "MB/s", "nginx", 0.9),
        at_least=True,
    )
    expect("worst first answer, ms", value("start", "worst ms"), 1000)
    return found


def machine() -> dict[str, str | int | None]:
    """Return the facts that figures depend on, and the time."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "processor": model,
        "kernel": platform.release(),
        "load before": Path("/proc/loadavg").read_text().split()[0],
    }


def versions(distribution: str | None, nginx: str | None) -> dict[str, str]:
    """Return the versions of what is measured and of what this registry stands on."""
    known = {"python": platform.python_version()}
    for package in ("flask", "werkzeug", "gunicorn"):
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if distribution:
        known["distribution"] = _said([distribution, "--version"]).split()[-1]
    if nginx:
        known["nginx"] = _said([nginx, "-v"]).rpartition("/")[2]
    return known


def _said(command: list[str]) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    return done.stdout.strip()
