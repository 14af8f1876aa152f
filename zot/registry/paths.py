"""The only speller of storage keys.

    _zot-blobs/                                       all that is ours; tools that walk the root for layouts pass it by
        content/<alg>/<2>/<hex>                       each blob once (with dedupe), the master of its hard links
        format                                        the version of this tree; it is written first of all
        repositories/<name>                           one empty document per repository: the catalogue
        facts/<name>/tags/<tag>                       what a tag stands for; the only document that moves
        facts/<name>/tagged/<alg>-<hex>/<tag>         which tags has this digest; checked against the tag when used
        facts/<name>/manifests/<alg>-<hex>            this manifest belongs here, tagged or not
        facts/<name>/indexes/<alg>-<hex>              the children of an index
        facts/<name>/referrers/<alg>-<hex>/<alg>-<hex>    subject, then referrer: its descriptor
        people/                                       users that providers of identities sent, see `zot.auth.people`
        keys/                                         API keys, see `zot.auth.keys`
        sessions/                                     sessions of browsers, see `zot.auth.sessions`
        dirty/<name>                                  something changed here since index.json was written
        projecting/<name>                             index.json is being written
        statistics/<name>                             who was pulled how often and when, see `zot.registry.statistics`
        changed/<name>                                what may have become garbage here, see `zot.registry.changes`
        named/<name>                                  what its manifests name, see `zot.gc.remembering`
        waiting/<name>                                when garbage collection is to look again, and at what
        jobs/                                         leases, records and plans of the jobs, see `zot.jobs`
        generations/<name>                            what was last written there, see `zot.registry.generations`
        replaced/<name>                               the index.json before, to which its writer may still write
        refused/<name>                                what another program wrote there and was not done
        adopting/<name>                               a layout of another program is being taken over
        led                                           when the leader last looked at every index.json
        leading                                       a leader is at work, or was killed
        uploads/ locks/ tmp/                          the file system driver's own
    <repository>/                                     oci-layout, index.json, blobs/<alg>/<hex>: a plain OCI layout

<name> is the repository's name as one component, see `zot.oci.names.encode`.
"""

from __future__ import annotations

import hashlib

from zot.oci.digest import Digest
from zot.oci.names import encode

PRIVATE = "_zot-blobs"
FORMAT = f"{PRIVATE}/format"
CATALOGUE = f"{PRIVATE}/repositories"
DIRTY = f"{PRIVATE}/dirty"
PROJECTING = f"{PRIVATE}/projecting"
CONTENT = f"{PRIVATE}/content"
CHANGED = f"{PRIVATE}/changed"
WAITING = f"{PRIVATE}/waiting"
NAMED = f"{PRIVATE}/named"
STATISTICS = f"{PRIVATE}/statistics"
JOBS = f"{PRIVATE}/jobs"
PEOPLE = f"{PRIVATE}/people"
API_KEYS = f"{PRIVATE}/keys"
SESSIONS = f"{PRIVATE}/sessions"
LED = f"{PRIVATE}/led"
LEADING = f"{PRIVATE}/leading"
_FACTS = f"{PRIVATE}/facts"
# The kinds of facts of which each has a prefix of its own, for a digest.
NESTED = ("/tagged", "/referrers")


def content(digest: Digest) -> str:
    """Return the key of a blob's master."""
    return f"{CONTENT}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def blob(name: str, digest: Digest) -> str:
    """Return the key of a blob or manifest in its repository."""
    return f"{name}/blobs/{digest.algorithm}/{digest.hex}"


def blobs(name: str, algorithm: str) -> str:
    """Return the prefix of a repository's blobs and manifests of one algorithm."""
    return f"{name}/blobs/{algorithm}"


def layout_file(name: str, file: str) -> str:
    """Return the key of `oci-layout` or `index.json` of a repository."""
    return f"{name}/{file}"


def prefixes(name: str) -> tuple[str, ...]:
    """Return the prefixes that a repository's keys share and that are made with it."""
    return (f"{name}/blobs/sha256", *fact_prefixes(name))


def fact_prefixes(name: str) -> tuple[str, ...]:
    """Return the prefixes of a repository's facts, one for each kind."""
    kinds = ("tags", "tagged", "manifests", "indexes", "referrers")
    return tuple(f"{_FACTS}/{encode(name)}/{kind}" for kind in kinds)


def repository(name: str) -> str:
    """Return the catalogue's key of a repository."""
    return f"{CATALOGUE}/{encode(name)}"


def facts_of(name: str) -> str:
    """Return the prefix of all facts of a repository."""
    return f"{_FACTS}/{encode(name)}"


def tags(name: str) -> str:
    """Return the prefix of a repository's tags."""
    return f"{_FACTS}/{encode(name)}/tags"


def tag(name: str, tag: str) -> str:
    """Return the key of a tag."""
    return f"{_FACTS}/{encode(name)}/tags/{tag}"


def tagged(name: str, digest: Digest) -> str:
    """Return the prefix of the tags that a digest may have."""
    return f"{_FACTS}/{encode(name)}/tagged/{digest.filename}"


def all_tagged(name: str) -> str:
    """Return the prefix of the digests that have, or had, tags."""
    return f"{_FACTS}/{encode(name)}/tagged"


def manifests(name: str) -> str:
    """Return the prefix of a repository's manifests."""
    return f"{_FACTS}/{encode(name)}/manifests"


def manifest(name: str, digest: Digest) -> str:
    """Return the key of the fact that a manifest belongs to a repository."""
    return f"{_FACTS}/{encode(name)}/manifests/{digest.filename}"


def indexes(name: str) -> str:
    """Return the prefix of a repository's indexes."""
    return f"{_FACTS}/{encode(name)}/indexes"


def index(name: str, digest: Digest) -> str:
    """Return the key of the fact that lists an index's children."""
    return f"{_FACTS}/{encode(name)}/indexes/{digest.filename}"


def subjects(name: str) -> str:
    """Return the prefix of the subjects that have referrers."""
    return f"{_FACTS}/{encode(name)}/referrers"


def referrers(name: str, subject: Digest) -> str:
    """Return the prefix of the referrers of a subject."""
    return f"{_FACTS}/{encode(name)}/referrers/{subject.filename}"


def referrer(name: str, subject: Digest, digest: Digest) -> str:
    """Return the key of one referrer's descriptor."""
    return f"{_FACTS}/{encode(name)}/referrers/{subject.filename}/{digest.filename}"


def dirty(name: str) -> str:
    """Return the key of the mark that a repository's index has to be written again."""
    return f"{DIRTY}/{encode(name)}"


def projecting(name: str) -> str:
    """Return the key of the mark that a repository's index is being written."""
    return f"{PROJECTING}/{encode(name)}"


def statistics(name: str) -> str:
    """Return the key of a repository's pulls."""
    return f"{STATISTICS}/{encode(name)}"


def changed(name: str) -> str:
    """Return the key of the mark that something may have become garbage in a repository."""
    return f"{CHANGED}/{encode(name)}"


def waiting(name: str) -> str:
    """Return the key of the time at which a repository is to be looked at again."""
    return f"{WAITING}/{encode(name)}"


def named(name: str) -> str:
    """Return the key of the note on what a repository's manifests name."""
    return f"{NAMED}/{encode(name)}"


def generation(name: str) -> str:
    """Return the key of what was last written to a repository's index."""
    return f"{PRIVATE}/generations/{encode(name)}"


def replaced(name: str) -> str:
    """Return the key of the index that the last one took the place of."""
    return f"{PRIVATE}/replaced/{encode(name)}"


def refused(name: str) -> str:
    """Return the key of the last index of another program whose moves and deletions were not done."""
    return f"{PRIVATE}/refused/{encode(name)}"


def adopting(name: str) -> str:
    """Return the key of the mark that a layout of another program is being taken over."""
    return f"{PRIVATE}/adopting/{encode(name)}"


def upload(name: str, session: str, by: str) -> str:
    """Return the name of an upload session: it exists only together with its repository and whoever began it."""
    owner = hashlib.sha256(f"{name}\0{by}".encode()).hexdigest()[:16]
    return f"{session}-{owner}"


def lock(name: str) -> str:
    """Return the name of a repository's lock."""
    return f"repositories/{encode(name)}"


def layout_lock(name: str) -> str:
    """Return the name of the lock of a repository's layout; whoever takes both takes this one first."""
    return f"layouts/{encode(name)}"
