"""Garbage collection and retention: what goes is decided by pure functions, and done step by step under the lock."""
