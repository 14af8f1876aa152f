"""Certificates for tests: an authority of one's own, and what it signs."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import trustme


class Authority:
    """A private authority, and the files `authority.pem`, `cert.pem` and `key.pem` of a server in a directory."""

    def __init__(self, directory: Path, *names: str) -> None:
        self._names = names or ("127.0.0.1", "localhost")
        self._authority = trustme.CA()
        self.file = directory / "authority.pem"
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        self._authority.cert_pem.write_to_path(self.file)
        self.renew()

    @property
    def tls(self) -> dict[str, str]:
        """The section `http.tls` of a server with this certificate."""
        return {"cert": str(self.cert), "key": str(self.key)}

    def renew(self, not_after: datetime | None = None) -> None:
        """Put another certificate and key in place, each at once."""
        issued = self._authority.issue_cert(*self._names, not_after=not_after)
        replace(self.key, issued.private_key_pem.bytes())
        replace(self.cert, b"".join(blob.bytes() for blob in issued.cert_chain_pems))


def replace(file: Path, content: bytes) -> None:
    """Put a file in the place of another, as programs that renew certificates do."""
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    os.replace(beside, file)
