"""A browser without pictures, for providers of identities: follows redirects, keeps cookies, fills in forms."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

from tests.servers import PATIENCE


class _FirstForm(HTMLParser):
    """The first form of a page: where it goes, and what it would send."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._ended = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take up a form, and its inputs."""
        found = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = found.get("action") or ""
        elif tag == "input" and found.get("name") and not self._ended:
            self.fields[str(found["name"])] = found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        """Leave later forms alone."""
        self._ended = self._ended or tag == "form"


class FormBrowser:
    """One user's browser. The page that is open is the last one that was not a redirect."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.page = requests.Response()

    def go(self, url: str) -> requests.Response:
        """Open a page."""
        self.page = self.session.get(url, timeout=PATIENCE)
        return self.page

    def submit(self, **fields: str) -> requests.Response:
        """Fill in the first form of the page that is open, and send it."""
        form = _FirstForm(self.page.text)
        assert form.action is not None, self.page.text
        assert fields.keys() <= form.fields.keys(), form.fields
        where = urljoin(self.page.url, form.action)
        self.page = self.session.post(where, {**form.fields, **fields}, timeout=PATIENCE)
        return self.page
