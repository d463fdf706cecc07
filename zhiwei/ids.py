"""Ids and places that must come out the same everywhere, for ever."""

import hashlib
import re
from zlib import crc32

BUCKETS = 64
"""Entities fall into a fixed number of buckets, buckets into partitions (DESIGN.md §3.2)."""

_ID = re.compile(r"[^\s/+#\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
"""Half a surrogate pair is text to Python, but cannot be written as UTF-8: no frame could hold it."""


def digest(*parts: object) -> str:
    """32 hex digits that identify a sequence of parts, by their text.

    Each part stands behind its length, so that parts cannot run into each other whatever is in them.
    """
    texts = [str(part).encode() for part in parts]
    body = b"".join(b"%d:%b," % (len(text), text) for text in texts)
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def finding_id(
    *, site: str, scenario: str, entity: str, kind: str, rule: str, first_onset_us: int, episode: int
) -> str:
    """Fixed when a finding is first emitted; a new policy or a revised onset does not change it."""
    return digest("finding", site, scenario, entity, kind, rule, first_onset_us, episode)


def bucket_of(entity: str) -> int:
    """0 … 63. CRC-32 of the UTF-8 name: the same in both beds and in every version."""
    return crc32(entity.encode()) % BUCKETS


def partition_of(entity: str, partitions: int) -> int:
    """The partition that owns an entity; whole buckets move when the count changes."""
    return bucket_of(entity) * partitions // BUCKETS


def is_name(text: str) -> bool:
    """Whether text may name an entity or a device.

    1 to 128 characters, none of them blank, control, ``/`` or an MQTT wildcard.
    """
    return _ID.fullmatch(text) is not None
