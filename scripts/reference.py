"""Write docs/configuration.md from the sections of `zot.config`.

python -m scripts.reference
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zot.config import Config
from zot.config.describe import default, kind, remarks
from zot.config.keys import Key, all_keys
from zot.config.section import Section
from zot.config.storage import SubPath

FILE = Path(__file__).parent.parent / "docs" / "configuration.md"

INTRODUCTION = """# Configuration

<!-- Written by `python -m scripts.reference` from the sections of zot.config; change those. -->

A file in JSON or YAML, in the format of zot. `zot verify FILE` tells all that is wrong with it, each with line, column
and remedy; `zot config explain KEY` says what stands here; `zot config show` prints what a command would use, with all
defaults; `zot config schema` prints a JSON Schema for editors. [examples](../examples/README.md) has files to begin
with.

- **Which file**: the one that is named, as an argument or with `--config`; else the one that `$ZOT_CONFIG` names; else
  `/etc/zot/config.json`, `.yaml` or `.yml`; else the defaults below, with the data in your data directory.
- **Keys** may be written in any case. Names that are yours (repositories, groups, sub-paths) keep theirs. Unknown keys
  and keys given twice are errors.
- **Comments** (`//`, `#`) may stand in a .json file too.
- **Numbers and truth values** may be quoted; one value stands for a list of one.
- **Durations** are written as in Go: `90s`, `1h30m`, `168h`; a number without a unit is nanoseconds.
- **Patterns for repositories**: `*` stays within a component, `**` crosses them: `infra/*`, `prod/**`.
- **Secrets** may be written as `${NAME}`, an environment variable, or `${file:PATH}`, what a file holds; nothing else
  may. They are shown as `******` wherever a configuration is shown.
- **What changes while the server runs**: keys marked so are taken over when the file changes, or on SIGHUP, by all
  workers or by none; the others wait for a restart.

A store of its own for the repositories below `fast/`, which keeps their last ten tags, and rights
for two users and everybody else:

```yaml
storage:
  rootDirectory: /var/lib/zot
  subPaths:
    /fast:
      rootDirectory: /mnt/fast/zot
      gc: true
      retention:
        policies:
          - repositories: ["fast/**"]
            keepTags:
              - mostRecentlyPushedCount: 10
http:
  auth:
    htpasswd: {path: /etc/zot/htpasswd}
  accessControl:
    repositories:
      "fast/**":
        policies:
          - users: [alice, ci]
            actions: [read, create, update]
        defaultPolicy: [read]
      "**":
        anonymousPolicy: [read]
```

How many workers and threads serve is for the command line: `zot serve --help`. More about
[garbage collection and retention](garbage-collection.md), and about [data in a bucket](s3.md).
"""


def main() -> None:
    """Write the page."""
    FILE.write_text(render())


def render() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    """Write a table for each section, in the order of the sections; one that stood before is named only."""
    keys = all_keys(Config)
    homes: dict[type[Section], str] = {}
    for parent in [None, *(key for key in keys if key.setting.shape.section is not None)]:
        section = Config if parent is None else parent.setting.shape.section
        assert section is not None
        prefix = "" if parent is None else parent.path + {"map": ".<name>.", "list": "[].", "": "."}[_container(parent)]
        below = [key for key in keys if key.path.startswith(prefix) and "." not in key.path[len(prefix) :].strip(".")]
        if prefix.startswith("storage.subPaths.<name>.") and prefix.count(".") > 3:
            continue
        yield f"## {prefix.rstrip('.')}" if prefix else "## At the top"
        if parent is not None:
            yield f"\n{parent.setting.sentence}"
        if section in homes:
            yield f"The keys are those of [{homes[section]}](#{_anchor(homes[section])}).\n"
            continue
        homes[section] = prefix.rstrip(".")
        if section is SubPath:
            below = [key for key in below if key.setting.name in SubPath.__annotations__]
            yield "The keys are those of [storage](#storage), without subPaths and fastRestart; only these differ:"
        yield from _table(below, prefix)


def _container(key: Key) -> str:
    return key.setting.shape.container


def _table(keys: list[Key], prefix: str) -> Iterator[str]:
    yield "\n| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys:
        meaning = " ".join([key.setting.sentence, *remarks(key)])
        shown = default(key.setting)
        quoted = f"`{shown}`" if shown not in ("", "required") else shown
        cells = (f"`{key.path[len(prefix) :]}`", kind(key.setting), quoted, meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _anchor(heading: str) -> str:
    """Return the anchor that a heading gets when it is shown."""
    return "".join(
        character for character in heading.lower().replace(" ", "-") if character.isalnum() or character in "-_"
    )


if __name__ == "__main__":
    main()
