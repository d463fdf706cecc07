"""One process each: broker, ingest, stream, alerts, telemetry, console. Crash-only: files say where to go on.

A role stops on SIGTERM or SIGINT, and, when supervised, at the end of its standard input: its supervisor
is gone, however it went.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streams.engine.engine import attributes_of
from zhiwei import logs, metrics, registry
from zhiwei.beds import is_distributed, log_hours, open_log
from zhiwei.clock import Clock, SystemClock
from zhiwei.commitlog import ALERTS, STREAMS, CommitLog, GroupLock, GroupOffsets, keep_within
from zhiwei.contracts import Policy
from zhiwei.errors import ConfigError, Fenced, Retryable, ZhiweiError
from zhiwei.ids import digest
from zhiwei.lanes import Lane, lanes_of, log_topic
from zhiwei.logs import logger, say
from zhiwei.settings import Settings
from zhiwei.types import Control
from zhiwei.watchdog import Watch, marks_of
from zhiwei.wiring.endpoint import endpoint
from zhiwei.wiring.replay import load_policy

if TYPE_CHECKING:  # heavy, and ingest, which must be back soon, does without
    from zhiwei.sql import Turn

_RETAIN_S = 60.0
_TELL_S = 1.0
_SWITCH_S = 0.0005
"""A call for help crosses several threads on its way, and waits at each for the one that computes: the
interpreter's own 5 ms add up. More switches cost that one little."""
_YIELDING = 10
"""The niceness of what nobody waits for."""
_ORPHAN_S = 20.0
"""A process whose supervisor is gone has so long to stop; a supervisor that is there waits 15 s."""
_TURN_S = 1.0
"""How often it is asked whose turn it is."""

_log = logger.getChild("roles")


def prepare(settings: Settings, role: str) -> None:
    """Logs and the data directory. Raises ZhiweiError where it cannot be written."""
    logs.configure(settings.log_level)
    try:
        for folder in ("log", "run"):
            (settings.data / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZhiweiError(
            f"{settings.data}: {error.strerror}; set data_dir to a folder that {role} may write"
        ) from None


# ------------------------------------------------------------------ threads


def stop_event(*, supervised: bool) -> threading.Event:
    """Set on SIGTERM, SIGINT or, when supervised, at the end of standard input."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        _at_end_of_input(stop.set)
    return stop


def _at_end_of_input(call: Callable[[], object]) -> None:
    def watch() -> None:
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed already
            while os.read(0, 4096):
                continue
            call()
        # Whatever holds it up (a server that is away): nobody else would end it, and another may start.
        threading.Event().wait(_ORPHAN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def broker(settings: Settings, stop: threading.Event) -> None:
    """The embedded MQTT broker, until told to stop."""
    from ingest.broker import Broker

    prepare(settings, "the broker")
    with Broker(settings.mqtt) as running:
        running.wait(stop)


def ingest(settings: Settings, stop: threading.Event, instance: str = "") -> None:
    """MQTT → frames on the log, until told to stop. instance: which of several on this data directory."""
    from ingest import service

    prepare(settings, "ingest")
    role = f"ingest-{instance}" if instance else "ingest"
    clock = SystemClock()
    retention = partial(
        keep_within,
        keep_s=settings.log.keep_hours * 3600,
        keep_bytes=settings.log.keep_bytes,
        required=dict.fromkeys(Lane, (STREAMS,)),
        keep_hours=log_hours(settings),
    )
    with (
        open_log(settings, "readings", clock, writer=True) as log,
        _repeated(_TELL_S, lambda: metrics.write(settings.data / "run" / f"{role}.prom")),
        tended("ingest", settings, clock),
        _repeated(_RETAIN_S, lambda: retention(log) if isinstance(log, CommitLog) else None),
    ):
        for name in settings.streams.scenarios:
            for lane in lanes_of(registry.scenario(name).schema):
                log.create_topic(log_topic(lane, name), settings.log.partitions)
        log.create_topic("quarantine", 1)
        service.run(settings, log, log, clock, controls(settings), latencies(settings), stop)


def telemetry(settings: Settings, stop: threading.Event) -> None:
    """Frames → InfluxDB, until told to stop."""
    from streams.telemetry import forwarder

    prepare(settings, "telemetry")
    os.nice(_YIELDING)
    clock = SystemClock()
    with (
        _repeated(_TELL_S, lambda: metrics.write(settings.data / "run" / "telemetry.prom")),
        tended("telemetry", settings, clock),
    ):
        forwarder.run(settings, clock, stop)


def controls(settings: Settings) -> dict[str, tuple[Control, ...]]:
    """What the engine of each scenario reads beside rows, as control records. Raises ConfigError."""
    found: dict[str, tuple[Control, ...]] = {}
    for name in settings.streams.scenarios:
        policy = policy_of(settings, name)
        said = {e.entity: e.attributes for e in settings.entities if e.scenario == name and e.attributes}
        body = attributes_of(said)
        found[name] = (
            Control(kind="policy", version=policy.version, body=policy.text),
            Control(kind="registry", version=digest(body), body=body),
        )
    return found


def latencies(settings: Settings) -> dict[str, Callable[[str], int]]:
    """What is normal for a channel of each scenario, by its policy. Raises ConfigError."""
    return {name: policy_of(settings, name).latency_of for name in settings.streams.scenarios}


def policy_of(settings: Settings, scenario: str) -> Policy:
    """The scenario's policy that the settings name, or the one it ships. Raises ConfigError."""
    file = settings.streams.policies.get(scenario)
    return load_policy(registry.scenario(scenario), Path(file) if file else None)


@contextlib.contextmanager
def _repeated(every_s: float, work: Callable[[], None]) -> Iterator[None]:
    """Do something now and then in a thread; an error is said and does not end it."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(every_s):
            try:
                work()
            except (ZhiweiError, OSError) as error:
                say(_log, logging.WARNING, "a chore failed", error=error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# ------------------------------------------------------------------ tending


@contextlib.contextmanager
def tended(role: str, settings: Settings, clock: Clock) -> Iterator[None]:
    """While it works, a role answers for its health, and is ended by its watchdog when it hangs."""
    watch = Watch(settings.watchdog.stall_s, settings.watchdog.start_s)

    def look() -> None:
        for hangs in watch.look(marks_of(role, metrics.samples()), clock.monotonic_s()):
            say(_log, logging.CRITICAL, "this process hangs and ends itself", role=role, why=hangs)
            leave(1)

    with endpoint(role, settings, clock), _repeated(_TELL_S, look):
        yield


# ------------------------------------------------------------------ loops


def in_loop(settings: Settings, role: str, work: Callable[[asyncio.Event], Coroutine[None, None, None]],
            *, supervised: bool) -> None:  # fmt: skip
    """Run a role that lives in an event loop."""
    prepare(settings, role)
    sys.setswitchinterval(_SWITCH_S)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if supervised:
            _at_end_of_input(lambda: loop.call_soon_threadsafe(stop.set))
        await work(stop)

    asyncio.run(run())


def stream(settings: Settings, *, supervised: bool) -> None:
    """Frames → findings, until told to stop."""
    from streams.app import Worker
    from streams.telemetry import recorder

    async def work(stop: asyncio.Event) -> None:
        clock = SystemClock()
        with tended("stream", settings, clock):
            if is_distributed(settings):
                await Worker(settings, clock).run(stop)
                return
            recording = asyncio.create_task(recorder.run(settings, clock, stop))
            await Worker(settings, clock).run(stop)
            await recording

    in_loop(settings, "stream", work, supervised=supervised)


def alerts(settings: Settings, *, supervised: bool) -> None:
    """Findings → incidents → receivers, until told to stop."""
    from alerts import service
    from ingest import drills
    from zhiwei.wiring.sources import sources

    async def work(stop: asyncio.Event) -> None:
        directory = settings.data / "log"
        # The embedded log's retention waits for us; Kafka's does not.
        lock = offsets = None
        if not is_distributed(settings):
            lock, offsets = GroupLock(directory, ALERTS), GroupOffsets(directory, ALERTS)
            await lock.acquire_soon()
        read: dict[tuple[str, int], int] = {}

        def committed(topic: str, partition: int, following: int) -> None:
            read[topic, partition] = following

        async def tell() -> None:
            while True:
                await asyncio.sleep(_TELL_S)
                if offsets is not None:
                    await asyncio.to_thread(offsets.commit_all, dict(read))
                metrics.write(settings.data / "run" / "alerts.prom")

        schemas = {name: registry.scenario(name).schema for name in settings.streams.scenarios}
        drilled = [(place.log_topic, place.partition) for place in drills.places(settings, schemas)]
        clock = SystemClock()
        telling = asyncio.create_task(tell())
        try:
            with open_log(settings, "findings", clock) as reader, tended("alerts", settings, clock):
                run = partial(service.run, settings, reader, clock, stop, committed)
                shown = settings.console.in_alerts
                await _in_turn(settings, stop, lambda: run(sources(settings) if shown else None, drilled))
        finally:
            telling.cancel()
            if lock is not None:
                lock.release()

    in_loop(settings, "alerts", work, supervised=supervised)


def console(settings: Settings, *, supervised: bool) -> None:
    """API and console over the event store that alerts writes, until told to stop. Raises ConfigError where
    alerts serves them itself."""
    from alerts import desk
    from zhiwei.wiring.sources import sources

    if settings.console.in_alerts:
        expected = "false, with [database] url, for `zhiwei console`: now `zhiwei alerts` serves it"
        raise ConfigError(file="settings", key="console.in_alerts", value=True, expected=expected)

    async def work(stop: asyncio.Event) -> None:
        clock = SystemClock()
        with (
            _repeated(_TELL_S, lambda: metrics.write(settings.data / "run" / "console.prom")),
            tended("console", settings, clock),
        ):
            await desk.run(settings, clock, stop, sources(settings))

    in_loop(settings, "console", work, supervised=supervised)


async def _in_turn(settings: Settings, stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work of alerts while no other process does it on the same PostgreSQL; wait here until then.

    Raises Fenced where another has begun: the server was away, and forgot whose turn it was.
    """
    if not settings.database.url:
        return await work()
    from zhiwei.sql import Turn, open_database

    turn = Turn(open_database(settings, "events"), "alerts")
    if not await _turn_came(turn, stop):
        return None
    working, watching = asyncio.ensure_future(work()), asyncio.create_task(_watch(turn))
    try:
        done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        working.cancel()
        watching.cancel()
        turn.release()


async def _turn_came(turn: "Turn", stop: asyncio.Event) -> bool:
    """Whether it came before the process was told to stop."""
    is_said = False
    while not stop.is_set():
        try:
            if await asyncio.to_thread(turn.take):
                return True
            text, error = "another process of alerts works; waiting to take over", None
        except Retryable as away:
            text, error = "the database does not say whose turn it is", away
        if not is_said:
            say(_log, logging.WARNING, text, error=error)
        is_said = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TURN_S)
    return False


async def _watch(turn: "Turn") -> None:
    while True:
        await asyncio.sleep(_TURN_S)
        with contextlib.suppress(Retryable):
            if not await asyncio.to_thread(turn.take):
                raise Fenced("another process of alerts has taken over while the database was away")


def leave(status: int) -> None:
    """End at once: threads of libraries may hang a shutdown, and kill -9 is a normal path."""
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(status)
