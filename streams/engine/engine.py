"""One partition's engine: ``apply`` takes the records that wait and returns what they mean.

No I/O, clock or randomness. Results depend on the log alone, not on how rows were cut into frames, how
many frames are stepped together, or where a restart fell in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from streams.engine import batch as batches
from streams.engine import lanes, reorder
from streams.engine.batch import NO_TIME, Batch, Clocks, Unreadable
from streams.engine.book import Page
from streams.engine.deadlines import Deadlines
from streams.engine.run import DEVICE_FIELDS, ENTITY_FIELDS, Bins, Run, SetAside, Traced
from streams.engine.table import Table
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import Explains, Field, LogRecord, Policy, Rules, Scenario, Standing, State
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.lanes import Lane, clock_name
from zhiwei.types import Control, Drill, Finding, Tick

Attributes = dict[str, dict[str, str]]
"""What the registry says of each entity."""


@dataclass(slots=True)
class Outcome:
    """What a call of ``apply`` found. Each row of the records is in exactly one bin."""

    findings: list[Finding] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    traced: list[Traced] = field(default_factory=list)
    """Score and alarm of each row, when asked for."""
    drills: list[Drill] = field(default_factory=list)
    """To be passed on: everything before them has been stepped."""
    rows: int = 0


class Engine:
    """State and rules of one partition of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        site: str,
        topic: str,
        partition: int,
        policy: Policy | None = None,
        lane: Lane = Lane.READINGS,
    ) -> None:
        """policy: until a control record brings another; None = the scenario's default."""
        self.scenario, self.lane = scenario, lane
        self.site, self.topic, self.partition = site, topic, partition
        self.policy = policy or scenario.policy(None)
        self.attributes: Attributes = {}
        self.registry_version = ""
        self.clocks = Clocks()
        self.bins = Bins()
        self.pages: dict[int, Page] = {}
        self.skips: set[tuple[int, int]] = set()
        """(offset, place in the frame) of rows that were set aside before: a replay passes them over."""
        self.channels: tuple[str, ...] = ()
        self.waiting: Batch | None = None
        """Rows that are not stepped yet (``reorder``)."""
        self.devices = Table(DEVICE_FIELDS)
        self.rules: Rules
        self.reorder_us: int
        """How long rows wait for earlier ones. Calls for help do not, and old rows have come long after."""
        self.entities, self.deadlines = Table(()), Deadlines()
        self.rebuild()

    # -------------------------------------------------------------- stepping

    def apply(self, records: Sequence[LogRecord], *, trace: str | None = None) -> Outcome:
        """Step these records, which follow each other in the log.

        trace: a finding kind, or ``kind:channel``, whose alarm is wanted row by row (replay).
        """
        cut = batches.cut(self.scenario.schema, records, self.clocks, self.channels)
        outcome = Outcome(unreadable=cut.unreadable, drills=cut.drills)
        last = records[-1].offset if records else 0
        for part in cut.segments:
            if isinstance(part.body, Control):
                self._release(None, part.now, outcome, trace)
                self._control(part.body, part.offset, outcome)
            elif len(part.body):
                self._release(part.body, part.now, outcome, trace)
        if records:
            self._release(None, self.clocks.now, outcome, trace)
            self._pass_time(outcome, last)
        self.bins.unreadable += len(outcome.unreadable)
        return outcome

    def _release(self, came: Batch | None, now: list[int], outcome: Outcome, trace: str | None) -> None:
        """Step what has waited long enough, and what needs not wait. now: engine time of each clock."""
        rows, self.waiting = reorder.released(self.scenario.schema, self.waiting, came, self.reorder_us, now)
        self.bins.waiting = 0 if self.waiting is None else len(self.waiting)
        if rows is not None:
            self._step(rows, outcome, trace)

    def _step(self, rows: Batch, outcome: Outcome, trace: str | None) -> None:
        known = len(self.entities)
        entity = self.entities.numbers(rows.entities)[rows.entity_name]
        device = self.devices.numbers(rows.devices)[rows.device_name]
        if rows.channels != self.channels:
            self.channels = rows.channels
            self.rebuild()
        elif len(self.entities) != known:  # attributes and policies may speak of an entity by name
            self.rebuild()
        run = Run(self, trace)
        run.step(rows, entity, device)
        self._collect(run, outcome)
        outcome.rows += len(rows)

    def _pass_time(self, outcome: Outcome, offset: int) -> None:
        """Deadlines that engine time has passed behind the last row of their entity."""
        timers, clocks = self.entities.column("timer"), self.entities.column("clock")
        if not timers.size:
            return
        passed = np.array(self.clocks.now)[:, None] - np.array(self.latencies)
        seen = self.deadlines.passed(passed, clocks, timers)
        if not len(seen):
            return
        limits = lanes.held_back(self, timers[seen], passed[clocks[seen]])
        due = (timers[seen] <= limits).any(axis=1)
        if due.any():
            run = Run(self)
            run.pass_time(seen[due], limits[due], offset)
            self._collect(run, outcome)
        self.deadlines.looked_at(seen, clocks[seen], timers[seen])

    def _collect(self, run: Run, outcome: Outcome) -> None:
        outcome.findings += run.findings()
        outcome.set_aside += run.set_aside
        outcome.traced += run.traced
        rows = [(aside.offset, aside.place) for aside in run.set_aside if aside.place >= 0]
        self.skips.update(rows)
        self.bins.set_aside += len(rows)

    # -------------------------------------------------------------- what stands

    def standing(self, entity: str) -> tuple[Standing, ...]:
        """What stands between this entity and each claim, as of the last record.

        Empty for an entity without rows, and where the rules cannot say (``contracts.Explains``).
        """
        number = self.entities.number.get(entity)
        if number is None or not isinstance(self.rules, Explains):
            return ()
        here = np.array([number])
        now = self.clocks.now[int(self.entities.column("clock")[number])]
        heard = [
            int(self.devices.column("clock")[place])
            for name, place in self.devices.number.items()
            if name.partition("/")[0] == entity
        ]
        at = max(now - self.policy.latency_us - self.reorder_us, *heard)
        state = State({**self.entities.take(here), "number": here})
        return tuple(self.rules.standing(state, 0, at, now))

    # -------------------------------------------------------------- what steps read

    @property
    def latencies(self) -> list[int]:
        """How long engine time waits for each timer's event time: the policy's latency, but for silence, and
        until rows have come into order."""
        latency, wait = self.policy.latency_us, self.reorder_us
        return [wait if lanes.is_silence(name) else latency + wait for name in self.timers]

    @property
    def timers(self) -> tuple[str, ...]:
        """The rules' deadlines, and on the backlog lane one of our own."""
        own = (lanes.BACKLOG_OVER,) if self.lane is Lane.BACKLOG else ()
        return (*self.rules.timers, *own)

    @property
    def versions(self) -> dict[str, str]:
        """Of what decides: named in each finding."""
        return {"policy": self.policy.version, "schema": str(self.scenario.schema.version)}

    def clock_name(self, number: int) -> str:
        """A clock as the findings log knows it: each partition tells its own time."""
        return clock_name(self.lane, self.scenario.name, self.partition, self.clocks.names[number])

    def watermarks(self) -> list[Tick]:
        """How far each clock has come, less what rows may come late: no ordinary finding will be earlier.

        Cut to whole minutes, so that what follows from it does not depend on how rows were batched.
        """
        minute = 60 * MICROS
        return [
            Tick(
                clock=self.clock_name(number),
                time=to_datetime((now - self.policy.latency_us - self.reorder_us) // minute * minute),
            )
            for number, now in enumerate(self.clocks.now)
            if now > NO_TIME
        ]

    def _control(self, control: Control, offset: int, outcome: Outcome) -> None:
        """Takes effect here; one that cannot be read changes nothing and is reported."""
        try:
            if control.kind == "policy":
                self.policy = self.scenario.policy(control.body, file=f"policy at offset {offset}")
            else:
                self.attributes = msgspec.json.decode(control.body, type=Attributes)
                self.registry_version = control.version
        except (ConfigError, msgspec.DecodeError) as error:
            outcome.unreadable.append(Unreadable(offset, control.body.encode(), str(error)))
            return
        self.rebuild()

    def restore(
        self,
        *,
        policy: Policy,
        registry: tuple[str, Attributes],
        channels: tuple[str, ...],
        clocks: Clocks,
        bins: Bins,
        waiting: Batch | None,
    ) -> None:
        """Take up what a snapshot says, before its rows are put in."""
        self.policy, self.channels, self.clocks, self.bins = policy, channels, clocks, bins
        self.waiting = waiting
        self.registry_version, self.attributes = registry
        self.rebuild()

    def rebuild(self) -> None:
        """New rules for the present policy, channels, attributes and entities; state is carried over."""
        made = self.scenario.urgent if self.lane is Lane.URGENT else self.scenario.rules
        rules = made(self.policy, self.channels, self.attributes, tuple(self.entities.names))
        if rules is None:
            raise ZhiweiError(f"scenario {self.scenario.name} has no urgent lane")
        self.rules = rules
        self.reorder_us = reorder.limit(self.policy) if self.lane is Lane.READINGS else 0
        timers = Field("timer", "int64", ("channel",), NEVER, channels=self.timers)
        fields = (*ENTITY_FIELDS, timers, *self.rules.fields)
        if fields != self.entities.fields or self.channels != self.entities.channels:
            self.entities, self.deadlines = self.entities.relaid(fields, self.channels), Deadlines()


def attributes_of(body: Mapping[str, Mapping[str, str]]) -> str:
    """The body of a ``registry`` control record."""
    return msgspec.json.encode(body, order="sorted").decode()
