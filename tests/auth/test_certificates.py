"""What a client's certificate says of its holder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from tests.auth.certificates import ClientAuthority, Issued, uri
from zot.auth.certificates import Certificates
from zot.auth.principal import Credentials, Principal, Via
from zot.config.auth import Mtls
from zot.errors import StartupError, Unauthorized


@pytest.fixture(scope="module")
def authority() -> ClientAuthority:
    """An authority."""
    return ClientAuthority()


@pytest.fixture(scope="module")
def full(authority: ClientAuthority) -> Issued:
    """A certificate with every attribute, some twice."""
    alternatives = [
        x509.RFC822Name("a@example.org"), x509.RFC822Name("b@example.org"), uri("spiffe://other/x"),
        uri("spiffe://home/ns/build/sa/ci"), x509.DNSName("one.example"), x509.DNSName("two.example"),
    ]  # fmt: skip
    return authority.issue("alice", alternatives=alternatives)


def name(issued: Issued, **settings: object) -> str:
    """Return the name that a certificate gets."""
    found = Certificates(Mtls.model_validate(settings)).authenticate(Credentials(certificate=issued.der))
    assert found is not None
    assert found == Principal(found.name, frozenset(), Via.CERTIFICATE, "certificate")
    return found.name


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "alice"),
        ({"identityAttributes": "CN"}, "alice"),
        ({"identityAttributes": ["subject"]}, "CN=alice"),
        ({"identityAttributes": ["DN"]}, "CN=alice"),
        ({"identityAttributes": ["Email"]}, "a@example.org"),
        ({"identityAttributes": ["rfc822name"], "emailSanIndex": 1}, "b@example.org"),
        ({"identityAttributes": ["URI"]}, "spiffe://other/x"),
        ({"identityAttributes": ["URL"], "uriSanIndex": 1}, "spiffe://home/ns/build/sa/ci"),
        ({"identityAttributes": ["URI"], "uriSanIndex": 1, "uriSanPattern": "^spiffe://home/ns/.*/sa/(.*)$"}, "ci"),
        ({"identityAttributes": ["DNSName"]}, "one.example"),
        ({"identityAttributes": ["dns"], "dnsSanIndex": 1}, "two.example"),
        ({"identityAttributes": ["dns", "email"], "dnsSanIndex": 9}, "a@example.org"),
        ({"identityAttributes": ["URI", "CN"], "uriSanPattern": "^spiffe://home/(.*)$"}, "alice"),
    ],
)
def test_the_first_attribute_that_is_there_is_the_name(
    full: Issued, settings: dict[str, object], expected: str
) -> None:
    """Each attribute is found under each of its names, in any case, and one that is not there is passed over."""
    assert name(full, **settings) == expected


@pytest.mark.parametrize("names", [(), (" alice",), ("a\nb",), ("alice", "admin")])
def test_a_certificate_that_names_nobody_is_refused(authority: ClientAuthority, names: tuple[str, ...]) -> None:
    """No name, an odd one and two of them are 401, and never the anonymous."""
    with pytest.raises(Unauthorized, match="names nobody"):
        name(authority.issue(*names))


def test_a_certificate_that_ended_is_refused(authority: ClientAuthority) -> None:
    """A connection may be older than its certificate is valid; its requests are refused from then on."""
    issued = authority.issue("alice", ends=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(Unauthorized, match="not valid any more"):
        name(issued)


def test_no_certificate_is_nobody() -> None:
    """A client that shows none is left to other ways."""
    assert Certificates(Mtls()).authenticate(Credentials()) is None


def test_settings_that_can_not_be_held_to(full: Issued) -> None:
    """Unknown attributes, no pattern and one without a group are refused at the start."""
    for settings in ({"identityAttributes": "Serial"}, {"uriSanPattern": "("}, {"uriSanPattern": "spiffe://.*"}):
        with pytest.raises(StartupError, match=r"http\.auth\.mtls"):
            name(full, **settings)
