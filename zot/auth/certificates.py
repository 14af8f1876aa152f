"""Users by their client certificates, which TLS has verified before a request is read (RFC 5280)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from zot.auth.principal import Credentials, Principal, Via
from zot.config.auth import Mtls
from zot.errors import StartupError, Unauthorized

_REMEMBERED = 1024
_LONGEST_NAME = 256


class _Identity(NamedTuple):
    """What a certificate says of its holder, and until when; the name is empty if it says none."""

    name: str
    begins: datetime
    ends: datetime


class Certificates:
    """The authenticator. A user's name is the first of the configured attributes that a certificate has.

    Raises `StartupError` for an attribute that is not known, or a pattern that is none.
    """

    def __init__(self, settings: Mtls) -> None:
        attributes = _attributes(settings)
        unknown = [one for one in settings.identity_attributes if one.lower() not in attributes]
        if unknown:
            raise StartupError(
                f"http.auth.mtls.identityAttributes: {', '.join(unknown)}: there is no such attribute",
                "use some of CommonName, Subject, Email, URI and DNSName",
            )
        self._attributes = [attributes[one.lower()] for one in settings.identity_attributes]
        # A connection shows the same certificate with each of its requests.
        self._identity = lru_cache(_REMEMBERED)(self._read)

    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the holder of the certificate that the connection was made with; None if it was made without."""
        if not credentials.certificate:
            return None
        name, begins, ends = self._identity(credentials.certificate)
        # A connection may outlive the certificate that it began with.
        if not begins <= datetime.now(UTC) <= ends:
            raise Unauthorized("the client certificate is not valid any more", "connect anew, with a valid one")
        if not name:
            raise Unauthorized("the client certificate names nobody", "use one with the attributes that count here")
        return Principal(name, frozenset(), Via.CERTIFICATE, "certificate")

    def _read(self, encoded: bytes) -> _Identity:
        try:
            found = x509.load_der_x509_certificate(encoded)
            names = (name for attribute in self._attributes if _is_name(name := attribute(found)))
            return _Identity(next(names, ""), found.not_valid_before_utc, found.not_valid_after_utc)
        except ValueError as error:
            raise Unauthorized("the client certificate can't be read", "use another one") from error


Attribute = Callable[[x509.Certificate], str]


def _attributes(settings: Mtls) -> dict[str, Attribute]:
    """Return how each attribute is read, by its names in lower case."""
    uri = _alternative(x509.UniformResourceIdentifier, settings.uri_san_index, _pattern(settings.uri_san_pattern))
    dns = _alternative(x509.DNSName, settings.dns_san_index)
    email = _alternative(x509.RFC822Name, settings.email_san_index)
    return {
        "commonname": _common_name, "cn": _common_name, "subject": _subject, "dn": _subject, "email": email,
        "rfc822name": email, "uri": uri, "url": uri, "dnsname": dns, "dns": dns,
    }  # fmt: skip


def _pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise StartupError(f"http.auth.mtls.uriSanPattern: {error}", "mend the regular expression") from None
    if not pattern.groups:
        raise StartupError(
            "http.auth.mtls.uriSanPattern has no group", "put what is the name in brackets: ^spiffe://home/(.+)$"
        )
    return pattern


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # Of several one would be taken here and another there.
    return str(found[0].value) if len(found) == 1 else ""


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _alternative(
    kind: type[x509.UniformResourceIdentifier | x509.DNSName | x509.RFC822Name],
    index: int,
    pattern: re.Pattern[str] | None = None,
) -> Attribute:
    """Return a reader of the subject's alternative names of one kind; the pattern's first group is the name."""

    def read(certificate: x509.Certificate) -> str:
        try:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ""
        found: Sequence[str] = extension.value.get_values_for_type(kind)
        if index >= len(found):
            return ""
        if pattern is None:
            return found[index]
        match = pattern.search(found[index])
        return (match.group(1) or "") if match else ""

    return read


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and text == text.strip()
