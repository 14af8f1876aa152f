"""Bytes at rest, behind one narrow protocol; see `zot.storage.protocol`. Knows keys, knows no OCI."""
