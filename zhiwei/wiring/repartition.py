"""``zhiwei repartition``: another number of partitions, with every entity's state, findings and incidents.

Everything stands still and everything is read. Then each topic begins a generation anew, empty, with the new
number (Kafka can only add partitions, and an entity's records must not be on two of them); state and
incidents move to it, one transaction a topic. Nothing is deleted: what was on the topic before stays
readable. After a kill at any point nothing starts on the half of it, and the command, run again, goes on:
each topic, and each reader of one, says for itself whether it has moved.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from alerts.store import repartition as incidents
from alerts.store.folding import LogState
from alerts.store.store import Store
from streams.engine.engine import Engine
from streams.engine.regroup import regrouped
from streams.engine.snapshot import copy_head, copy_rows, restore
from streams.engine.store import Part, StateStore
from streams.telemetry import recorder
from streams.telemetry.lane import LANES
from streams.telemetry.positions import Positions
from zhiwei import registry
from zhiwei.beds import has_log, is_distributed, open_log
from zhiwei.clock import Clock
from zhiwei.commitlog import ALERTS, STREAMS, CommitLog, GroupLock
from zhiwei.contracts import TopicLog
from zhiwei.errors import LogMismatch, ZhiweiError
from zhiwei.generations import all_of
from zhiwei.ids import BUCKETS
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, Lane, lanes_of, log_topic
from zhiwei.settings import Settings
from zhiwei.sql import Turn, open_database
from zhiwei.wiring.doctor import RUNNING_S, running

STILL_S = 2.5
"""So long nothing may be appended: ingest writes a tick each second while it works."""

Pause = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class _Topic:
    """One topic, and how far its reader has come with it."""

    log: TopicLog
    name: str
    scenario: str
    """Empty for findings."""
    lane: Lane | None
    at: str
    """The generation that its reader is at, by a name to read it by."""
    read: dict[int, int]
    """Partition → the offset behind the last record that is read."""

    @property
    def has_moved(self) -> bool:
        """Whether the reader is at the generation that is written now."""
        return self.at == self.name

    @property
    def partitions(self) -> int:
        """As it is written now."""
        return self.log.partitions(self.name)

    @property
    def unread(self) -> int:
        """Records that wait for the reader, in the generation that it is at."""
        waiting = 0
        for number in range(self.log.partitions(self.at)):
            earliest, end = self.log.bounds(self.at, number)
            waiting += max(0, end - max(self.read.get(number, 0), earliest))
        return waiting

    @property
    def ends(self) -> tuple[int, ...]:
        """Of all its partitions, in each generation."""
        return tuple(
            self.log.end(name, number)
            for name in all_of(self.log, self.name)
            for number in range(self.log.partitions(name))
        )


class _Bed:
    """Logs and databases of an installation at rest."""

    def __init__(self, settings: Settings, clock: Clock, opened: ExitStack) -> None:
        self.settings, self.clock, self._opened = settings, clock, opened
        self._refuse_running()
        self.readings, self.findings = (
            opened.enter_context(open_log(settings, name, clock, writer=True))
            for name in ("readings", FINDINGS)
        )
        engine = open_database(settings, "state")
        opened.callback(engine.dispose)
        self.state = StateStore(engine)
        self.positions = Positions(engine)
        self.events = Store.of(settings)
        opened.callback(self.events.close)

    def topics(self) -> list[_Topic]:
        """Of the scenarios that are watched, and findings; those that are there."""
        found = []
        for scenario in self.settings.streams.scenarios:
            for lane in lanes_of(registry.scenario(scenario).schema):
                name = log_topic(lane, scenario)
                if self.readings.partitions(name):
                    parts = self.state.parts(name)
                    at = _generation(self.readings, name, {part.log for part in parts})
                    read = {part.partition: part.applied + 1 for part in parts}
                    found.append(_Topic(self.readings, name, scenario, lane, at, read))
        for name in (FINDINGS, FINDINGS_URGENT):
            if self.findings.partitions(name):
                known = self.events.transact_here(partial(incidents.applied, topic=name))
                at = _generation(self.findings, name, {log for log, _ in known.values()})
                read = {number: following for number, (_, following) in known.items()}
                found.append(_Topic(self.findings, name, "", None, at, read))
        return found

    def _refuse_running(self) -> None:
        """Roles on this data directory, and those that a lock or Kafka knows of wherever they are."""
        settings = self.settings
        if roles := running(settings.data, self.clock):
            raise ZhiweiError(
                f"{settings.data}: {', '.join(roles)} run on it, or did {RUNNING_S} s ago: stop everything "
                "first"
            )
        held = "runs: stop everything first"
        if is_distributed(settings):
            from zhiwei.kafka import KafkaLog  # nobody who needs no Kafka loads its client

            with KafkaLog(settings.kafka) as log:
                if members := log.members(STREAMS):
                    raise ZhiweiError(
                        f"Kafka knows {members} workers of streams: stop all of them first; of one that was "
                        f"stopped or died it still tells for {settings.kafka.session_s:g} s"
                    )
        else:
            for group, what in ((STREAMS, "streams"), (ALERTS, "alerts"), (recorder.GROUP, "telemetry")):
                lock = GroupLock(settings.data / "log", group)
                if not lock.try_acquire():
                    raise ZhiweiError(f"{settings.data}: {what} {held}")
                self._opened.callback(lock.release)
        if settings.database.url:
            engine = open_database(settings, "events")
            self._opened.callback(engine.dispose)
            turn = Turn(engine, "alerts")
            if not turn.take():
                raise ZhiweiError(f"on this PostgreSQL alerts {held}")
            self._opened.callback(turn.release)

    # ------------------------------------------------------------------ steps

    def record(self) -> None:
        """Telemetry of all that is on the embedded log, which nobody else would read later."""
        if not isinstance(self.readings, CommitLog):
            return
        schemas = [registry.scenario(name).schema for name in self.settings.streams.scenarios]
        recording = recorder.Recorder(
            self.settings.data,
            schemas,
            self.readings,
            self.clock,
            limits=recorder.limits_of(self.settings),
            reserve_bytes=self.settings.log.reserve_bytes,
        )
        try:
            while recording.step():
                continue
            recording.close_segments()
        finally:
            recording.close()

    def regrouped(self, topic: _Topic, parts: list[Part], partitions: int) -> list[Engine]:
        """The state of all its partitions for so many; nothing where there is none. Changes nothing."""
        assert topic.lane is not None  # of findings there is no state
        scenario = registry.scenario(topic.scenario)
        engines = [
            restore(
                scenario,
                part.head,
                part.chunks,
                site=self.settings.site,
                topic=topic.name,
                partition=part.partition,
                lane=topic.lane,
            )
            for part in parts
            if part.head is not None
        ]
        return regrouped(engines, partitions) if engines else []

    def move_state(self, topic: _Topic) -> int:
        """The state of a topic to the generation that is written now; how many entities it is of."""
        parts = self.state.parts(topic.name)
        made = self.regrouped(topic, parts, topic.partitions)
        states = [(copy_head(one), copy_rows(one, everything=True)) for one in made]
        self.state.begin_anew(
            topic.name,
            retired=topic.at,
            log=self.readings.identity(topic.name),
            found=parts,
            states=states or [None] * topic.partitions,
        )
        return sum(len(one.entities) for one in made)

    def move_incidents(self, topic: _Topic) -> None:
        """What alerts knows of a findings topic."""
        bounds = tuple(self.findings.bounds(topic.name, number) for number in range(topic.partitions))
        log = LogState(self.findings.identity(topic.name), topic.name, bounds)
        self.events.transact_here(partial(incidents.begin_anew, log=log, retired=topic.at))


def repartition(
    settings: Settings, partitions: int, clock: Clock, *, pause: Pause, still_s: float = STILL_S
) -> Iterator[str]:
    """Move everything to so many partitions; a line for a person after each step.

    partitions: 1 to 64. pause: how to wait for so many seconds. still_s: how long nothing may be appended.
    Raises ZhiweiError where something runs or is not read, where an earlier move to another number is not
    finished, or where state and log do not belong together; then nothing was changed.
    """
    if not 1 <= partitions <= BUCKETS:
        raise ZhiweiError(f"partitions = {partitions}: expected 1 to {BUCKETS}")
    if not has_log(settings, "readings") or not has_log(settings, FINDINGS):
        raise ZhiweiError(f"{settings.data} has no log yet: set [log] partitions = {partitions} and start")
    with ExitStack() as opened:
        bed = _Bed(settings, clock, opened)
        topics = bed.topics()
        if not topics:
            raise ZhiweiError(f"no topic is there yet: set [log] partitions = {partitions} and start")
        todo = [topic for topic in topics if not topic.has_moved or topic.partitions != partitions]
        if not todo:
            yield f"everything is on {partitions} partitions already"
            return
        _refuse_unfinished(todo, partitions)
        _refuse_unread(todo)
        _refuse_unwritten(bed, todo)
        for topic in todo:
            if topic.lane is not None:  # what cannot be moved is found out before anything is
                bed.regrouped(topic, bed.state.parts(topic.name), partitions)
        _refuse_moving(todo, pause, still_s)
        bed.record()
        for topic in todo:
            retired = topic.partitions
            if retired != partitions:
                topic.log.begin_anew(topic.name, partitions)
                yield f"{topic.name}: {retired} partitions are retired, {partitions} are written from now on"
        # Asked for again: the generation that a reader is at is retired now, and takes nothing any more.
        waiting = [topic for topic in bed.topics() if not topic.has_moved]
        _refuse_unread(waiting)
        for topic in waiting:
            if topic.lane is None:
                bed.move_incidents(topic)
                yield f"{topic.name}: incidents and their books have moved"
            else:
                entities = bed.move_state(topic)
                yield f"{topic.name}: the state of {entities} entities has moved"
    yield f"done: set [log] partitions = {partitions} for every role, then start them"


def _generation(log: TopicLog, topic: str, identities: set[str]) -> str:
    """The generation that a reader is at, by its name. Raises LogMismatch where it has read another log."""
    names = {log.identity(name): name for name in all_of(log, topic)}
    if len(identities) > 1 or not identities <= names.keys():
        raise LogMismatch(
            f"what was kept of {topic} belongs to log {', '.join(sorted(identities))}, this log is "
            f"{log.identity(topic)}; nothing was changed"
        )
    return names[identities.pop()] if identities else topic


def _refuse_unfinished(todo: list[_Topic], partitions: int) -> None:
    for topic in todo:
        if not topic.has_moved and topic.partitions != partitions:
            raise ZhiweiError(
                f"{topic.name} is half way to {topic.partitions} partitions: run first "
                f"zhiwei repartition {topic.partitions}"
            )


def _refuse_unread(todo: list[_Topic]) -> None:
    waiting = {topic.at: count for topic in todo if (count := topic.unread)}
    if not waiting:
        return
    said = ", ".join(f"{count} records of {name}" for name, count in waiting.items())
    if any(not topic.has_moved for topic in todo if topic.at in waiting):
        raise ZhiweiError(
            f"{said} were never read, and the move has begun: an ingest process wrote them while it did, or "
            "the database is an older copy than the move. Nothing was changed; see docs/operations.md, "
            "Another number of partitions"
        )
    raise ZhiweiError(
        f"{said} are not read yet: with the settings as they were, run zhiwei stream and zhiwei alerts, "
        "without ingest, until nothing waits; then stop them and try again. Nothing was changed"
    )


def _refuse_unwritten(bed: _Bed, todo: list[_Topic]) -> None:
    """What telemetry has still to write to InfluxDB; it goes by the generation that is written now."""
    if not bed.settings.influx.url:
        return
    for topic in todo:
        if topic.lane is None or topic.lane.value not in LANES or not topic.has_moved:
            continue
        identity = topic.log.identity(topic.name)
        known = {
            place.partition: progress.stands[place.partition].following
            for place, progress in bed.positions.of(topic.name).items()
            if place.identity == identity and place.partition in progress.stands
        }
        written = _Topic(topic.log, topic.name, topic.scenario, topic.lane, topic.name, known)
        if count := written.unread:
            raise ZhiweiError(
                f"{count} records of {topic.name} are not in InfluxDB yet: run zhiwei telemetry until "
                "nothing waits; then stop it and try again. Nothing was changed"
            )


def _refuse_moving(todo: list[_Topic], pause: Pause, still_s: float) -> None:
    before = [topic.ends for topic in todo]
    pause(still_s)
    for topic, ends in zip(todo, before, strict=True):
        if topic.ends != ends:
            raise ZhiweiError(
                f"{topic.name} is being written: stop every ingest process first. Nothing was changed"
            )
