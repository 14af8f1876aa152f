"""What is to hold between the values of a configuration, beyond what each of them may be: one small function a rule."""

from __future__ import annotations

from collections.abc import Iterator

from zot.config.model import Config
from zot.config.rules import access, auth, extensions, http, retention, storage
from zot.config.rules.finding import Finding

RULES = (*storage.RULES, *retention.RULES, *http.RULES, *auth.RULES, *access.RULES, *extensions.RULES)


def findings(config: Config) -> Iterator[Finding]:
    """Return all that the rules find."""
    for rule in RULES:
        yield from rule(config)
