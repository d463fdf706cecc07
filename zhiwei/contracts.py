"""What one part may expect of another. Parts are found by name through ``zhiwei/registry.py``.

A scenario's rules are pure steps over arrays: rows in, claims out; no clock, no I/O, no randomness.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

from zhiwei.schema import Schema
from zhiwei.types import Evidence, Flag, Phase, Reason, Severity

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


# ------------------------------------------------------------------ state


@dataclass(frozen=True, slots=True)
class Field:
    """One array of per-entity state: axis 0 is the entity, the others are given here.

    The word ``"channel"`` stands for an axis over the channels seen so far.
    """

    name: str
    dtype: str
    axes: tuple[int | Literal["channel"], ...] = ()
    fill: float | int | bool = 0
    """What a new entity holds: the "nothing yet" value."""
    channels: tuple[str, ...] | None = None
    """Names along the ``"channel"`` axis, by which state is carried over when channels are added;
    None = the channels that the rules were made for."""


class State:
    """Arrays of the entities at hand, by field name; rules read and write them in place.

    It is a copy of the touched rows: when a rule raises, the engine drops it. ``number`` says which entity
    each row is, as a place in the ``entities`` that the rules were made with.
    """

    __slots__ = ("arrays",)

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]


# ------------------------------------------------------------------ rows and claims


@dataclass(slots=True)
class Round:
    """Rows of which no two belong to one entity, so that gather, compute, scatter is exact.

    entity: (n,) index into the arrays of State.
    at, arrived: (n,) µs UTC. values: (n, channels) float64, NaN = missing; booleans are 0.0 and 1.0.
    text: string channels, (n,) objects: str, or a tuple of str for a list channel, or None each.
    """

    entity: Ints
    at: Ints
    arrived: Ints
    flags: npt.NDArray[np.uint16]
    values: Floats
    text: Mapping[str, Array] = field(default_factory=dict)

    def flagged(self, flags: Flag) -> Bools:
        """(n,) whether any of these quality bits is set."""
        return np.asarray(self.flags & np.uint16(flags) != 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a rule says of one entity at one row or deadline; the engine makes a Finding of it."""

    entity: int
    """Index into State, as in the round."""
    kind: str
    rule: str
    """Names the rule and what it looks at, for example ``limit.low.free_chlorine``."""
    phase: Phase
    at: int
    onset: int
    score: float
    severity: Severity
    evidence: Evidence
    through: bool = False
    """For CLEARED: the row that ends it is still part of it (an event that ends by time-out)."""


@dataclass(slots=True)
class Out:
    """Where a step puts what it found."""

    claims: list[Claim] = field(default_factory=list)
    scores: Floats | None = None
    """(n,) score of the scenario's main event for each row of the round; NaN = not ready."""


class Rules(Protocol):
    """The decision of one scenario under one policy over a fixed list of channels.

    A new policy or a new channel makes a new Rules; the engine carries the state over by name.
    """

    @property
    def fields(self) -> tuple[Field, ...]: ...

    @property
    def timers(self) -> tuple[str, ...]:
        """Deadlines: state ``timer`` is (entities, timers) int64 µs, clock.NEVER when not set. A name
        that starts with ``silence`` runs on engine time, any other on the device's time."""
        ...

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Rows in order of the log, each entity at most once."""
        ...

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """Deadlines that have passed before the next row; ``at`` are the deadline times.

        The engine has set the timers to NEVER already; each entity occurs at most once.
        """
        ...


@runtime_checkable
class Amends(Protocol):
    """Rules that can take into account what comes too late for a step. Optional: others never see it."""

    def amend(self, state: State, rows: Round, out: Out) -> None:
        """Old rows that carry an amendable channel, at their place in the log; each entity at most once.

        They are no samples and come in no order of time; the same row may come again, and must then change
        nothing. What is due by engine time has fired before. A claim's time is the row's arrival: people
        learn of it then.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One term of a kind as it stands for one entity: does it hold, what was seen, what it takes.

    The deciding terms of one ``way`` together make the claim: all hold exactly when the rules would claim it.
    """

    kind: str
    way: str
    """How the claim comes about: a branch, a channel, a room. A stable word."""
    name: str
    """Of the term: a channel where it is one, else a stable word."""
    holds: bool | None
    """None = not known, which does not make a claim either."""
    observed: float | bool | str | None = None
    needs: float | bool | str | None = None
    """What it takes; None where the name says it."""
    sign: Literal["", "≥", ">", "≤", "<"] = ""
    """How ``observed`` is compared with a number."""
    unit: str = ""
    since: int | None = None
    """µs, event time."""
    source: str = ""
    """Standard or reason behind ``needs``, from the policy."""
    decides: bool = True
    """False: told beside the terms because it explains one of them."""


@runtime_checkable
class Explains(Protocol):
    """Rules that can say what stands between an entity and each claim. Optional: others are told without."""

    def standing(self, state: State, entity: int, at: int, now: int) -> Sequence[Standing]:
        """The terms as they stand; from the arrays and the policy that ``step`` uses. Changes nothing.

        entity: index into the state. at: event time up to which deadlines have been fired; now: engine time,
        by which silence goes. Both µs.
        """
        ...


class Policy(Protocol):
    """A validated policy: thresholds with unit and source."""

    @property
    def version(self) -> str:
        """Named in each finding."""
        ...

    @property
    def latency_us(self) -> int:
        """Normal latency of the scenario's rows, µs: how long engine time waits for event time."""
        ...

    @property
    def text(self) -> str:
        """The TOML it was read from."""
        ...

    def latency_of(self, channel: str) -> int:
        """Normal latency of one channel, µs: what a daily upload brings is not old."""
        ...


@runtime_checkable
class Reorders(Protocol):
    """A policy whose sources may turn the order of their rows. Optional: others step rows as they come."""

    @property
    def reorder_us(self) -> int:
        """How long a row waits for earlier ones of the log, µs of engine time; 0 = not at all."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding, and what it takes to support it."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    """Any of these sets of channels is enough; an empty set needs none (silence)."""
    without: str = ""
    """What the claim is worth less without, in words."""

    def supported(self, channels: Collection[str]) -> bool:
        """Whether a kit with these channels can support it; a family's member stands for the family."""
        have = {part for name in channels for part in (name, name.partition(".")[0])}
        return any(have.issuperset(needed) for needed in self.needs)


class Scenario(Protocol):
    """One city event's folder."""

    @property
    def name(self) -> str: ...

    @property
    def schema(self) -> Schema: ...

    @property
    def main_kind(self) -> str:
        """The kind that ``alarm`` in scores.csv speaks of."""
        ...

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind that the rules may find."""
        ...

    @property
    def life_safety(self) -> frozenset[str]:
        """Kinds that overtake everything else, and that page even when they come late."""
        ...

    def policy(self, text: str | None, *, file: str = "") -> Policy:
        """Parse and validate; None gives the shipped default. Raises ConfigError."""
        ...

    def rules(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> Rules:
        """The rules over these channels (canonical order).

        attributes: what the registry says of an entity (``disinfectant = "total"``).
        entities: name of each entity number, so that attributes can be laid out as arrays; the
        engine asks again when an entity is new.
        """
        ...

    def urgent(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> Rules | None:
        """The rules of the urgent lane: what a trigger channel calls for at once, without looking at
        anything before it. The same rows come on the ordinary lane too. None = has no triggers."""
        ...


# ------------------------------------------------------------------ detectors


@runtime_checkable
class Detector(Protocol):
    """Scores how unusual a row is. ``score`` changes nothing, ``learn`` decides nothing.

    State lives in the engine's arrays; a detector says what it needs in ``fields``, whose names it
    begins with its own (``mvnn.window``).
    """

    name: str
    fields: tuple[Field, ...]

    def __init__(self, *, channels: tuple[str, ...], settings: Mapping[str, object], file: str) -> None:
        """channels: what the columns of x are. settings: of this detector, from a policy; validated
        here, ConfigError names ``file`` and the key."""
        ...

    def score(self, state: State, entity: Ints, x: Floats) -> Floats:
        """How unusual, (n,) in 0..1; 0.5 is the detector's own threshold; NaN = not ready.

        entity: (n,) index into the state, each at most once. x: (n, channels), NaN = missing.
        """
        ...

    def expected(self, state: State, entity: Ints, x: Floats) -> Floats:
        """(n, channels) what it would have found usual beside these rows; NaN where it cannot say."""
        ...

    def learn(self, state: State, entity: Ints, x: Floats, flagged: Bools) -> None:
        """Take rows into account. flagged: (n,) rows that were judged unusual: not learned from,
        except that a detector may keep them aside for ``rebase``."""
        ...

    def rebase(self, state: State, entity: Ints) -> None:
        """A lasting change has become the usual: start again from the latest rows, flagged or not."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a discriminator makes of a row, all (n,)."""

    event: Bools
    """The row belongs to an event."""
    probability: Floats
    """0..1 that so many outliers are no chance."""
    began: Bools
    """The row is the first of its event."""
    returned: Bools
    """The event is over, since the values are usual again: this row is no longer part of it."""
    timed_out: Bools
    """The event is over, since it lasted so long that it is the new baseline: this row is its last."""


@runtime_checkable
class Discriminator(Protocol):
    """Turns single outliers into events."""

    name: str
    fields: tuple[Field, ...]

    def __init__(self, *, settings: Mapping[str, object], file: str) -> None: ...

    def judge(self, state: State, entity: Ints, outlier: Bools) -> Judgement:
        """Take one more row of each entity into account. entity: (n,) each at most once."""
        ...


# ------------------------------------------------------------------ intake


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that a codec could not take: a payload, a row or a cell."""

    reason: Reason
    scope: Literal["payload", "row", "cell"]
    detail: str
    rows: int = 0


@dataclass(slots=True)
class Decoded:
    """Rows of one payload: the channel values by name, with ``ts`` (µs, or None) taken out of them."""

    ts: list[int | None] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    values: list[dict[str, float | bool | str | list[str] | None]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class Codec(Protocol):
    """Bytes to rows. Never raises for what it is given: bad input is a Refusal with a reason."""

    name: str

    def decode(self, payload: bytes) -> Decoded: ...


# ------------------------------------------------------------------ log


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of a partition; offsets rise by exactly one."""

    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to be appended."""

    topic: str
    partition: int
    value: bytes


class LogWriter(Protocol):
    """Appends durably."""

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """Offsets given, in order. When it returns, the records survive a power cut.

        All or nothing. Raises StorageFull when the disk reserve is reached or the disk is full.
        """
        ...


class LogReader(Protocol):
    """Reads records that are durable."""

    def identity(self, topic: str) -> str:
        """Of this log, or of this topic of it: another identity is another log, whatever its offsets say.

        Empty while there is no such log.
        """
        ...

    def generations(self, topic: str) -> tuple[int, ...]:
        """Of a topic, oldest first: zhiwei/generations.py. The last one is written now; empty: no topic."""
        ...

    def read(self, topic: str, partition: int, offset: int, *, most: int = 500) -> list[LogRecord]:
        """Records from offset on, in order, at most so many; fewer or none at the end."""
        ...

    def earliest(self, topic: str, partition: int) -> int:
        """The lowest offset that is kept (retention moves it)."""
        ...

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will get."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; 0 if there is no such topic."""
        ...

    async def changed(self, timeout_s: float) -> None:
        """Returns when something may have been appended, at the latest after so long."""
        ...


class TopicLog(LogReader, LogWriter, Protocol):
    """A log as those have it who own topics of it. Calls block: use a thread where a loop runs."""

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make the topic; nothing happens when it exists with as many partitions.

        Raises ZhiweiError when it has another number.
        """
        ...

    def begin_anew(self, topic: str, partitions: int) -> None:
        """Begin a generation of this topic, empty, with so many partitions; nothing happens when it has them.

        What was in it stays readable, by the name of its generation, and takes no record any more.
        """
        ...

    def physical(self, topic: str) -> str:
        """The name by which the log's own clients know a topic."""
        ...

    def topics(self) -> dict[str, int]:
        """Topic → partitions."""
        ...

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """``earliest`` and ``end`` of the same moment; (0, 0) for an unknown partition."""
        ...

    def wait(self, timeout_s: float) -> None:
        """``changed`` for code without an event loop."""
        ...

    def close(self) -> None:
        """Let go of what is open; a later call opens it again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# ------------------------------------------------------------------ sinks


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver: what a sink is handed."""

    id: str
    """Idempotency key: the event's id, the same at every attempt."""
    body: bytes
    """The CloudEvents JSON."""
    subject: str
    """The incident: order is kept within it."""
    attempt: int


class Sink(Protocol):
    """Tells one receiver. It reports and never loops: retrying is the outbox's business."""

    name: str

    async def open(self) -> None:
        """Acquire what is needed; must not need the receiver to be there."""
        ...

    async def deliver(self, delivery: Delivery) -> None:
        """Returns when the receiver has it. Raises Retryable or Permanent."""
        ...

    async def close(self) -> None: ...
