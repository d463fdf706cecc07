"""Another number of partitions: every entity has its profile, once, and every finding and incident goes on.

On files and, where they are installed, on the real Kafka and PostgreSQL. Rows take the way of life: frames,
partitions with snapshots, findings, incidents; only the sources of records are ours.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from alerts.service import Folder
from alerts.store.store import Store
from alerts.store.tables import APPLIED, CLOCKS, EVENTS, INCIDENTS, LEDGER
from streams.engine.snapshot import restore
from streams.engine.store import StateStore
from streams.partition import SET_ASIDE, Partition
from tests.cases.disturbance import Disturbance, halves_of
from tests.cases.test_disturbances import world
from zhiwei import registry
from zhiwei.beds import open_log
from zhiwei.clock import SystemClock
from zhiwei.commitlog import ALERTS, STREAMS, CommitLog, GroupLock, GroupOffsets, keep_within
from zhiwei.contracts import Entry, LogRecord, TopicLog
from zhiwei.errors import Fenced, LogMismatch, ZhiweiError
from zhiwei.generations import all_of
from zhiwei.ids import partition_of
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, Lane, lanes_of, log_topic
from zhiwei.settings import Alerts, Database, Kafka, Log, Settings, Streams
from zhiwei.sql import open_database
from zhiwei.testing.servers.installed import missing
from zhiwei.types import Finding, FindingRecord
from zhiwei.wiring import repartition as subject
from zhiwei.wiring.account import account
from zhiwei.wiring.audit import audit

SCENARIO = "elevator"
LANES = lanes_of(registry.scenario(SCENARIO).schema)
BEDS = ("files", "servers") if not missing() else ("files",)
CLOCK = SystemClock()
MOVES = ((1, 4), (4, 1), (2, 3))


class _Source:
    """Nobody is to be told anything."""

    def ack(self, handle: object) -> None: ...

    async def seek(self, offset: int) -> None: ...

    async def commit(self, offset: int) -> None: ...


@dataclass
class City:
    """An installation at rest; each role is run to the end of what waits for it."""

    settings: Settings

    def of(self, partitions: int) -> Settings:
        """Its settings when they are set for so many."""
        return msgspec.structs.replace(self.settings, log=Log(partitions=partitions))

    def take_in(self, partitions: int, entries: list[Entry]) -> None:
        """As ingest does."""
        with open_log(self.of(partitions), "readings", CLOCK, writer=True) as log:
            for lane in LANES:
                log.create_topic(log_topic(lane, SCENARIO), partitions)
            for start in range(0, len(entries), 100):
                log.append(entries[start : start + 100])

    def step(self, partitions: int) -> None:
        """As streams does, with a snapshot at the end."""
        with ExitStack() as opened:
            readings, findings = (
                opened.enter_context(open_log(self.of(partitions), name, CLOCK, writer=True))
                for name in ("readings", FINDINGS)
            )
            for topic in (FINDINGS, FINDINGS_URGENT):
                findings.create_topic(topic, partitions)
            findings.create_topic(SET_ASIDE, 1)
            database = open_database(self.settings, "state")
            opened.callback(database.dispose)
            store = StateStore(database)
            for lane in LANES:
                for number in range(partitions):
                    asyncio.run(
                        self._run(
                            Partition(
                                registry.scenario(SCENARIO),
                                site="s",
                                topic=log_topic(lane, SCENARIO),
                                number=number,
                                lane=lane,
                                log=readings,
                                findings=findings,
                                findings_partitions=partitions,
                                store=store,
                                source=_Source(),
                                clock=CLOCK,
                                snapshot_s=3600,
                                snapshot_rows=1_000_000,
                            ),
                            readings,
                        )
                    )

    def fold(self, partitions: int) -> None:
        """As alerts does."""
        with open_log(self.of(partitions), FINDINGS, CLOCK) as log:
            store = Store.of(self.settings)
            try:
                asyncio.run(self._fold(Folder(self.of(partitions), log, CLOCK, store, ())))
            finally:
                store.close()

    def live(self, partitions: int, entries: list[Entry]) -> None:
        """All three of them, one after the other."""
        self.take_in(partitions, entries)
        self.step(partitions)
        self.fold(partitions)

    def move(self, partitions: int) -> list[str]:
        """The command."""
        return list(self.moving(partitions))

    def moving(self, partitions: int) -> Iterator[str]:
        """The command, a step each time."""
        return subject.repartition(self.settings, partitions, CLOCK, pause=lambda _: None)

    # -------------------------------------------------------------- what there is

    def findings(self) -> dict[tuple[str, int], Finding]:
        """By id and revision, whatever partition they are on; but for their place in the log."""
        found = {}
        with open_log(self.settings, FINDINGS, CLOCK) as log:
            for topic in (*all_of(log, FINDINGS), *all_of(log, FINDINGS_URGENT)):
                for number in range(log.partitions(topic)):
                    for record in _all(log, topic, number):
                        one = msgspec.json.decode(record.value, type=FindingRecord)
                        if isinstance(one, Finding):
                            assert (one.id, one.rev) not in found
                            found[one.id, one.rev] = _placeless(one)
        return found

    def told(self) -> dict[str, Any]:
        """Events by id, but for what they say of partitions."""
        found = {}
        for row in self.rows(EVENTS):
            event = msgspec.json.decode(row.body)
            event["data"]["incident"].pop("clock")
            for name in ("clock", "coordinates"):
                (event["data"]["finding"] or {name: None}).pop(name)
            found[row.id] = event
        return found

    def entities(self, partitions: int) -> dict[str, set[int]]:
        """Entity → the partitions of readings that have state of it."""
        database = open_database(self.settings, "state")
        found: dict[str, set[int]] = {}
        for part in StateStore(database).parts(log_topic(Lane.READINGS, SCENARIO)):
            assert (part.partitions, part.head is not None) == (partitions, True)
            engine = restore(
                registry.scenario(SCENARIO), part.head or b"", part.chunks, site="s", topic="t",
                partition=part.partition,
            )  # fmt: skip
            for name in engine.entities.names:
                found.setdefault(name, set()).add(part.partition)
        database.dispose()
        return found

    def rows(self, table: Any) -> list[Any]:
        database = open_database(self.settings, "events")
        with database.connect() as connection:
            rows = list(connection.execute(select(table)).all())
        database.dispose()
        return rows

    # -------------------------------------------------------------- inside

    async def _run(self, partition: Partition, log: TopicLog) -> None:
        await partition.open()
        working = asyncio.create_task(partition.work())
        end = log.end(partition.topic, partition.number)
        for record in _all(log, partition.topic, partition.number, partition.applied + 1):
            await partition.put(record.offset, record.value, record.offset)
        while not working.done() and partition.applied < end - 1:
            await asyncio.wait({working}, timeout=0.001)
        if working.done():
            await working
        await partition.save()
        working.cancel()

    async def _fold(self, folder: Folder) -> None:
        await folder.start()
        for topic in (FINDINGS_URGENT, FINDINGS):
            while await folder.fold(topic):
                continue


def _all(log: TopicLog, topic: str, partition: int, start: int = 0) -> Iterator[LogRecord]:
    offset, end = max(start, log.earliest(topic, partition)), log.end(topic, partition)
    while offset < end:
        for record in log.read(topic, partition, offset):
            yield record
            offset = record.offset + 1


def _placeless(finding: Finding) -> Finding:
    coordinates = msgspec.structs.replace(finding.coordinates, topic="", partition=0, offset=0)
    return msgspec.structs.replace(finding, coordinates=coordinates, clock="")


MakeCity = Callable[[], City]


@pytest.fixture(params=BEDS)
def make_city(request: pytest.FixtureRequest, tmp_path: Path) -> MakeCity:
    """An installation of its own each time."""
    made = 0

    def make() -> City:
        nonlocal made
        made += 1
        city = on_files(tmp_path / f"city{made}")
        (city.settings.data / "log").mkdir(parents=True)
        if request.param == "files":
            return city
        kafka, postgres = request.getfixturevalue("kafka"), request.getfixturevalue("postgres")
        name = f"r{tmp_path.name.replace('-', '_').replace('[', '').replace(']', '').lower()[:40]}_{made}"
        return City(
            msgspec.structs.replace(
                city.settings,
                kafka=Kafka(servers=kafka.bootstrap, prefix=f"{name}."),
                database=Database(url=postgres.create_database(name)),
            )
        )

    return make


def on_files(folder: Path) -> City:
    settings = Settings(
        site="s",
        data_dir=str(folder),
        streams=Streams(scenarios=(SCENARIO,)),
        alerts=Alerts(close_after_s=600),
    )
    return City(settings)


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> City:
    """On files, on two partitions, in the middle of its world."""
    city = on_files(tmp_path_factory.mktemp("middle"))
    (city.settings.data / "log").mkdir()
    city.live(*halves(2, 3)[0])
    return city


@pytest.fixture
def files(middle: City, tmp_path: Path) -> City:
    """A copy of it."""
    shutil.copytree(middle.settings.data, tmp_path / "city")
    return on_files(tmp_path / "city")


@cache
def halves(partitions: int, moved_to: int) -> list[tuple[int, list[Entry]]]:
    return halves_of(world(SCENARIO), Disturbance(partitions=partitions, moved_to=moved_to, seed=6))


@cache
def _names() -> set[str]:
    return set(world(SCENARIO).entities)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> City:
    """The same world on two partitions from beginning to end."""
    city = on_files(tmp_path_factory.mktemp("undisturbed"))
    for partitions, entries in halves(2, 2):
        city.live(partitions, entries)
    assert len(city.told()) > 5
    return city


@pytest.mark.parametrize("move", MOVES, ids=lambda move: f"{move[0]}-to-{move[1]}")
def test_findings_and_incidents_go_on_as_if_nothing_had_been(
    tmp_path: Path, undisturbed: City, move: tuple[int, int]
) -> None:
    city, (first, second) = on_files(tmp_path), halves(*move)
    (city.settings.data / "log").mkdir()
    city.live(*first)
    city.move(move[1])
    assert all(places == {partition_of(name, move[1])} for name, places in city.entities(move[1]).items())
    assert _names() <= city.entities(move[1]).keys()
    city.live(*second)
    assert city.findings() == undisturbed.findings()
    assert city.told() == undisturbed.told()
    assert {row.partitions for row in city.rows(APPLIED) if row.topic == FINDINGS} == {move[1]}
    live = {row.state for row in city.rows(INCIDENTS)}
    assert live == {row.state for row in undisturbed.rows(INCIDENTS)}


def test_killed_after_each_step_and_run_again_it_is_the_same(make_city: MakeCity, undisturbed: City) -> None:
    city, (first, second) = make_city(), halves(2, 3)
    city.live(*first)
    said, killed = [], 0
    while True:
        step = city.moving(3)
        line = next(step)
        step.close()  # type: ignore[attr-defined]  # a generator's: as a kill, it leaves what is durable
        if line.startswith("everything is on"):
            break
        said.append(line)
        killed += 1
        if killed == 1:
            with pytest.raises(ZhiweiError, match="half way to 3 partitions"):
                city.move(4)
        if not said[-1].startswith(("findings: inc", "findings.urgent: inc")):
            with pytest.raises(ZhiweiError):
                city.live(3, [])
    assert len(said) == len(set(said)) > 5
    city.live(*second)
    assert city.findings() == undisturbed.findings()
    assert city.told() == undisturbed.told()


def test_there_and_back_again_and_again(files: City) -> None:
    before, profiles = files.findings(), files.entities(2).keys()
    for partitions in (4, 2, 7, 3):
        files.move(partitions)
        files.live(partitions, [])
        assert files.entities(partitions).keys() == profiles
    assert files.findings() == before
    assert files.move(3) == ["everything is on 3 partitions already"]


def test_an_owner_of_before_can_save_nothing(files: City) -> None:
    database = open_database(files.settings, "state")
    store, topic = StateStore(database), log_topic(Lane.READINGS, SCENARIO)
    with open_log(files.settings, "readings", CLOCK) as log:
        taken = store.take(topic, 0, log=log.identity(topic), partitions=2, end=log.end(topic, 0))
    files.move(1)
    with pytest.raises(Fenced):
        store.save(topic, 0, epoch=taken.epoch, applied=9_999, head=b"h", chunk=b"c", base=True)
    assert files.entities(1)
    database.dispose()


def test_a_retired_generation_takes_no_record(make_city: MakeCity) -> None:
    city, ((count, entries), _) = make_city(), halves(2, 3)
    city.live(count, entries)
    topic = log_topic(Lane.READINGS, SCENARIO)
    with open_log(city.of(2), "readings", CLOCK, writer=True) as asleep:
        asleep.append([Entry(topic, 0, b"{}")])
        city.live(2, [])
        city.move(3)
        with pytest.raises(ZhiweiError):
            asleep.append([Entry(topic, 0, b"{}")])
    assert city.move(3) == ["everything is on 3 partitions already"]


def test_what_is_not_read_to_the_end_is_refused_with_what_to_do(files: City) -> None:
    topic = log_topic(Lane.READINGS, SCENARIO)
    files.take_in(2, [Entry(topic, 1, b"{}"), Entry(topic, 1, b"{}")])
    with pytest.raises(ZhiweiError, match=rf"2 records of {topic} are not read yet: .*zhiwei stream"):
        files.move(3)
    files.live(2, [])
    files.move(3)


def test_findings_that_alerts_has_not_folded_are_refused(files: City) -> None:
    with open_log(files.of(2), FINDINGS, CLOCK, writer=True) as log:
        log.append([Entry(FINDINGS_URGENT, 0, b"{}")])
    with pytest.raises(ZhiweiError, match=r"1 records of findings\.urgent are not read yet"):
        files.move(3)


@pytest.mark.parametrize("group", [STREAMS, ALERTS, "zhiwei-telemetry"])
def test_it_is_refused_while_a_role_runs(files: City, group: str) -> None:
    lock = GroupLock(files.settings.data / "log", group)
    assert lock.try_acquire()
    with pytest.raises(ZhiweiError, match="stop everything first"):
        files.move(3)
    lock.release()
    files.move(3)


def test_it_is_refused_while_readings_are_written(files: City) -> None:
    topic = log_topic(Lane.READINGS, SCENARIO)

    def meanwhile(_: float) -> None:
        files.take_in(2, [Entry(topic, 0, b"{}")])

    with pytest.raises(ZhiweiError, match=f"{topic} is being written: stop every ingest"):
        list(subject.repartition(files.settings, 3, CLOCK, pause=meanwhile))


def test_where_nothing_has_run_yet_there_is_nothing_to_move(tmp_path: Path) -> None:
    with pytest.raises(ZhiweiError, match=r"no log yet: set \[log\] partitions = 4 and start"):
        City(Settings(data_dir=str(tmp_path))).move(4)
    with pytest.raises(ZhiweiError, match="partitions = 65: expected 1 to 64"):
        City(Settings(data_dir=str(tmp_path))).move(65)


def test_the_books_balance_before_and_after_under_names_of_their_own(files: City) -> None:
    _, (count, entries) = halves(2, 3)
    topic = log_topic(Lane.READINGS, SCENARIO)
    files.move(3)
    files.live(count, entries)
    lines, balanced = audit(files.settings)
    assert balanced
    audited = {line.split(":")[0] for line in lines if "rows appended" in line}
    assert {f"{topic}@0/0", f"{topic}@0/1", f"{topic}/0", f"{topic}/2"} <= audited
    ledger = {row.topic for row in files.rows(LEDGER)}
    assert {FINDINGS, f"{FINDINGS}@0"} <= ledger
    assert {row.clock.split("/")[-2] for row in files.rows(CLOCKS)} == {"0", "1", "2"}


def test_retention_does_not_wait_for_readers_of_a_retired_generation(files: City) -> None:
    topic = log_topic(Lane.READINGS, SCENARIO)
    files.move(3)
    with CommitLog(files.settings.data / "log", "readings", writer=True, clock=CLOCK) as log:
        log.append([Entry(topic, 0, b"{}")])
        keep_within(log, keep_s=0.0, keep_bytes=1, required={"readings": (STREAMS,)})
        assert log.earliest(f"{topic}@0", 0) == log.end(f"{topic}@0", 0) > 0
        assert log.bounds(topic, 0) == (0, 1)


def test_offsets_of_the_generation_before_are_none_of_the_present_one(files: City) -> None:
    topic, directory = log_topic(Lane.READINGS, SCENARIO), files.settings.data / "log"
    offsets = GroupOffsets(directory, STREAMS)
    offsets.commit(topic, 0, 5)
    files.move(3)
    assert offsets.committed(topic, 0) is None
    with open_log(files.of(3), "readings", CLOCK, writer=True) as log:
        log.append([Entry(topic, 0, b"{}")])
    offsets.commit(topic, 0, 1)
    assert offsets.committed(topic, 0) == 1
    offsets.close()


def test_an_older_copy_of_the_state_is_refused_by_the_log_that_has_moved(files: City, tmp_path: Path) -> None:
    shutil.copy(files.settings.data / "state.sqlite", tmp_path / "copy.sqlite")
    files.move(3)
    files.move(2)
    files.take_in(2, halves(2, 3)[0][1])
    for name in ("state.sqlite", "state.sqlite-wal", "state.sqlite-shm"):
        (files.settings.data / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.sqlite", files.settings.data / "state.sqlite")
    with pytest.raises(LogMismatch, match="belongs to log"):
        files.step(2)


def test_what_was_found_before_is_still_accounted_for(files: City) -> None:
    """Rows of before the move are replayed with those of after it, as one entity's life."""
    _, (count, entries) = halves(2, 3)
    entity = world(SCENARIO).entities[0]
    files.move(3)
    files.live(count, entries)
    last = max(one.at for one in files.findings().values())
    with open_log(files.settings, "readings") as log:
        said = account(files.settings, log, SCENARIO, entity, int(last.timestamp() * 1_000_000))
    rows = sum(item.get("entity") == entity for item in world(SCENARIO).items)
    assert not said.cut
    assert said.replayed > rows // 2
