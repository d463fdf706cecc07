"""The Faust application: one stream function per readings topic, which only moves bytes and offsets.

Decisions and offsets are ours (``partition.py``): Faust gives topics, assignment, flow control and the
life of the worker. An error that leaves a partition ends the process; a supervisor starts it again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import faust
from faust.tables import TableManager
from faust.types import TP

from streams.engine.store import StateStore
from streams.partition import SET_ASIDE, Partition
from streams.progress import Progress
from streams.transports.read_offset import keep_everything
from zhiwei import metrics, registry
from zhiwei.beds import is_distributed, open_log
from zhiwei.clock import MICROS, Clock
from zhiwei.commitlog import ALERTS, STREAMS, CommitLog, keep_within
from zhiwei.errors import Retryable, ZhiweiError
from zhiwei.lanes import FINDINGS, FINDINGS_URGENT, lanes_of, log_topic
from zhiwei.logs import logger, say
from zhiwei.settings import Settings
from zhiwei.sql import open_database

_RETAIN_S = 60.0
_STOP_S = 10.0
"""How long a graceful stop may take; Faust's shutdown can hang, and kill -9 is a normal path."""

_BUFFERED, _POLLED = 200, 20
"""Records in the buffer of a topic, and of one poll of all topics. Faust stops asking for a partition when
the buffer is 4/5 full; a record that finds it wholly full would hold up all topics: two polls must fit."""

_log = logger.getChild("streams")
_turned = metrics.gauge("zhiwei_stream_turn_timestamp_seconds", "When the loop last went round")


def _transport(settings: Settings) -> dict[str, Any]:
    """What Faust needs to know of the log underneath."""
    if not is_distributed(settings):
        return {"broker": f"embedded://{(settings.data / 'log').as_posix()}"}
    return {
        "broker": ";".join(f"kafka://{server.strip()}" for server in settings.kafka.servers.split(",")),
        "topic_allow_declare": False,  # they are made before, with our retention
        # Without a name of its own a worker that starts again waits for its dead self's session to end.
        "consumer_group_instance_id": settings.kafka.prefix + settings.streams.worker,
        "broker_session_timeout": settings.kafka.session_s,
        "broker_heartbeat_interval": settings.kafka.session_s / 5,
        "consumer_metadata_max_age_ms": 10_000,
    }


class _NoTables(TableManager):
    """Faust waits a second at its start for tables to be declared. State is ours, there are none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _Messages:
    """A partition's records as Faust knows them."""

    def __init__(self, app: Any, tp: TP) -> None:
        self._app, self._tp = app, tp

    def ack(self, handle: Any) -> None:
        handle.ack(self._app.consumer)

    async def seek(self, offset: int) -> None:
        await self._app.consumer.seek(self._tp, offset)

    async def commit(self, offset: int) -> None:
        # Over a gap Faust would commit nothing any more: its lowest ack lies too far above (_new_offset).
        await self._app.consumer._commit({self._tp: offset})


class Worker:
    """The streams role: topics, Faust, partitions, and their end."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._readings = open_log(settings, "readings", clock, writer=True)
        self._findings = open_log(settings, "findings", clock, writer=True)
        partitions = settings.log.partitions
        watched = [
            (name, lane)
            for name in settings.streams.scenarios
            for lane in lanes_of(registry.scenario(name).schema)
        ]
        for name, lane in watched:
            self._readings.create_topic(log_topic(lane, name), partitions)
        self._lanes = {self._readings.physical(log_topic(lane, name)): (name, lane) for name, lane in watched}
        """By the name that Faust knows a topic by."""
        for topic in (FINDINGS, FINDINGS_URGENT):
            self._findings.create_topic(topic, partitions)
        self._findings.create_topic(SET_ASIDE, 1)
        self._store = StateStore(open_database(settings, "state"))
        self._opening: dict[TP, asyncio.Task[Partition]] = {}
        """Of each partition that is ours, until another has it: several open side by side."""
        self._partitions: dict[TP, Partition] = {}
        self._tasks: dict[TP, list[asyncio.Task[None]]] = {}
        self._untaken: dict[TP, Progress] = {}
        """Partitions that are ours and are not open yet."""
        self._failed: asyncio.Future[None]
        self._stop = asyncio.Event()
        self._app = self._application(partitions)

    def _application(self, partitions: int) -> Any:
        app = faust.App(
            self._settings.kafka.prefix + STREAMS,
            datadir=str(self._settings.data / "faust"),
            processing_guarantee="at_least_once",
            stream_wait_empty=False,
            stream_buffer_maxsize=_BUFFERED,
            broker_max_poll_records=_POLLED,
            broker_commit_interval=1.0,
            web_enabled=False,
            topic_disable_leader=True,
            topic_partitions=partitions,
            consumer_auto_offset_reset="earliest",
            store="memory://",
            TableManager=_NoTables,
            worker_redirect_stdouts=False,
            **_transport(self._settings),
        )
        for name in self._lanes:
            topic = app.topic(
                name,
                key_type=bytes,
                value_type=bytes,
                key_serializer="raw",
                value_serializer="raw",
                partitions=partitions,
            )
            app.agent(topic, concurrency=1, name=f"streams.{name}")(self._stream())
        app.on_partitions_revoked.connect(self._revoked)
        app.on_partitions_assigned.connect(self._assigned)
        return app

    def _stream(self) -> Callable[[Any], Awaitable[None]]:
        async def step(stream: Any) -> None:
            async for event in stream.noack().events():
                message, value = event.message, event.value
                event.value = message.value = None  # offsets are kept until the snapshot, payloads are not
                if (partition := await self._partition(message.tp)) is not None:
                    await partition.put(message.offset, value, message)

        return step

    async def _partition(self, tp: TP) -> Partition | None:
        """The partition, when it is open; None where it is not ours (any more): its owner gets the record."""
        if tp not in self._opening:
            if tp not in self._app.consumer.assignment():
                return None
            self._begin(tp)
        opening = self._opening[tp]
        if not opening.done():
            await asyncio.wait({opening})
        return None if opening.cancelled() else opening.result()

    def _begin(self, tp: TP) -> None:
        self._opening[tp] = asyncio.create_task(self._open(tp))

    async def _open(self, tp: TP) -> Partition:
        scenario, lane = self._lanes[tp.topic]
        partition = Partition(
            registry.scenario(scenario),
            site=self._settings.site,
            topic=log_topic(lane, scenario),
            number=tp.partition,
            lane=lane,
            log=self._readings,
            findings=self._findings,
            findings_partitions=self._settings.log.partitions,
            store=self._store,
            source=_Messages(self._app, tp),
            clock=self._clock,
            snapshot_s=self._settings.streams.snapshot_s,
            snapshot_rows=self._settings.streams.snapshot_rows,
        )
        try:
            await partition.open()
        except Exception as error:
            self._fail(error)
            raise
        self._partitions[tp] = partition
        self._untaken.pop(tp, None)  # its gauges are the partition's now
        self._tasks[tp] = [self._watched(partition.work()), self._watched(partition.keep_saving(self._stop))]
        return partition

    async def _assigned(self, *said: Any, **_: Any) -> None:
        """Open what is ours before its first record comes."""
        for tp in said[1]:
            if tp.topic in self._lanes and tp not in self._opening:
                self._begin(tp)

    async def _revoked(self, *said: Any, **_: Any) -> None:
        """Forget state and what waits; the next owner replays it."""
        for tp in said[1]:
            if (opening := self._opening.pop(tp, None)) is not None:
                opening.cancel()
            for task in self._tasks.pop(tp, []):
                task.cancel()
            if (partition := self._partitions.pop(tp, None)) is not None:
                partition.close()
                partition.forget()

    def _watched(self, work: Any) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - whatever it is, the process must not go on without it
                self._fail(error)

        return asyncio.create_task(run())

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then snapshot and leave. Raises what a partition could not go on from."""
        self._failed = asyncio.get_running_loop().create_future()
        keep_everything(self._app)
        await self._app.start()
        say(_log, logging.INFO, "streams started", scenarios=",".join(self._settings.streams.scenarios))
        async with (
            _cancelled_at_end(self._watched(self._keep_telling())),
            _cancelled_at_end(self._watched(self._keep_within())),
        ):
            ended = asyncio.create_task(self._app.wait_until_stopped())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopped, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            ended.cancel()
        if self._failed.done():
            self._failed.result()
        if not stop.is_set():
            raise RuntimeError("Faust ended by itself; its log says why")
        for partition in self._partitions.values():
            await partition.save()
        self._stop.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._app.stop(), _STOP_S)
        say(_log, logging.INFO, "streams stopped")

    async def _keep_telling(self) -> None:
        while True:
            with contextlib.suppress(Retryable):  # log or store are away: figures stand still
                for partition in list(self._partitions.values()):
                    await partition.tell()
                await self._tell_untaken()
            _turned.set(self._clock.now_us() / MICROS)
            metrics.write(self._settings.data / "run" / f"{self._settings.streams.worker}.prom")
            await asyncio.sleep(1.0)

    async def _tell_untaken(self) -> None:
        """What waits in a partition that no record comes from must be seen too: Faust may hang."""
        assigned = {tp for tp in self._app.consumer.assignment() if tp.topic in self._lanes}
        for tp in [*self._untaken]:
            if tp not in assigned:
                self._untaken.pop(tp).forget()
        for tp in assigned - self._partitions.keys():
            scenario, lane = self._lanes[tp.topic]
            topic = log_topic(lane, scenario)
            applied, _ = await asyncio.to_thread(self._store.look, topic, tp.partition)
            earliest = await asyncio.to_thread(self._readings.earliest, topic, tp.partition)
            end = await asyncio.to_thread(self._readings.end, topic, tp.partition)
            if tp not in self._partitions:
                progress = self._untaken.setdefault(tp, Progress(topic, tp.partition, self._clock))
                progress.tell(applied=applied, saved=applied, lag=end - max(applied + 1, earliest))

    async def _keep_within(self) -> None:
        """Let old findings fall off the embedded log, as far as alerts has read on; Kafka does it itself."""
        log = self._settings.log
        while isinstance(self._findings, CommitLog):
            await asyncio.sleep(_RETAIN_S)
            try:
                await asyncio.to_thread(
                    keep_within,
                    self._findings,
                    keep_s=log.keep_hours * 3600,
                    keep_bytes=log.keep_bytes,
                    required={"findings": (ALERTS,)},
                )
            except ZhiweiError as error:
                say(_log, logging.WARNING, "old findings were not deleted", error=error)


@contextlib.asynccontextmanager
async def _cancelled_at_end(task: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        task.cancel()
