"""One run of rules over a batch: duplicates and late rows told apart, deadlines before rows, rounds.

Works on copies of the rows of state it touches. When a rule raises, the copies are dropped and the batch
is bisected down to the row that did it: that row alone is set aside, everything else goes on.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from streams.engine import lanes, rounds
from streams.engine.batch import LIVE, NO_TIME, Batch
from streams.engine.book import BrokenRule, Page, enter
from zhiwei.clock import NEVER
from zhiwei.contracts import Amends, Bools, Claim, Field, Ints, Out, Round, State
from zhiwei.lanes import Lane
from zhiwei.types import Coordinates, Finding, Flag

if TYPE_CHECKING:
    from streams.engine.engine import Engine

KEYS = 16
"""Content keys kept for each device: a redelivery is told from news among its last rows."""

_MOST_FIRES = 10_000  # deadlines of one entity between two rows; more is a rule that re-arms in the past

ENTITY_FIELDS = (Field("clock", "int16"),)
DEVICE_FIELDS = (
    Field("clock", "int64", (), NO_TIME),
    Field("key", "uint64", (KEYS,)),
    Field("key_ts", "int64", (KEYS,), NEVER),
    Field("turn", "uint8"),
)


class Bins(msgspec.Struct, kw_only=True):
    """The engine's side of the ledger: each row of the log is in one of the first six."""

    applied: int = 0
    duplicate: int = 0
    late: int = 0
    historical: int = 0
    """Copies of old rows, shown to rules that can amend; the rows themselves are in the backlog's books."""
    set_aside: int = 0
    waiting: int = 0
    """Not stepped yet, as earlier ones may still come."""
    brought: int = 0
    """Rows that waited when the state moved to another number of partitions: they are in the bins and in no
    record of this log."""
    unreadable: int = 0
    """Records, not rows."""
    conflict: int = 0
    """Of those applied, late or historical: same device and time as an earlier row, other values."""

    def add(self, other: "Bins") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that made a rule raise, or a deadline that did (``place`` is then -1)."""

    offset: int
    place: int
    entity: str
    error: str


class Traced(NamedTuple):
    """What a row came to, for scores.csv."""

    offset: int
    place: int
    score: float
    """0..1; NaN = not ready, or not stepped."""
    alarm: bool


@dataclass(slots=True)
class _Part:
    """Copies that one attempt works on; taken into the engine when it went through."""

    entities: Ints
    devices: Ints
    work: State
    device_work: State
    pages: dict[int, Page] = field(default_factory=dict)
    bins: Bins = field(default_factory=Bins)
    findings: list[tuple[int, Finding]] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    traced: list[Traced] = field(default_factory=list)


class Run:
    """One call's worth of stepping: rows of a batch, or time that has passed without rows."""

    def __init__(self, engine: "Engine", trace: str | None = None) -> None:
        self._engine, self._trace = engine, trace
        self._latency = np.array(engine.latencies, np.int64)
        self._silence = np.array([lanes.is_silence(name) for name in engine.timers], bool)
        self._findings: list[tuple[int, Finding]] = []
        self.set_aside: list[SetAside] = []
        self.traced: list[Traced] = []

    def step(self, rows: Batch, entity: Ints, device: Ints) -> None:
        """All rows that were not set aside before. entity, device: (n,) numbers in the engine's tables."""
        self._rows, self._entity, self._device = rows, entity, device
        self._offsets = rows.offset
        places = np.arange(len(rows))
        if self._engine.skips:
            skips = self._engine.skips
            pairs = zip(rows.offset.tolist(), rows.place.tolist(), strict=True)
            places = places[[pair not in skips for pair in pairs]]
            self._engine.bins.set_aside += len(rows) - len(places)
        if len(places):
            self._attempt(places)

    def pass_time(self, entities: Ints, limits: Ints, offset: int) -> None:
        """Fire deadlines behind the last rows.

        entities: numbers. limits: (n, timers) µs. offset: of the record that moved the time.
        """
        self._offsets = np.full(len(entities), offset)
        none = np.empty(0, np.int64)
        part = _Part(
            entities=entities,
            devices=none,
            work=self._copies(entities),
            device_work=State(self._engine.devices.take(none)),
        )
        local = np.arange(len(entities))
        try:
            self._fire_due(part, local, limits, Out(), local)
        except Exception:
            if len(entities) == 1:
                raise
            half = len(entities) // 2
            self.pass_time(entities[:half], limits[:half], offset)
            self.pass_time(entities[half:], limits[half:], offset)
            return
        self._take_in(part)

    def _copies(self, entities: Ints) -> State:
        """Copies of these entities' rows, and which entities they are."""
        return State({**self._engine.entities.take(entities), "number": entities})

    def findings(self) -> list[Finding]:
        """In order of the rows that completed them."""
        return [finding for _, finding in sorted(self._findings, key=lambda pair: pair[0])]

    # -------------------------------------------------------------- attempts

    def _attempt(self, rows: Ints) -> None:
        try:
            part = self._stepped(rows)
        except Exception as error:  # noqa: BLE001 - whatever a rule raises, the other entities go on
            touched = np.unique(self._entity[rows])
            if len(touched) > 1:
                first = np.isin(self._entity[rows], touched[: len(touched) // 2])
                self._attempt(rows[first])
                self._attempt(rows[~first])
            elif len(rows) > 1:
                for row in rows:
                    self._attempt(np.array([row]))
            else:
                name = self._engine.entities.names[int(touched[0])]
                offset, place = int(self._rows.offset[rows[0]]), int(self._rows.place[rows[0]])
                self.set_aside.append(SetAside(offset, place, name, f"{type(error).__name__}: {error}"))
            return
        self._take_in(part)

    def _take_in(self, part: _Part) -> None:
        engine = self._engine
        engine.entities.put(part.entities, part.work.arrays)
        engine.devices.put(part.devices, part.device_work.arrays)
        engine.deadlines.written(part.entities, part.work["clock"], part.work["timer"])
        engine.pages.update(part.pages)
        engine.bins.add(part.bins)
        self._findings += part.findings
        self.set_aside += part.set_aside
        self.traced += part.traced

    def _stepped(self, rows: Ints) -> _Part:
        entities, local = np.unique(self._entity[rows], return_inverse=True)
        devices, local_device = np.unique(self._device[rows], return_inverse=True)
        part = _Part(
            entities=entities,
            devices=devices,
            work=self._copies(entities),
            device_work=State(self._engine.devices.take(devices)),
        )
        for turn in rounds.split(local):
            self._round(part, rows[turn], local[turn], local_device[turn])
        return part

    # -------------------------------------------------------------- a round

    def _round(self, part: _Part, rows: Ints, entity: Ints, device: Ints) -> None:
        batch = self._rows
        flags = batch.flags[rows]
        implausible = flags & np.uint16(Flag.CLOCK) != 0
        historical = flags & np.uint16(Flag.HISTORICAL) != 0
        at = np.where(implausible, batch.arrived[rows], batch.ts[rows])
        duplicate, conflict = _seen(
            part.device_work, device, batch.ts[rows], batch.key[rows], flags, ~historical
        )
        clock = part.device_work["clock"]
        late = ~duplicate & ~implausible & ~historical & (at < clock[device])
        if self._engine.lane is Lane.URGENT:
            late &= ~lanes.calls(self._engine, batch.values[rows])
        moves = ~duplicate & ~implausible & ~historical
        clock[device[moves]] = np.maximum(clock[device[moves]], at[moves])
        part.work["clock"][entity] = batch.clock[rows]
        fresh = ~duplicate & ~late & ~historical
        amends = historical & ~duplicate & ~implausible
        part.bins.duplicate += int(duplicate.sum())
        part.bins.late += int(late.sum())
        part.bins.historical += int((historical & ~duplicate).sum())
        part.bins.conflict += int(conflict.sum())
        part.bins.applied += int(fresh.sum())
        flags = flags | np.where(conflict, np.uint16(Flag.CONFLICT), np.uint16(0))

        if amends.any():
            self._amend(part, rows[amends], entity[amends], at[amends], flags[amends])
        out = Out()
        if fresh.any():
            r = rows[fresh]
            event = np.maximum(at[fresh][:, None], batch.engine[r][:, None] - self._latency)
            silence = np.maximum(batch.engine[r] - self._engine.reorder_us, batch.arrived[r])[:, None]
            limits = lanes.held_back(
                self._engine,
                part.work["timer"][entity[fresh]],
                np.where(self._silence, silence, event),
                at[fresh],
            )
            self._fire_due(part, entity[fresh], limits, out, r)
            step = self._rows_of(r, entity[fresh], at[fresh], flags[fresh])
            self._engine.rules.step(part.work, step, out)
            lanes.watch_backlog(self._engine, part.work, step)
            row_of = dict(zip(entity[fresh].tolist(), r.tolist(), strict=True))
            self._enter(part, out.claims, row_of, arrived=batch.arrived)
        if self._trace is not None:
            own = ~historical
            self._note(part, rows[own], entity[own], fresh[own], out)

    def _amend(self, part: _Part, rows: Ints, entity: Ints, at: Ints, flags: npt.NDArray[np.uint16]) -> None:
        """Show copies of old rows to rules that can amend, when all has fired that was due before they came.

        Live, ticks say how late it is. A simulated source's clock goes by its rows, so by their arrival.
        """
        rules, batch = self._engine.rules, self._rows
        if not isinstance(rules, Amends):
            return
        told = np.where(batch.clock[rows] == LIVE, NO_TIME, batch.arrived[rows])
        out, now = Out(), np.maximum(batch.engine[rows], told)[:, None]
        self._fire_due(part, entity, now - self._latency, out, rows)
        rules.amend(part.work, self._rows_of(rows, entity, at, flags), out)
        row_of = dict(zip(entity.tolist(), rows.tolist(), strict=True))
        self._enter(part, out.claims, row_of, arrived=batch.arrived)

    def _rows_of(self, rows: Ints, entity: Ints, at: Ints, flags: npt.NDArray[np.uint16]) -> Round:
        """What rules see of these rows of the batch."""
        batch = self._rows
        return Round(
            entity=entity,
            at=at,
            arrived=batch.arrived[rows],
            flags=flags,
            values=batch.values[rows],
            text={name: column[rows] for name, column in batch.text.items()},
        )

    def _fire_due(self, part: _Part, entity: Ints, limits: Ints, out: Out, rows: Ints) -> None:
        """Fire what is due, earliest first; limits: (n, timers)."""
        timer = part.work["timer"]
        if not timer.shape[1]:
            return
        for _ in range(_MOST_FIRES):
            due = timer[entity] <= limits
            if not due.any():
                return
            when = np.where(due, timer[entity], NEVER)
            first = when.argmin(axis=1)
            hit = due.any(axis=1)
            for number in np.unique(first[hit]).tolist():
                who = hit & (first == number)
                at = timer[entity[who], number]
                timer[entity[who], number] = NEVER
                self._fire(part, self._engine.timers[number], entity[who], at, out, rows)
                # Entered one by one, so that each claim keeps its place before the row's own.
                row_of = dict(zip(entity.tolist(), rows.tolist(), strict=True))
                own = self._engine.timers[number] == lanes.BACKLOG_OVER
                self._enter(part, out.claims, row_of, own=own)
                out.claims.clear()
        raise BrokenRule(f"more than {_MOST_FIRES} deadlines of one entity before one row")

    def _fire(self, part: _Part, timer: str, entity: Ints, at: Ints, out: Out, rows: Ints) -> None:
        if timer == lanes.BACKLOG_OVER:
            pages = {n: self._page(part, int(part.entities[n])) for n in entity.tolist()}
            times = dict(zip(entity.tolist(), at.tolist(), strict=True))
            out.claims += lanes.still_open(self._engine, pages, times)
            return
        if len(part.entities) > 1:
            self._engine.rules.fire(part.work, timer, entity, at, out)
            return
        try:
            self._engine.rules.fire(part.work, timer, entity, at, out)
        except Exception as error:  # noqa: BLE001 - the deadline is set aside, its row goes on
            out.claims.clear()
            name = self._engine.entities.names[int(part.entities[0])]
            text = f"deadline {timer}: {type(error).__name__}: {error}"
            part.set_aside.append(SetAside(int(self._offsets[rows[0]]), -1, name, text))

    # -------------------------------------------------------------- claims

    def _page(self, part: _Part, number: int) -> Page:
        return part.pages.get(number, self._engine.pages.get(number, {}))

    def _enter(
        self,
        part: _Part,
        claims: list[Claim],
        row_of: dict[int, int],
        *,
        arrived: Ints | None = None,
        own: bool = False,
    ) -> None:
        """Make findings of claims. arrived: of the batch's rows, None for deadlines. own: not the rules'."""
        for claim in claims:
            number = int(part.entities[claim.entity])
            page = self._page(part, number)
            clock = int(part.work["clock"][claim.entity])
            row = row_of[claim.entity]
            age = 0 if arrived is None else int(arrived[row]) - claim.at
            for lane, said, historical, late in lanes.standing(self._engine, claim, page, age, own=own):
                page, finding = enter(
                    page,
                    said,
                    site=self._engine.site,
                    scenario=self._engine.scenario.name,
                    entity=self._engine.entities.names[number],
                    versions=self._engine.versions,
                    coordinates=Coordinates(
                        topic=self._engine.topic,
                        partition=self._engine.partition,
                        offset=int(self._offsets[row]),
                    ),
                    clock=self._engine.clock_name(clock),
                    lane=lane,
                    historical=historical,
                    late=late,
                )
                part.findings.append((row, finding))
            part.pages[number] = page

    def _note(self, part: _Part, rows: Ints, entity: Ints, fresh: Bools, out: Out) -> None:
        """Score and alarm of each row of the round."""
        kind, _, channel = (self._trace or "").partition(":")
        score = np.full(len(rows), np.nan)
        if out.scores is not None:
            score[fresh] = out.scores
        through = {claim.entity for claim in out.claims if claim.through and _concerns(claim, kind, channel)}
        for place, (row, number) in enumerate(zip(rows.tolist(), entity.tolist(), strict=True)):
            name = int(part.entities[number])
            page = self._page(part, name)
            alarm = number in through or any(
                episode.open and episode.kind == kind and (not channel or rule.endswith(f".{channel}"))
                for rule, episode in page.items()
            )
            batch = self._rows
            offset, where = int(batch.offset[row]), int(batch.place[row])
            part.traced.append(Traced(offset, where, float(score[place]), alarm))


def _concerns(claim: Claim, kind: str, channel: str) -> bool:
    return claim.kind == kind and (not channel or claim.rule.endswith(f".{channel}"))


def _seen(
    state: State,
    device: Ints,
    ts: Ints,
    key: npt.NDArray[Any],
    flags: npt.NDArray[np.uint16],
    own: Bools,
) -> tuple[Bools, Bools]:
    """(n,) whether a row is a redelivery, and whether it contradicts an earlier one of the same time.

    Rows without a time of their own cannot be told from a redelivery and count as new. Remembers the
    key of each row that is new and the lane's ``own``: a burst of old rows does not push out those by which
    fresh ones are told.
    """
    timed = flags & np.uint16(Flag.NO_TS) == 0
    same_ts = state["key_ts"][device] == ts[:, None]
    same = same_ts & (state["key"][device] == key[:, None])
    duplicate = timed & same.any(axis=1)
    conflict = timed & ~duplicate & same_ts.any(axis=1)
    fresh = timed & ~duplicate & own
    who, turn = device[fresh], state["turn"][device[fresh]]
    state["key"][who, turn] = key[fresh]
    state["key_ts"][who, turn] = ts[fresh]
    state["turn"][who] = (turn + 1) % KEYS
    return duplicate, conflict
