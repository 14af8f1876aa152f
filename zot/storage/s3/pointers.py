"""Objects that stand for content that lies elsewhere.

Content is streamed to `data/<uuid>` before anybody knows its final name, and nothing large is ever copied: the object
at its key says where it is. The truth of a pointer is in its metadata, so that a HEAD tells it; its body repeats it for
people, and gives every pointer an ETag of its own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import NamedTuple

_SIZE, _DATA, _SHARED = "zot-size", "zot-data", "zot-shared"


class Pointer(NamedTuple):
    """Where content is: `data` is the key of its bytes; `shared` the key under which others share them, or empty."""

    size: int
    data: str
    shared: str = ""

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the object that is this pointer."""
        return {_SIZE: str(self.size), _DATA: self.data, **({_SHARED: self.shared} if self.shared else {})}

    def encode(self) -> bytes:
        """Return the body of that object, which is also the document that holders share."""
        return json.dumps({"size": self.size, "data": self.data, "shared": self.shared}).encode()


def of_metadata(metadata: Mapping[str, str]) -> Pointer | None:
    """Return the pointer that an object is, or None for an object that is content itself."""
    if _DATA not in metadata:
        return None
    return Pointer(int(metadata[_SIZE]), metadata[_DATA], metadata.get(_SHARED, ""))


def decode(document: bytes) -> Pointer:
    """Read what holders share."""
    read = json.loads(document)
    return Pointer(read["size"], read["data"], read["shared"])


def new_data(private: str) -> str:
    """Return a key for content that begins to arrive."""
    return f"{private}/data/{uuid.uuid4()}"
