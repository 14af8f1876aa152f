"""Where a login may lead a browser back to."""

from __future__ import annotations

import pytest

from zot.auth.landing import landing

ALLOWED = frozenset({"https://zot.example", "http://127.0.0.1:8080", "https://ui.example:8443"})


@pytest.mark.parametrize(
    "asked",
    [
        "", "/", "/home", "/home?tab=1#top", "/a//b", "https://zot.example", "https://zot.example/home", "/a%20b",
        "https://zot.example:443/home", "HTTPS://ZOT.example/home", "http://127.0.0.1:8080/home",
        "https://ui.example:8443/#/x", "/login?next=//evil.example",
    ],
)  # fmt: skip
def test_our_own_addresses_are_gone_to(asked: str) -> None:
    """Paths here, and addresses of the allowed origins, however these are written; the manual's example among them."""
    assert landing(asked, ALLOWED) == asked


@pytest.mark.parametrize(
    "asked",
    [
        "https://evil.example", "https://evil.example/home", "//evil.example", "///evil.example", "////evil.example",
        "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/%5cevil.example", "https:\\\\evil.example",
        "https:/\\evil.example", "https:evil.example", "https:///evil.example", "http:zot.example",
        "/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", "/\r\n\r\n<script>",
        " https://evil.example", " //evil.example", "/ /evil.example", "javascript:alert(1)", "JAVASCRIPT:alert(1)",
        "data:text/html,x", "ftp://zot.example/", "home", "./home", "?a=b", "#a", "zot.example",
        "https://zot.example@evil.example/", "https://user@zot.example/", "https://zot.example.evil.example/",
        "https://zot.example:8443/", "http://zot.example/", "https://zot.example\\@evil.example/",
        "https://zot.example%2f@evil.example/", "https://zot.example:443@evil.example/", "https://[::1/",
        "https://zot.example:99999999/", "https://ëvil.example", "/ë", "/\x00", "/\x7f", "https://", "//", "https://zot.example\x00.evil.example",
    ],
)  # fmt: skip
def test_others_are_not(asked: str) -> None:
    """Other hosts, however they are hidden, are replaced by our home: backslashes, slashes, breaks, users, schemes."""
    assert landing(asked, ALLOWED) == "/"
