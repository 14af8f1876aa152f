"""Patterns that a configuration gives for tags: the regular expressions of RE2, as zot has always had them.

A search takes time in proportion to the text, whatever the expression.
"""

from __future__ import annotations

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True


class Pattern:
    """A compiled expression, equal to others of the same text. Raises `ValueError`, with the reason, if it is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._compiled = re2.compile(text, _OPTIONS)
        except re2.error as error:
            reason = error.args[0]
            why = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(f"{text!r} is no regular expression: {why}") from None

    def matches(self, tag: str) -> bool:
        """Tell whether it is found anywhere in a tag."""
        return self._compiled.search(tag) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)
