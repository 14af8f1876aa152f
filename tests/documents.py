"""Documents as tests read them: JSON with comments, and YAML."""

from __future__ import annotations

from pathlib import Path

from zot.config.json_text import read_json
from zot.config.nodes import Items, Mapping, Node
from zot.config.yaml_text import read_yaml


def plain_file(file: Path) -> object:
    """Return the values that a file holds."""
    node = (read_json if file.suffix == ".json" else read_yaml)(file.read_text())
    assert node is not None
    return plain(node)


def plain(node: Node) -> object:
    """Return the values of a node."""
    if isinstance(node, Mapping):
        return {entry.name: plain(entry.value) for entry in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, Items) else node.value
