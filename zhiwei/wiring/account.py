"""What the log can tell of one entity around one moment: rows, refusals, outages, findings, and a replay.

Facts only; ``zhiwei/wiring/why_not.py`` makes sentences of them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from ingest import quarantine, topics
from ingest.liveness import PROVEN_FOR_S
from streams.engine.batch import is_frame
from streams.engine.engine import Engine
from streams.engine.run import Bins
from zhiwei import frames, registry
from zhiwei.beds import open_log
from zhiwei.clock import MICROS, to_datetime, to_us
from zhiwei.contracts import Ints, LogReader, LogRecord, Scenario, Standing
from zhiwei.generations import all_of
from zhiwei.ids import partition_of
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, Lane, log_topic
from zhiwei.schema import Schema
from zhiwei.settings import Settings
from zhiwei.types import Control, ControlRecord, Drill, Finding, Phase, Reason, Tick
from zhiwei.wiring.explain import RawReading, row_values
from zhiwei.wiring.roles import policy_of

WINDOW_S = 600
"""Before the moment: the rows that are counted and the refusals that are told."""
_AFTER_S = 3600
"""After the moment: how far the next row, refusal and finding are looked for."""
_STEP = 200
"""Records stepped together."""
LIVE = "live"

_control = msgspec.json.Decoder(ControlRecord)
_finding = msgspec.json.Decoder(Finding)


@dataclass(slots=True)
class Rows:
    """Rows of the entity in the window before the moment, by arrival."""

    count: int = 0
    devices: set[str] = field(default_factory=set)
    flags: Counter[int] = field(default_factory=Counter)
    last: RawReading | None = None
    """The last row before the moment, however long before."""
    next: RawReading | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Refusals for one reason."""

    count: int
    reason: Reason
    scope: str
    detail: str
    number: int
    """Of the last one in the quarantine."""
    at_us: int


@dataclass(slots=True)
class Account:
    """What is known of one entity of one scenario at one moment; times are µs."""

    scenario: str
    entity: str
    at_us: int
    clock: str = LIVE
    begins_us: int | None = None
    """First time on the entity's clock that is kept; None: there is none."""
    ends_us: int | None = None
    """Last time read; the scan ends some time after the moment."""
    cut: bool = False
    """Records before ``begins_us`` are not kept."""
    registered: bool = False
    rows: Rows = field(default_factory=Rows)
    bins: Bins = field(default_factory=Bins)
    """Of the window."""
    backlog: int = 0
    """Old rows that came in the window, on their own lane."""
    set_aside: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    ticks: bool = False
    outages: tuple[tuple[int, int], ...] = ()
    """Time without ticks, (from, to), that touches the window."""
    findings: tuple[Finding, ...] = ()
    """At their last revision before the moment, or, where all are later, at their first."""
    channels: frozenset[str] = frozenset()
    """Which the entity's rows carried up to the moment."""
    replayed: int = 0
    """Rows in the replay."""
    replayed_open: frozenset[str] = frozenset()
    """Kinds that the replay has open at the moment."""
    policy: str = ""
    standing: tuple[Standing, ...] = ()

    @property
    def open(self) -> list[Finding]:
        """Findings open at the moment."""
        return [
            one for one in self.findings if to_us(one.at) <= self.at_us and one.phase is not Phase.CLEARED
        ]

    @property
    def known(self) -> bool:
        """Whether anything at all speaks of the entity."""
        seen = self.rows.last is not None or self.rows.next is not None or self.backlog > 0
        return bool(seen or self.registered or self.refused or self.findings)


def account(settings: Settings, log: LogReader, scenario: str, entity: str, at_us: int) -> Account:
    """Everything in one reading of the log. log: of the readings. Raises ZhiweiError, ConfigError."""
    found = Account(scenario=scenario, entity=entity, at_us=at_us)
    part = registry.scenario(scenario)
    found.registered = any((one.scenario, one.entity) == (scenario, entity) for one in settings.entities)
    found.registered |= any((one.scenario, one.entity) == (scenario, entity) for one in settings.devices)
    _Replay(settings, part, log, found).run()
    found.backlog = _backlog(part, log, found)
    found.refused = _refused(log, found)
    with open_log(settings, FINDINGS) as findings:
        found.findings = tuple(_findings(findings, found))
    return found


class _Replay:
    """The entity's rows through the engine of its scenario, up to the moment.

    Rows of other entities change nothing for this one but the time: of them only that is taken, as ticks,
    where their clock has none of its own.
    """

    def __init__(self, settings: Settings, part: Scenario, log: LogReader, found: Account) -> None:
        topic = log_topic(Lane.READINGS, part.name)
        self._log, self._part, self._found = log, part, found
        self._places = _places(log, topic, found.entity)
        self._gone = log.generations(topic)[:1] not in ((), (0,))
        self._name = found.entity.encode()
        self._window = found.at_us - WINDOW_S * MICROS
        self._pending: list[LogRecord] = []
        self._before: Bins | None = None
        self._tick: int | None = None
        self._outages: list[tuple[int, int]] = []
        self._set_aside: list[str] = []
        self._channels: set[str] = set()
        self._engine = Engine(
            part,
            site=settings.site,
            topic=topic,
            partition=self._places[-1][1] if self._places else 0,
            policy=policy_of(settings, part.name),
        )

    def run(self) -> None:
        """Fill the account."""
        found = self._found
        first = self._places[0] if self._places else None
        found.cut = first is not None and (self._gone or self._log.earliest(*first) > 0)
        for record in self._records():
            if is_frame(record.value):
                self._frame(record)
            else:
                self._json(record)
            if len(self._pending) >= _STEP:
                self._step()
            if found.ends_us is not None and found.ends_us > found.at_us:
                far = found.ends_us > found.at_us + _AFTER_S * MICROS
                if far or (found.rows.next is not None and (self._tick is None or self._tick > found.at_us)):
                    break
        self._step()
        self._settle()

    def _records(self) -> Iterator[LogRecord]:
        for topic, partition in self._places:
            yield from forward(self._log, topic, partition)

    def _settle(self) -> None:
        found, engine = self._found, self._engine
        before = Bins() if self._before is None else self._before
        found.bins = Bins(
            applied=engine.bins.applied - before.applied,
            duplicate=engine.bins.duplicate - before.duplicate,
            late=engine.bins.late - before.late,
            set_aside=engine.bins.set_aside - before.set_aside,
        )
        found.outages, found.set_aside = tuple(self._outages), tuple(self._set_aside)
        found.channels, found.policy = frozenset(self._channels), engine.policy.version
        found.registered |= found.entity in engine.attributes
        found.standing = engine.standing(found.entity)
        page = engine.pages.get(engine.entities.number.get(found.entity, -1), {})
        found.replayed_open = frozenset(one.kind for one in page.values() if one.open)

    # -------------------------------------------------------------- records

    def _frame(self, record: LogRecord) -> None:
        mine = self._name in record.value  # names stand in a frame as they are: most need no decoding
        if not mine and self._found.clock == LIVE and self._found.begins_us is not None:
            return
        try:
            columns = frames.decode(self._part.schema, record.value)
        except frames.BadFrame:
            return
        here = np.array(columns.entities, dtype=object)[columns.entity] == self._found.entity
        if here.any():
            self._turn_to(columns.clock)
        if columns.clock != self._found.clock:
            return
        now = int(columns.arrived[columns.own].max(initial=0))
        if not here.any():
            self._time_of_others(record.offset, columns.clock, now)
            return
        rows = np.flatnonzero(here).astype(np.int64)
        early = rows[columns.arrived[rows] <= self._found.at_us]
        self._passed(int(columns.arrived[rows[0]]))
        self._count(record.offset, columns, rows[columns.own[rows]])
        if len(early):
            self._found.replayed += int(columns.own[early].sum())
            value = _only(self._part.schema, columns, early)
            self._take(LogRecord(record.offset, value), int(columns.arrived[early[0]]))
        self._time_of_others(record.offset, columns.clock, now)

    def _time_of_others(self, offset: int, clock: str, now: int) -> None:
        if not now:  # nothing but copies of old rows
            return
        self._passed(now)
        if now <= self._found.at_us and clock != LIVE:
            tick = Tick(clock=clock, time=to_datetime(now))
            self._take(LogRecord(offset, msgspec.json.encode(tick)), now)

    def _json(self, record: LogRecord) -> None:
        try:
            said = _control.decode(record.value)
        except msgspec.DecodeError:
            return
        if isinstance(said, Control):
            if self._found.ends_us is None or self._found.ends_us <= self._found.at_us:
                self._take(record, None)
            return
        if isinstance(said, Drill) or said.clock != self._found.clock:
            return
        now = to_us(said.time)
        self._ticked(now)
        self._passed(now)
        if now <= self._found.at_us:
            self._take(record, now)

    def _turn_to(self, clock: str) -> None:
        """The entity's first row says by which clock it goes; what was read of another is forgotten."""
        if clock != self._found.clock:
            self._found.clock = clock
            self._found.begins_us = self._found.ends_us = self._tick = None
            self._found.ticks = False
            self._outages.clear()

    def _passed(self, now: int) -> None:
        found = self._found
        found.begins_us = now if found.begins_us is None else found.begins_us
        found.ends_us = now if found.ends_us is None else max(found.ends_us, now)

    def _ticked(self, now: int) -> None:
        last, self._tick = self._tick, now
        self._found.ticks = True
        if (
            last is not None
            and now - last > 2 * PROVEN_FOR_S * MICROS
            and now >= self._window
            and last <= self._found.at_us
        ):
            self._outages.append((last, now))

    # -------------------------------------------------------------- stepping

    def _take(self, record: LogRecord, now: int | None) -> None:
        if self._before is None and now is not None and now >= self._window:
            self._step()
            self._before = msgspec.structs.replace(self._engine.bins)  # the engine counts on in its own
        self._pending.append(record)

    def _step(self) -> None:
        if not self._pending:
            return
        outcome = self._engine.apply(self._pending)
        self._pending.clear()
        self._set_aside += [aside.error for aside in outcome.set_aside if aside.entity == self._found.entity]

    def _count(self, offset: int, columns: frames.Columns, rows: Ints) -> None:
        said, at = self._found.rows, self._found.at_us
        for row in rows.tolist():
            arrived = int(columns.arrived[row])
            device = columns.devices[columns.device[row]]
            reading = RawReading(offset, device, int(columns.ts[row]), row_values(columns, row))
            if arrived > at:
                said.next = said.next or reading
                continue
            said.last = reading
            self._channels.update(reading.values)
            if arrived >= self._window:
                said.count += 1
                said.devices.add(device)
                if flags := int(columns.flags[row]):
                    said.flags[flags] += 1


def _places(log: LogReader, topic: str, entity: str) -> list[tuple[str, int]]:
    """Topic and partition of the entity in each generation, oldest first."""
    counts = [(name, log.partitions(name)) for name in all_of(log, topic)]
    return [(name, partition_of(entity, count)) for name, count in counts if count]


def forward(log: LogReader, topic: str, partition: int, start: int | None = None) -> Iterator[LogRecord]:
    """Every record that is kept, from ``start`` on."""
    if not log.partitions(topic):
        return
    offset, end = log.earliest(topic, partition), log.end(topic, partition)
    offset = offset if start is None else max(offset, start)
    while offset < end:
        part = log.read(topic, partition, offset)
        if not part:
            return
        yield from part
        offset = part[-1].offset + 1


def _only(schema: Schema, columns: frames.Columns, rows: Ints) -> bytes:
    """A frame of these rows alone."""
    channels = {}
    for name, (values, valid) in columns.channels.items():
        channel = schema.channel(name)
        if channel is not None and valid[rows].any():
            cells: list[frames.Cell] = [
                (values[row].item() if hasattr(values[row], "item") else values[row]) if valid[row] else None
                for row in rows.tolist()
            ]
            channels[name] = frames.arrow_column(channel, cells)
    return frames.encode(
        schema,
        entity=[columns.entities[columns.entity[row]] for row in rows],
        device=[columns.devices[columns.device[row]] for row in rows],
        ts=columns.ts[rows].tolist(),
        arrived=columns.arrived[rows].tolist(),
        flags=columns.flags[rows].tolist(),
        channels=channels,
        clock=columns.clock,
    )


# ------------------------------------------------------------------ beside the replay


def _backlog(part: Scenario, log: LogReader, found: Account) -> int:
    topic, count, name = log_topic(Lane.BACKLOG, part.name), 0, found.entity.encode()
    for record in (one for place in _places(log, topic, found.entity) for one in forward(log, *place)):
        if not is_frame(record.value) or name not in record.value:
            continue
        try:
            columns = frames.decode(part.schema, record.value)
        except frames.BadFrame:
            continue
        here = np.array(columns.entities, dtype=object)[columns.entity] == found.entity
        arrived = columns.arrived
        recent = (arrived > found.at_us - WINDOW_S * MICROS) & (arrived <= found.at_us)
        count += int((here & recent).sum())
    return count


def _refused(log: LogReader, found: Account) -> tuple[Refused, ...]:
    """Around the moment, by reason; of packets to the entity's topic, or that name it."""
    if not log.partitions(quarantine.TOPIC):
        return ()
    start, end = found.at_us - WINDOW_S * MICROS, found.at_us + WINDOW_S * MICROS
    by_reason: dict[tuple[Reason, str], Refused] = {}
    for one in quarantine.between(log, start, end):
        said = one.rejection
        address = topics.parse(said.topic.encode())
        named = (
            (address.scenario, address.entity) == (found.scenario, found.entity)
            if isinstance(address, topics.Address)
            else found.entity in said.topic.split("/")
        )
        if not named:
            continue
        key = (said.reason, said.scope)
        newest = by_reason.get(key)
        if newest is None:
            by_reason[key] = Refused(1, said.reason, said.scope, said.detail, one.offset, to_us(said.arrived))
        else:
            by_reason[key] = replace(newest, count=newest.count + 1)
    return tuple(by_reason.values())


def _findings(log: LogReader, found: Account) -> Iterator[Finding]:
    """Of the entity: each at its last revision up to the moment; later ones at their first."""
    name = found.entity.encode()
    by_id: dict[str, Finding] = {}
    for topic in (*all_of(log, FINDINGS), *all_of(log, FINDINGS_URGENT)):
        for partition in range(log.partitions(topic)):
            for record in forward(log, topic, partition):
                if name not in record.value:
                    continue
                try:
                    one = _finding.decode(record.value)
                except msgspec.DecodeError:  # a tick
                    continue
                if (one.scenario, one.entity) != (found.scenario, found.entity):
                    continue
                if one.id not in by_id or to_us(one.at) <= found.at_us:
                    by_id[one.id] = one
    yield from sorted(by_id.values(), key=lambda one: (one.at, one.id))
