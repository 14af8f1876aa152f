"""What every section of the configuration is made of: keys, and what is known about each of them.

A key is declared once, with `setting`: its type, default, one sentence of documentation, whether it is a secret,
whether a running server takes a change of it over, and whether this version acts on it. Validation, the JSON Schema,
the reference page, `zot config explain` and completion are all made from that.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

REQUIRED: Any = ...


def setting(
    default: Any,
    sentence: str,
    *,
    name: str | None = None,
    also: tuple[str, ...] = (),
    secret: bool = False,
    reload: bool | None = None,
    acted_on: bool | None = None,
    needless: str = "",
    **limits: Any,
) -> Any:
    """Declare a key: its default (`REQUIRED` for none) and what it means.

    `name` is its spelling in a file if that is not the attribute's in camel case, `also` are further names for it.
    `secret` values are masked wherever they are shown, and may name an environment variable. `reload` (a running server
    takes a change over) and `acted_on` (this version does what the key says) hold for all keys below a section too,
    unless they say otherwise; at the top they are false and true. `needless` says why a key of zot changes nothing
    here, and never will. `limits` are pydantic's (`ge`, `min_length`, …).
    """
    facts: dict[str, Any] = {
        "also": also,
        "secret": secret,
        "reload": reload,
        "acted_on": acted_on,
        "needless": needless,
    }
    return Field(default, description=sentence, alias=name, json_schema_extra={"zot": facts}, **limits)


class Section(BaseModel):
    """A section: frozen, and without keys that it does not know.

    `free` sections are maps whose further keys belong to somebody else's driver; these are kept and warned of.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, coerce_numbers_to_str=True
    )
    free: ClassVar[bool] = False
