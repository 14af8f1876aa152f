"""zot: a container registry that serves the OCI distribution API."""

__version__ = "0.1.0"
