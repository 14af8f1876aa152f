"""The store in a bucket: the storage protocol over S3, for any number of servers. See DESIGN.md, "The S3 driver"."""

from zot.storage.s3.driver import S3
from zot.storage.s3.settings import Settings, of_config

__all__ = ["S3", "Settings", "of_config"]
