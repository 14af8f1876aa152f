"""From a file to a `Config`, or to every problem that it has."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from zot.config.document import Document, Path_, Problem, Unreadable, read
from zot.config.model import Config

_REMEDIES = {
    "missing": "add it",
    "string_too_short": "give it a value",
    "bool_parsing": "use true or false",
    "bool_type": "use true or false",
    "int_parsing": "use a whole number",
    "int_type": "use a whole number",
    "int_from_float": "use a whole number",
    "greater_than_equal": "use a larger number",
    "less_than_equal": "use a smaller number",
    "string_type": "use a text",
    "list_type": "use a list",
    "literal_error": "use one of those",
    "model_type": "use a section with keys of its own",
    "model_attributes_type": "use a section with keys of its own",
}


class ConfigError(Exception):
    """A file that is no configuration; `problems` has all that is wrong with it, at least one."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def default_config(root: str, *, port: int = 8080) -> Config:
    """Return what the server uses without a file: this root, on the loopback address."""
    return Config.model_validate({"storage": {"rootDirectory": root}, "http": {"port": port}})


def load(file: str) -> Config:
    """Read and check a file. Raises `ConfigError`."""
    try:
        document = read(file)
    except Unreadable as error:
        raise ConfigError([error.problem]) from None
    if not document.values:
        raise ConfigError([Problem(file, 1, 1, "", "it is empty", "begin with a storage section")])
    problems = [_repeated(file, document, path) for path in document.repeated]
    try:
        config = Config.model_validate(_rename(document.values, Config))
    except ValidationError as error:
        problems += [_explain(file, document, one) for one in error.errors(include_url=False)]
    if problems:
        raise ConfigError(sorted(problems))
    return config


def _rename(values: Any, model: type[BaseModel]) -> Any:
    """Give keys, which are in lower case here, the spelling that the model knows."""
    if not isinstance(values, dict):
        return values
    fields = {str(field.alias).lower(): (str(field.alias), field.annotation) for field in model.model_fields.values()}
    renamed = {}
    for key, value in values.items():
        alias, kind = fields.get(key, (key, None))
        section = _section(kind)
        renamed[alias] = value if section is None else _rename(value, section)
    return renamed


def _section(kind: object) -> type[BaseModel] | None:
    """Return a field's type if that is a section."""
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _repeated(file: str, document: Document, path: Path_) -> Problem:
    return Problem(file, *document.places[path], _dotted(document, path), "it is given twice", "leave one of them out")


def _explain(file: str, document: Document, error: Any) -> Problem:
    path: Path_ = tuple(part.lower() if isinstance(part, str) else part for part in error["loc"])
    kind, what = error["type"], error["msg"]
    remedy = _REMEDIES.get(kind, "use a value of that kind")
    if kind == "extra_forbidden":
        what, remedy = "there is no such key", _nearest(path)
    elif kind == "missing":
        what = "it is missing"
    elif kind == "value_error":
        remedy, what = str(error["ctx"]["error"]), f"{error['input']!r} is none of the known values"
    place = _place(document, path)
    return Problem(file, *place, _dotted(document, error["loc"]), what, remedy)


def _place(document: Document, path: Path_) -> tuple[int, int]:
    """Return where a key stands, or the nearest one above it that is there."""
    while path and path not in document.places:
        path = path[:-1]
    return document.places.get(path, (1, 1))


def _dotted(document: Document, path: Path_) -> str:
    """Spell a key as the file does, and what is not there as the model does."""
    lower = tuple(part.lower() if isinstance(part, str) else part for part in path)
    return ".".join(document.written.get(lower[: end + 1], str(path[end])) for end in range(len(path)))


def _nearest(path: Path_) -> str:
    known = _keys(Config)
    section = ".".join(str(part) for part in path[:-1])
    here = [key for key in known if key.lower().rpartition(".")[0] == section]
    elsewhere = [key for key in known if key.lower().rpartition(".")[2] == str(path[-1])]
    if elsewhere:
        return f"did you mean {elsewhere[0]}"
    names = {key.lower().rpartition(".")[2]: key for key in here}
    close = get_close_matches(str(path[-1]), names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]}" if close else "leave it out"


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return all keys of a model, dotted."""
    found = []
    for field in model.model_fields.values():
        key = f"{prefix}{field.alias}"
        found.append(key)
        section = _section(field.annotation)
        if section is not None:
            found += _keys(section, f"{key}.")
    return found
