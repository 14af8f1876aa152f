"""`log`: what is logged, and where to."""

from __future__ import annotations

from zot.config.section import Section, setting
from zot.config.values import Level


class Log(Section):
    """What is logged, and where to."""

    level: Level = setting("info", "What is logged, from this level on; requests are logged at info.", reload=True)
    output: str = setting("", "The file that log lines are appended to; standard error if empty.")
    audit: str = setting("", "The file that a line for each change is appended to; none if empty.")
