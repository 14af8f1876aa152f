"""What the driver has to know of its bucket."""

from __future__ import annotations

from dataclasses import dataclass, field

from zot.config.drivers import StorageDriver
from zot.errors import StartupError

MIB = 1024 * 1024
# S3's own bound.
MOST_PARTS = 10_000


@dataclass(frozen=True)
class Settings:
    """A bucket and how it is reached; the section `key` of the configuration says the same.

    `root` is put before every key. Without `endpoint` it is Amazon's; without a scheme in it, `secure` chooses one.
    Without keys boto3 looks for them where it always does: environment, shared files, the machine's role. `path_style`
    None means: if there is an endpoint. `part_size` is in bytes.
    """

    bucket: str
    region: str | None = None
    endpoint: str | None = None
    root: str = ""
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    secure: bool = True
    skip_verify: bool = False
    path_style: bool | None = None
    encrypt: bool = False
    key_id: str | None = None
    storage_class: str | None = None
    part_size: int = 10 * MIB
    user_agent: str | None = None
    dual_stack: bool = False
    accelerate: bool = False
    fips: bool = False
    key: str = "storage.storageDriver"

    @property
    def prefix(self) -> str:
        """What every key begins with: nothing, or the root with a slash after it."""
        root = self.root.strip("/")
        return f"{root}/" if root else ""

    @property
    def url(self) -> str | None:
        """The address of the endpoint, or None for Amazon's."""
        if not self.endpoint or "://" in self.endpoint:
            return self.endpoint or None
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


def of_config(driver: StorageDriver, key: str = "storage.storageDriver") -> Settings:
    """Return what the section `key` says. Raises `StartupError` for what can't be a bucket of S3."""
    if driver.name.lower() != "s3":
        raise StartupError(f"there is no storage driver {driver.name!r} in this registry", "use s3, or a directory")
    if not driver.bucket:
        raise StartupError(f"{key}.bucket is missing", "name the bucket")
    if not (driver.region or driver.regionendpoint):
        raise StartupError(
            f"{key}.region is missing",
            "name the bucket's region, or the regionendpoint of another store",
        )
    return Settings(
        bucket=driver.bucket,
        region=driver.region or None,
        endpoint=driver.regionendpoint or None,
        root=driver.rootdirectory,
        access_key=driver.accesskey.get_secret_value() or None,
        secret_key=driver.secretkey.get_secret_value() or None,
        session_token=driver.sessiontoken.get_secret_value() or None,
        secure=driver.secure,
        skip_verify=driver.skipverify,
        path_style=driver.forcepathstyle,
        encrypt=driver.encrypt,
        key_id=driver.keyid or None,
        storage_class=None if driver.storageclass in {"", "NONE", "STANDARD"} else driver.storageclass,
        part_size=driver.chunksize,
        user_agent=driver.useragent or None,
        dual_stack=driver.usedualstack,
        accelerate=driver.accelerate,
        fips=driver.usefipsendpoint,
        key=key,
    )
