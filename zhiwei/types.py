"""The types that flow: frozen, valid by construction, the same in every folder.

Serialized by msgspec: findings and ticks as JSON with a ``type`` tag, so that a record on the log
can be read by any tool. Frames have a format of their own: ``zhiwei/frames.py``.
"""

from datetime import datetime
from enum import IntFlag, StrEnum
from typing import Annotated, Literal

import msgspec

Unit01 = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Phase(StrEnum):
    """Where a finding stands in its life."""

    SUSPECTED = "suspected"
    RAISED = "raised"
    UPDATED = "updated"
    CLEARED = "cleared"


class Severity(StrEnum):
    """How urgent, from the least to the most."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info … 3 for critical."""
        return list(Severity).index(self)


class Flag(IntFlag):
    """Quality bits of a row (uint16). The letters are those of HJ 212-2017."""

    CLOCK = 1
    """Set by ingest: ``ts`` is implausible; ``arrived`` stands in for it."""
    NO_TS = 2
    """Set by ingest: the device sent no time; the row cannot be told from a redelivery."""
    LATE = 4
    HISTORICAL = 8
    """Set by ingest: a copy, on the ordinary lane, of an old row that is on the backlog."""
    CONFLICT = 16
    """Set by the engine: same device and ``ts`` as an earlier row, other values."""
    STOPPED = 32  # F
    MAINTENANCE = 64  # M
    MANUAL = 128  # S
    FAULT = 256  # D
    CALIBRATION = 512  # C
    OVER_RANGE = 1024  # T
    COMMUNICATION = 2048  # B


QUALITY_LETTERS: dict[str, Flag] = {
    "N": Flag(0),
    "F": Flag.STOPPED,
    "M": Flag.MAINTENANCE,
    "S": Flag.MANUAL,
    "D": Flag.FAULT,
    "C": Flag.CALIBRATION,
    "T": Flag.OVER_RANGE,
    "B": Flag.COMMUNICATION,
}
"""Value flags of HJ 212-2017 → bits of a row."""


class Reason(StrEnum):
    """Why input was refused. Stable once released: other programs count by these words."""

    NOT_JSON = "not_json"
    TRUNCATED = "truncated"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIMESTAMP = "bad_timestamp"
    NO_TIMESTAMP = "no_timestamp"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_FLAG = "unknown_flag"
    BAD_TOPIC = "bad_topic"
    UNKNOWN_SCENARIO = "unknown_scenario"
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_ENTITY = "unknown_entity"
    TOO_MANY_ENTITIES = "too_many_entities"
    BAD_FRAME = "bad_frame"
    UNKNOWN_VERSION = "unknown_version"
    RULE_ERROR = "rule_error"


class Rejection(msgspec.Struct, frozen=True, kw_only=True, tag="rejection", tag_field="type"):
    """Input that was refused: the bytes as they came, and a reason a person can act on.

    ``scope`` is what was lost: the whole payload, one row of it, or one cell of a row.
    """

    reason: Reason
    scope: Literal["payload", "row", "cell"]
    topic: str
    detail: str
    """Names the field, the value and the limit or what was expected."""
    payload: bytes
    arrived: datetime
    rows: int = 0
    """Rows lost with it; 0 for a cell and for a payload that could not be read as rows."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One device's values at one time. For slow paths only: tests, quarantine, explanations."""

    scenario: str
    entity: str
    device: str
    ts: datetime
    arrived: datetime
    values: dict[str, float | bool | str | None]
    flags: int = 0


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick", tag_field="type"):
    """Time has passed on one clock of the log although no row says so.

    Written by ingest once a second while intake is proven live, for the clock ``live``; and by the
    engine on the findings log, for ``<scenario>/<partition>/<clock>``, so that incidents can end.
    """

    clock: str
    time: datetime


class Control(msgspec.Struct, frozen=True, kw_only=True, tag="control", tag_field="type"):
    """What a step reads beside rows: takes effect at its offset in the log."""

    kind: Literal["policy", "registry"]
    version: str
    body: str
    """``policy``: the TOML text. ``registry``: JSON of entity attributes."""


class Drill(msgspec.Struct, frozen=True, kw_only=True, tag="drill", tag_field="type"):
    """An exercise: a message of our own that goes the way of readings and findings and is counted.

    It holds no reading and is no finding: no state can come of it, no incident, and nobody can be told.
    """

    topic: str
    """Of the readings log, where it went."""
    partition: int
    sent: datetime
    """When it left for the broker."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One named thing that was seen, and what would have been right."""

    name: str
    observed: float | bool | str | None
    expected: float | bool | str | None = None
    limit: str = ""
    """The limit in words, for example ``≤ 1``; empty where there is none."""
    unit: str = ""
    source: str = ""
    """Standard or reason behind the limit."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding rests on."""

    observations: tuple[Observation, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    samples: int = 0
    note: str = ""
    """A stable word such as ``timeout`` or ``returned``."""


class Coordinates(msgspec.Struct, frozen=True, kw_only=True):
    """The log record that completed a finding."""

    topic: str
    """Of another generation than the first with ``@`` and its number: zhiwei/generations.py."""
    partition: int
    offset: int


class Finding(msgspec.Struct, frozen=True, kw_only=True, tag="finding", tag_field="type"):
    """One rule's claim about one entity. (``id``, ``rev``) is the key under which it happens once."""

    id: str
    rev: int
    site: str
    scenario: str
    entity: str
    kind: str
    rule: str
    phase: Phase
    onset: datetime
    at: datetime
    score: Unit01
    severity: Severity
    evidence: Evidence
    versions: dict[str, str]
    """Of what decided: ``policy``, ``rules``."""
    coordinates: Coordinates
    clock: str = "live"
    historical: bool = False
    """Came too late to act upon: recorded, never dispatched."""
    late: bool = False
    """Came late and is acted upon all the same: a call for help, or a state that is still open."""


FindingRecord = Finding | Tick | Drill
"""What a record on the findings log decodes to."""

ControlRecord = Tick | Control | Drill
"""What a record on a readings log that is not a frame decodes to."""
