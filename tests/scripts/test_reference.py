"""The reference page is what the sections say."""

from __future__ import annotations

from scripts.reference import FILE, render
from zot.config import Config
from zot.config.keys import all_keys


def test_the_page_is_up_to_date() -> None:
    """docs/configuration.md is what `python -m scripts.reference` writes."""
    assert FILE.read_text() == render(), "run python -m scripts.reference"


def test_every_key_is_in_it() -> None:
    """Each key's own name and sentence are there."""
    page = render()
    for key in all_keys(Config):
        assert f"| `{key.setting.name}` | " in page
        assert key.setting.sentence.replace("|", "\\|") in page
