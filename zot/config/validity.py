"""Until when a certificate is valid."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

_SOON_DAYS = 30


class Validity(NamedTuple):
    """When a certificate ends, how many whole days are left, and whether that is soon."""

    ends: datetime
    days: int
    is_soon: bool


def validity(cert: str) -> Validity:
    """Return until when the first certificate of a PEM file is valid. Raises `ValueError` and `OSError`.

    Soon is within a month, also for a certificate that is made for less.
    """
    found = x509.load_pem_x509_certificate(Path(cert).read_bytes())
    ends = found.not_valid_after_utc
    days = (ends - datetime.now(UTC)).days
    return Validity(ends, days, days < _SOON_DAYS)
