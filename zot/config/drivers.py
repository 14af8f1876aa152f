"""The maps `storageDriver`, `cacheDriver` and `sessionDriver`, whose keys are those of the drivers that zot uses."""

from __future__ import annotations

from typing import ClassVar

from zot.config.section import REQUIRED, Section, setting
from zot.config.values import NO_SECRET, Duration, Many, Secret

MEBIBYTE = 1024 * 1024


class AzureCredentials(Section):
    """How to log in at Azure."""

    type: str = setting("shared_key", "`shared_key`, `client_secret` or `default_credentials`.")
    clientid: str = setting("", "The application's id.", name="clientid")
    tenantid: str = setting("", "The directory's id.", name="tenantid")
    secret: Secret = setting(NO_SECRET, "The application's secret.", secret=True)


class StorageDriver(Section):
    """An object store. Further keys are kept for the driver, and warned of."""

    free: ClassVar[bool] = True

    name: str = setting(
        REQUIRED, "`s3`; zot's `gcs` and `azure` are accepted by verify, and refused by serve.", min_length=1
    )
    rootdirectory: str = setting("", "A prefix of all keys in the bucket.", name="rootdirectory")
    bucket: str = setting("", "The bucket; it must be there.")
    region: str = setting("", "The bucket's region; needed unless regionendpoint is given.")
    regionendpoint: str = setting(
        "", "The address of a store that is not Amazon's: `localhost:9000`, `http://minio:9000`."
    )
    accesskey: Secret = setting(
        NO_SECRET, "The access key; without it the environment, ~/.aws and the machine's role are asked.", secret=True
    )
    secretkey: Secret = setting(NO_SECRET, "The secret access key.", secret=True)
    sessiontoken: Secret = setting(NO_SECRET, "The session token of temporary credentials.", secret=True)
    secure: bool = setting(True, "Use https.")
    skipverify: bool = setting(False, "Accept any certificate of the store.")
    forcepathstyle: bool | None = setting(
        None, "Name the bucket in the path, not in the host name; true if left out and regionendpoint is given."
    )
    encrypt: bool = setting(False, "Ask the store to encrypt what it keeps.")
    keyid: str = setting("", "The KMS key to encrypt with.")
    v4auth: bool = setting(
        True, "Sign requests by version 4, the only one there is.", name="v4auth", needless="version 4 is always used"
    )
    chunksize: int = setting(
        10 * MEBIBYTE,
        "Bytes of one part of an upload to the store, which has at most 10,000; at least 5 MiB.",
        ge=5 * MEBIBYTE,
    )
    multipartcopychunksize: int = setting(
        32 * MEBIBYTE, "Bytes of one part of a copy in the store.", ge=1, needless="nothing large is ever copied"
    )
    multipartcopymaxconcurrency: int = setting(
        100, "How many parts of a copy go on at once.", ge=1, needless="nothing large is ever copied"
    )
    multipartcopythresholdsize: int = setting(
        32 * MEBIBYTE, "From how many bytes on a copy is done in parts.", ge=0, needless="nothing large is ever copied"
    )
    storageclass: str = setting("STANDARD", "The storage class of what is written; `NONE` sends none.")
    objectacl: str = setting("private", "The access list of what is written.", acted_on=False)
    useragent: str = setting("", "What requests to the store say they come from.")
    usedualstack: bool = setting(False, "Use the store's addresses for IPv4 and IPv6.")
    accelerate: bool = setting(False, "Use Amazon's transfer acceleration.")
    usefipsendpoint: bool = setting(False, "Use Amazon's FIPS endpoints.")
    loglevel: str = setting("off", "How much the driver logs.", acted_on=False)
    redirectendpoint: str = setting(
        "", "The address that signed URLs name, if clients know the store by another one.", acted_on=False
    )
    accountname: str = setting("", "Azure: the account.", acted_on=False)
    accountkey: Secret = setting(NO_SECRET, "Azure: the account's key.", secret=True, acted_on=False)
    container: str = setting("", "Azure: the container.", acted_on=False)
    realm: str = setting("", "Azure: the domain of the service.", acted_on=False)
    credentials: AzureCredentials | None = setting(None, "Azure: how to log in.", acted_on=False)
    connectionstring: Secret = setting(NO_SECRET, "Azure: a connection string.", secret=True, acted_on=False)
    serviceurl: str = setting("", "Azure: the address of the service.", acted_on=False)
    max_retries: int = setting(0, "Azure: how often a request is repeated.", name="max_retries", ge=0, acted_on=False)
    retry_delay: str = setting("", "Azure: the pause before a request is repeated.", name="retry_delay", acted_on=False)
    keyfile: str = setting("", "Google: a file with a service account's key.", acted_on=False)
    credentials_file: str = setting("", "Google: a file with credentials.", acted_on=False)
    maxconcurrency: int = setting(0, "Google: how many requests go on at once.", ge=0, acted_on=False)


class RedisOptions(Section):
    """A connection to Redis: `url`, or the other keys."""

    free: ClassVar[bool] = True

    name: str = setting(REQUIRED, "Which driver this is.", min_length=1)
    url: Secret = setting(
        NO_SECRET, "`redis://user:password@host:6379`; secret, as it may hold a password.", secret=True
    )
    addr: Many[str] = setting((), "Addresses, `host:port`; several are a cluster.")
    keyprefix: str = setting("zot", "What all keys begin with.", name="keyprefix")
    client_name: str = setting("", "The name of this client.", name="client_name")
    db: int = setting(0, "The number of the database.", ge=0)
    protocol: int = setting(3, "The version of the protocol.", ge=2, le=3)
    username: str = setting("", "The user.")
    password: Secret = setting(NO_SECRET, "The user's password.", secret=True)
    sentinel_username: str = setting("", "The user at the sentinel.", name="sentinel_username")
    sentinel_password: Secret = setting(
        NO_SECRET, "The password at the sentinel.", secret=True, name="sentinel_password"
    )
    master_name: str = setting("", "The name of the master that the sentinel knows.", name="master_name")
    max_retries: int = setting(3, "How often a command is repeated.", name="max_retries", ge=-1)
    min_retry_backoff: Duration | None = setting(None, "The least pause before that.", name="min_retry_backoff")
    max_retry_backoff: Duration | None = setting(None, "The longest pause before that.", name="max_retry_backoff")
    dial_timeout: Duration | None = setting(None, "How long connecting may take.", name="dial_timeout")
    read_timeout: Duration | None = setting(None, "How long an answer may take.", name="read_timeout")
    write_timeout: Duration | None = setting(None, "How long sending may take.", name="write_timeout")
    context_timeout_enabled: bool = setting(False, "Whether callers' time limits hold.", name="context_timeout_enabled")
    pool_fifo: bool = setting(False, "Use the connection that waited longest.", name="pool_fifo")
    pool_size: int = setting(0, "How many connections there may be; 0 is ten a core.", name="pool_size", ge=0)
    pool_timeout: Duration | None = setting(None, "How long to wait for a connection.", name="pool_timeout")
    min_idle_conns: int = setting(0, "The least number of idle connections.", name="min_idle_conns", ge=0)
    max_idle_conns: int = setting(0, "The greatest number of idle connections.", name="max_idle_conns", ge=0)
    max_active_conns: int = setting(0, "The greatest number of connections in use.", name="max_active_conns", ge=0)
    conn_max_idle_time: Duration | None = setting(None, "How long a connection may be idle.", name="conn_max_idle_time")
    conn_max_lifetime: Duration | None = setting(None, "How long a connection may live.", name="conn_max_lifetime")
    max_redirects: int = setting(3, "How many redirects of a cluster are followed.", name="max_redirects", ge=-1)
    read_only: bool = setting(False, "Whether replicas may be read.", name="read_only")
    route_by_latency: bool = setting(False, "Read from the nearest node.", name="route_by_latency")
    route_randomly: bool = setting(False, "Read from any node.", name="route_randomly")
    disable_identity: bool = setting(False, "Whether the client says which library it is.", name="disable_identity")
    identity_suffix: str = setting("", "What the client adds to that.", name="identity_suffix")
    unstable_resp3: bool = setting(False, "Whether new forms of answers are used.", name="unstable_resp3")


class CacheDriver(RedisOptions):
    """zot's cache of blobs in DynamoDB or Redis. Accepted; this registry keeps facts in the store itself."""

    name: str = setting(REQUIRED, "`dynamodb` or `redis`.", min_length=1)
    endpoint: str = setting("", "DynamoDB: the address.")
    region: str = setting("", "DynamoDB: the region.")
    cache_tablename: str = setting("", "DynamoDB: the table of blobs.")
    repo_meta_tablename: str = setting("", "DynamoDB: the table of repositories.")
    repo_blobs_info_tablename: str = setting("", "DynamoDB: the table of repositories' blobs.")
    manifest_data_tablename: str = setting("", "DynamoDB: the table of manifests, as older versions name it.")
    image_meta_tablename: str = setting("", "DynamoDB: the table of images.")
    user_data_tablename: str = setting("", "DynamoDB: the table of users.")
    api_key_tablename: str = setting("", "DynamoDB: the table of API keys.")
    version_tablename: str = setting("", "DynamoDB: the table of versions.")


class SessionDriver(RedisOptions):
    """Where sessions are kept."""

    name: str = setting(REQUIRED, "`local`, in the store, or `redis`.", min_length=1)
    keyprefix: str = setting("zotsession", "What all keys begin with.", name="keyprefix")
