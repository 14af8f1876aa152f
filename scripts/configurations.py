"""The configurations of servers that our tools start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_config(path: Path) -> dict[str, Any]:
    """Return a configuration of the server, with a free port of this machine in place of its own."""
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    config["http"] = {**config.get("http", {}), "address": "127.0.0.1", "port": 0}
    return config


def root_of(config: dict[str, Any]) -> Path | None:
    """Return where a configuration keeps its files; None if that is no disk."""
    storage = config["storage"]
    return None if "storageDriver" in storage else Path(storage["rootDirectory"]).resolve()
