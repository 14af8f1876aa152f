"""Names below a prefix in byte order, whatever order the server lists them in.

S3 sorts whole keys, so that `a-b` comes before `a/c`; SeaweedFS sorts names, so that `a/c` comes first. Both agree on
objects that have nothing below them, and neither goes back from one page to the next except by that difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from zot.storage.protocol import Unavailable
from zot.storage.s3.bucket import Bucket

_PLAIN = re.compile(r"[A-Za-z0-9._-]*")


def names_of(bucket: Bucket, prefix: str, after: str) -> Iterator[str]:
    """Yield the names directly below a prefix, which ends in a slash, that sort after `after`.

    Raises `Unavailable` if the server's order is a third one and the listing too long for one page.
    """
    waiting: set[str] = set()
    newest = after
    for page in bucket.list(prefix, _plain(after)):
        furthest = max(page.names, default="")
        waiting.update(name.rstrip("/") for name in page.names)
        for name in sorted(waiting):
            if not page.last and not _is_settled(name, furthest):
                break
            waiting.remove(name)
            if name > newest:
                yield name
                newest = name
            elif name < newest and name > after:
                raise Unavailable("the S3 server lists keys in an order that this driver does not know")


def _plain(after: str) -> str:
    """Return the beginning of what a client gave that every server takes for a part of a key; it sorts no later."""
    match = _PLAIN.match(after)
    plain = match.group() if match else ""
    return "" if plain in {".", ".."} else plain


def _is_settled(name: str, furthest: str) -> bool:
    """Tell whether no name that sorts before this one can follow in a listing that has come as far as `furthest`."""
    return all(f"{name[:end]}/" <= furthest for end, character in enumerate(name) if character < "/" and end)
