"""`storage`: where the registry keeps what it is given, and what it removes again."""

from __future__ import annotations

from zot.config.drivers import CacheDriver, StorageDriver
from zot.config.section import Section, setting
from zot.config.values import HOUR, Glob, Many, Regexp, Span, Window


class Kept(Section):
    """Which manifests are kept; one of the rules is enough."""

    pulled_within: Span | None = setting(None, "Keep what was pulled within this time.")
    pushed_within: Span | None = setting(None, "Keep what was pushed within this time.")
    most_recently_pushed_count: int = setting(0, "Keep this many of those pushed last; 0 is no rule.", ge=0)
    most_recently_pulled_count: int = setting(0, "Keep this many of those pulled last; 0 is no rule.", ge=0)


class KeepTags(Kept):
    """Which tags are kept: those that match one of `patterns`, by the rules, or all of them if there is no rule."""

    patterns: Many[Regexp] = setting(
        (), "Regular expressions, found anywhere in a tag unless they say `^` and `$`; none is all tags."
    )


class Immutable(Section):
    """Tags that are neither overwritten nor deleted."""

    patterns: Many[Regexp] = setting(
        (), "Regular expressions, found anywhere in a tag unless they say `^` and `$`; none is all tags."
    )
    except_: Many[Regexp] = setting(
        (), "Regular expressions, found anywhere likewise, for tags that may change all the same.", name="except"
    )


class RetentionPolicy(Section):
    """What is kept in the repositories that match; a repository follows the first policy that matches it."""

    repositories: Many[Glob] = setting(
        (),
        "Globs for the repositories that this policy is for: `infra/*`, `prod/**`; whole names below subPaths too.",
        also=("repoNames",),
    )
    delete_referrers: bool = setting(False, "Delete referrers (signatures, SBOMs) whose subject is not here.")
    delete_untagged: bool = setting(True, "Delete manifests that have no tag and that nothing refers to.")
    keep_tags: tuple[KeepTags, ...] = setting(
        (), "Which tags are kept, first match first; what matches none is deleted, and an empty list keeps all tags."
    )
    keep_untagged: Kept | None = setting(None, "Which manifests without a tag are kept although deleteUntagged is on.")
    immutable: tuple[Immutable, ...] = setting((), "Tags that are neither overwritten nor deleted.")


class Retention(Section):
    """Which tags and manifests are removed by themselves."""

    dry_run: bool = setting(False, "Only log what would be removed.")
    delay: Span | None = setting(
        None,
        "How long an untagged manifest, or a referrer without its subject, is kept; gcDelay if left out.",
    )
    policies: tuple[RetentionPolicy, ...] = setting(
        (), "What is kept, by repository; a repository that no policy is for keeps everything."
    )


class StoreOptions(Section):
    """What the default store and each one below `subPaths` have in common."""

    root_directory: str = setting(
        "", "The directory that holds the data; made if it is not there. Needed, unless a storageDriver holds it."
    )
    max_repos: int = setting(0, "How many repositories there may be; 0 is no limit.", ge=0, acted_on=False)
    dedupe: bool = setting(True, "Repositories share one copy of a blob that they have in common.")
    remote_cache: bool | None = setting(
        None, "Keep zot's cache of blobs in cacheDriver, not in a file.", needless="this registry has no such cache"
    )
    redirect_blob_url: bool = setting(
        False, "Send clients to a signed URL of the bucket for a blob, instead of passing it through.",
        name="redirectBlobURL", reload=True, acted_on=False,
    )  # fmt: skip
    gc: bool = setting(True, "Remove blobs and uploads that nothing needs.", reload=True)
    commit: bool = setting(
        True, "Sync every file and directory before a push is acknowledged; without it a power cut may lose what was."
    )
    gc_delay: Span = setting(
        HOUR,
        "How long nothing must have needed a blob before it is removed; an upload stays for a day at least.",
        reload=True,
    )
    gc_interval: Span = setting(HOUR, "How often garbage is collected; 0 is once, at the start.", reload=True)
    gc_time_window: Window = setting(
        "", "The time of day, in UTC, in which a collection may begin: `22:00-04:00`; empty is any time.",
        reload=True,
    )  # fmt: skip
    retention: Retention = setting(Retention(), "Which tags and manifests are removed by themselves.", reload=True)
    storage_driver: StorageDriver | None = setting(
        None, "The object store that holds the data instead of the directory."
    )
    cache_driver: CacheDriver | None = setting(
        None, "Where zot keeps its cache of blobs.", needless="this registry keeps its facts in the store itself"
    )


class SubPath(StoreOptions):
    """A store of its own for the repositories below a first path component; dedupe and gc are off unless asked for."""

    dedupe: bool = setting(False, "Repositories of this store share one copy of a blob that they have in common.")
    gc: bool = setting(False, "Remove blobs and uploads that nothing needs.", reload=True)


class Storage(StoreOptions):
    """Where the registry keeps what it is given."""

    sub_paths: dict[str, SubPath] = setting(
        {}, "Stores of their own: `/a` holds the repositories whose name begins with `a/`."
    )

    def at(self, route: str) -> StoreOptions:
        """Return the options of the store at a route; `/` is this one. Raises `KeyError`."""
        below = {f"/{key.strip('/')}": options for key, options in self.sub_paths.items()}
        return self if route == "/" else below[route]

    fast_restart: bool = setting(
        False, "Skip reading the storage at start.", needless="this registry never reads it at start"
    )
