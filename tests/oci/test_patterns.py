"""Regular expressions for tags."""

from __future__ import annotations

import pytest

from zot.oci.patterns import Pattern


def test_regular_expressions_are_searched_for() -> None:
    """A pattern is found anywhere in the tag, as zot has it; anchors are written if they are meant."""
    assert Pattern("v2.*").matches("xv2")
    assert not Pattern("^v2").matches("xv2")
    assert Pattern(".*-prod").matches("a-prod-b")
    assert Pattern("").matches("anything")


def test_no_expression_takes_long() -> None:
    """An expression that others take for ever to try is over at once: time grows with the text only."""
    assert not Pattern("(a*)*$b").matches("a" * 100_000)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{1001}", "(?<!a)b"])
def test_what_is_no_expression_is_refused(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The reason is said, in the error alone."""
    with pytest.raises(ValueError, match="is no regular expression: "):
        Pattern(pattern)
    assert capfd.readouterr() == ("", "")
