"""The role ``ingest``: receives, makes durable, acknowledges; writes ticks while it is proven live.

One thread does it all in turn: read what is there, decode, append, acknowledge. While an append takes its
time the next messages gather at the socket, so batches grow with the load. Nothing is acknowledged before
``append`` has returned; a message that we cannot keep stays at the broker.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from ingest import controls as control_records
from ingest import drills, meters
from ingest.ahead import BEHIND_S, WAIT_MOST_S, Ahead
from ingest.calls import Calls
from ingest.intake import Intake
from ingest.lanes import Latency
from ingest.liveness import Canary
from ingest.topics import CANARY, LIVE, shared
from ingest.turns import Turns
from zhiwei import registry
from zhiwei.clock import MICROS, Clock, to_datetime
from zhiwei.contracts import Entry, LogReader, LogWriter
from zhiwei.errors import Retryable, StorageFull
from zhiwei.lanes import lanes_of, log_topic
from zhiwei.logs import logger, say
from zhiwei.mqtt_packets import QOS_1
from zhiwei.mqtt_receiver import Block, Receiver
from zhiwei.schema import Schema
from zhiwei.settings import Settings
from zhiwei.types import Control, Tick

_log = logger.getChild("ingest")

TICK_EVERY_S = 1.0
SILENT_MOST_S = 30.0
"""Not even our own canary has come for so long on a connection that looks alive: it is given up."""

_WINDOW_MOST = 65_535
"""MQTT 5's Receive Maximum."""

NEARLY_FULL = 0.8
"""Of the broker's window: at so many unacknowledged messages the batch is closed, for soon no more come."""

_RESTS, _GATHERS_MOST_S = 5, 0.1
"""A batch costs by the frame, hardly by the row, here and in all who read it. It gathers so many times as
long as the one before took to become durable, at most so long: the busier the machine, the fewer and larger
the frames. One with a call for help has only its linger."""

AHEAD_WINDOWS = 5
"""How many times as large the second connection's window is, on MQTT 5 and as far as the broker allows: a
batch takes long while a queue drains, and no more than a window's worth comes in that time."""

MANY = 0.2
QUIET_S = 0.001
"""Where a batch holds, or the last one held, so many of a window, a pause of this length closes it. iotcore
stops at odd places of its window until an acknowledgement comes, though most of it is free (measured: 15,000
in place of 20,000 msg/s); and the broker's window may be smaller than we were told. Slow traffic waits for
its linger, or every message would become a frame of its own."""


def run(
    settings: Settings,
    log: LogWriter,
    reader: LogReader,
    clock: Clock,
    controls: Mapping[str, Sequence[Control]],
    latencies: Mapping[str, Latency],
    stop: threading.Event,
) -> None:
    """Take in messages until ``stop`` is set.

    controls: by scenario, what must stand in each partition before the first frame. latencies: by scenario,
    what is normal for a channel; what is later is old. Raises ConfigError, Refused (credentials,
    subscription) and ClientIdTaken; what was not acknowledged comes again.
    """
    schemas = {name: registry.scenario(name).schema for name in settings.streams.scenarios}
    if entries := control_records.due(reader, schemas, controls, settings.log.partitions):
        log.append(entries)
    service = Service(settings, schemas, log, clock, latencies=latencies)
    try:
        while not stop.is_set():
            service.turn()
        service.finish()
    finally:
        service.close()


class Service:
    """One turn after another, in one thread."""

    def __init__(
        self,
        settings: Settings,
        schemas: Mapping[str, Schema],
        log: LogWriter,
        clock: Clock,
        *,
        latencies: Mapping[str, Latency] | None = None,
        backoff_s: tuple[float, float] = (0.5, 30.0),
        in_blocks: bool | None = None,
    ) -> None:
        """latencies: see ``run``; backoff_s and in_blocks: see Receiver."""
        own = CANARY + settings.mqtt.client_id
        self._settings = settings
        self._log = log
        self._clock = clock
        self._canary_topic = own
        self._canary = Canary(str(clock.now_us()))
        self._intake = Intake(settings, schemas, registry.codec("json")(), own.encode(), latencies)
        # Our own message is not shared: it has to come back to us. Nor are calls for help: a broker may keep
        # a member's part while that is down (Mosquitto does), so each member takes them all, and the engine
        # drops those that it has.
        share = settings.mqtt.share
        urgent = self._intake.urgent_filters if share else []
        self._receiver = Receiver(
            settings.mqtt,
            [*shared(self._intake.filters, share), *urgent, own],
            clock,
            window=settings.ingest.window,
            in_blocks=in_blocks,
            backoff_s=backoff_s,
        )
        times = AHEAD_WINDOWS if settings.mqtt.version == 5 else 1
        ahead_window = min(_WINDOW_MOST, times * settings.ingest.window)
        self._ahead = Ahead(
            settings.mqtt,
            shared(self._intake.filters, share and f"{share}-ahead"),
            clock,
            window=ahead_window,
            in_blocks=in_blocks,
            backoff_s=backoff_s,
        )
        self._calls = Calls(
            settings.mqtt,
            self._intake.urgent_filters,
            clock,
            window=settings.ingest.window,
            in_blocks=in_blocks,
            backoff_s=backoff_s,
        )
        self._tick_partitions = [
            (log_topic(lane, scenario), partition)
            for scenario in schemas
            for lane in lanes_of(schemas[scenario])
            for partition in range(settings.log.partitions)
        ]
        self._drills = drills.Rounds(drills.places(settings, schemas), settings.drill.every_s)
        self._nearly_full = max(1, int(settings.ingest.window * NEARLY_FULL))
        self._ahead_nearly_full = max(1, int(ahead_window * NEARLY_FULL))
        self._many = max(1, int(settings.ingest.window * MANY))
        self._linger_s = self._gathers_s = settings.ingest.linger_ms / 1000
        self._unacked: list[tuple[Receiver, int, int]] = []  # connection and packet id, as they came
        self._unacked_before = 0  # how many the batch before held
        self._ahead_unacked = 0  # those of the second connection
        self._turns = Turns()
        self._closed_s = self._ticked_s = self._came_s = float("-inf")
        self._withheld = False

    @property
    def live(self) -> bool:
        """Whether intake is proven live now: connected, subscribed, and our own message came back."""
        receiver = self._receiver
        return receiver.ready and self._canary.proven(receiver.link, self._clock.monotonic_s())

    @property
    def sessions_lost(self) -> int:
        """See Receiver."""
        return self._receiver.sessions_lost

    def turn(self) -> None:
        """Wait for something to do, at most WAIT_MOST_S, and do it."""
        meters.TURNED.set(self._clock.now_us() / MICROS)
        came = self._read(self._wait_s())
        now_s = self._clock.monotonic_s()
        live = self.live
        tick = live and now_s >= self._ticked_s + TICK_EVERY_S
        if tick or self._due(now_s, came=came):
            self._close(now_s, tick=tick)
        self._prove(now_s)
        if tick:
            meters.LIVE.set(1)
        elif not live:
            meters.LIVE.set(0)

    def finish(self) -> None:
        """Make what has been read durable, and acknowledge it."""
        self._close(self._clock.monotonic_s(), tick=False)

    def close(self) -> None:
        """Disconnect. What is not in the log was not acknowledged and will come again."""
        self._ahead.close()
        self._calls.close()
        self._receiver.close()
        self._intake.forget()
        meters.LIVE.set(0)

    def _wait_s(self) -> float:
        if not self._unacked and not self._intake.packets:
            return WAIT_MOST_S
        wait_s = self._ripe_s - self._clock.monotonic_s()
        return min(max(0.0, wait_s), QUIET_S if self._brisk else WAIT_MOST_S)

    def _read(self, timeout_s: float) -> bool:
        """Take in what comes within this time; whether anything did by the first connection, whose window it
        is that may be full."""
        self._read_calls()
        ahead, full = self._read_ahead(0.0), self._intake.full()
        now_s = self._clock.monotonic_s()
        if self._ahead.receiver is not None and not self._turns.of_session(now_s):
            if not (ahead or full):
                self._read_ahead(min(timeout_s, self._ahead.wait_most_s))
            self._came_s = now_s  # not asked is not silent
            return False
        block = self._receiver.receive(min(timeout_s, 0.0 if ahead else self._ahead.wait_most_s))
        if not block.messages:
            return False
        self._came_s = self._clock.monotonic_s()
        self._owe(self._receiver, block)
        self._intake.take(block, overtaken=self._ahead.since_us)
        for payload in self._intake.own:
            self._canary.returned(payload)
        self._intake.own.clear()
        return True

    def _read_ahead(self, timeout_s: float) -> bool:
        """Take in what has come by the second connection; whether anything had, after waiting so long."""
        came = False
        while (block := self._ahead.receive(0.0 if came else timeout_s)) is not None:
            came = True
            self._owe_past(self._ahead.receiver, block)
            self._intake.take(block, ahead=True)
            if self._intake.full():
                break
        return came

    def _read_calls(self) -> None:
        """Take in calls for help first, as long as the session may be behind; else it brings them as fast."""
        while (block := self._calls.receive()) is not None:
            self._owe_past(self._calls.receiver, block)
            if self._ahead.receiver is not None or not self.live:
                self._intake.take_calls(block)
            if self._intake.full():
                break

    def _owe_past(self, receiver: Receiver | None, block: Block) -> None:
        """Remember what is to be acknowledged, and that it does not fill the first connection's window."""
        before = len(self._unacked)
        if receiver is not None:
            self._owe(receiver, block)
        self._ahead_unacked += len(self._unacked) - before

    def _owe(self, receiver: Receiver, block: Block) -> None:
        """Remember what is to be acknowledged."""
        self._unacked += [(receiver, block.link, n) for _, _, n, flags in block.messages if flags & QOS_1]

    @property
    def _ripe_s(self) -> float:
        """From when on the batch is old enough."""
        return self._closed_s + (self._linger_s if self._intake.calls else self._gathers_s)

    @property
    def _brisk(self) -> bool:
        """Whether messages come fast enough that a pause means: the broker waits for acknowledgements."""
        return max(len(self._unacked), self._unacked_before) >= self._many

    def _due(self, now_s: float, *, came: bool) -> bool:
        """Whether the batch is to be closed now: it is large, it is old, or the broker waits for us."""
        if not self._unacked and not self._intake.packets:
            return False
        return (
            self._ahead_unacked >= self._ahead_nearly_full
            or len(self._unacked) - self._ahead_unacked >= self._nearly_full
            or now_s >= self._ripe_s
            or (self._brisk and not came)
            or self._intake.full()
        )

    def _close(self, now_s: float, *, tick: bool) -> None:
        """Make the batch durable, with a tick behind its rows; then acknowledge."""
        closed = self._intake.close()
        new, session = self._ahead_unacked, len(self._unacked) - self._ahead_unacked
        known = closed.repeated * 2 > session
        self._turns.closed(now_s, now_s - self._closed_s, session=session, new=new, known=known)
        self._closed_s = now_s
        self._unacked_before, self._ahead_unacked = len(self._unacked), 0
        entries = closed.entries
        if tick:
            self._ticked_s = now_s
            value = control_records.encode(Tick(clock=LIVE, time=to_datetime(self._clock.now_us())))
            entries += [Entry(name, partition, value) for name, partition in self._tick_partitions]
        if entries and not self._append(entries):
            return
        for (receiver, link), came in groupby(self._unacked, key=itemgetter(0, 1)):
            receiver.acknowledge(link, [number for _, _, number in came])
        self._unacked.clear()
        if self._ahead.receiver is not None:
            self._intake.repeats.expect(closed.ahead)
        meters.count(closed)

    def _append(self, entries: Sequence[Entry]) -> bool:
        """Whether they are durable. If not, the connection is dropped: a PUBACK withheld makes no broker
        send again, a new connection does."""
        start_s = self._clock.monotonic_s()
        try:
            self._log.append(entries)
        except (StorageFull, Retryable) as error:
            if not self._withheld:
                text = "the log takes nothing: no message is acknowledged until it does"
                say(_log, logging.ERROR, text, why=str(error))
            self._withheld = True
            meters.WITHHELD.set(1)
            meters.UNACKED.set(len(self._unacked))
            self._unacked.clear()
            self._go_back()
            self._calls.drop("the log takes nothing")
            self._receiver.drop("the log takes nothing")
            return False
        meters.APPENDED.set(self._clock.now_us() / MICROS)
        took_s = self._clock.monotonic_s() - start_s
        self._gathers_s = max(self._linger_s, min(_RESTS * took_s, _GATHERS_MOST_S))
        meters.APPEND_S.observe(took_s)
        if self._withheld:
            self._withheld = False
            say(_log, logging.WARNING, "the log takes records again")
            meters.WITHHELD.set(0)
        return True

    def _prove(self, now_s: float) -> None:
        """Send the canary; give up a connection on which nothing at all comes, go past one that is behind."""
        receiver = self._receiver
        if not receiver.ready:
            self._came_s = now_s
            return
        if now_s - self._came_s > SILENT_MOST_S:
            self._go_back()
            receiver.drop(f"nothing came for {SILENT_MOST_S:g} s, not even our own messages")
            return
        if now_s - self._came_s < BEHIND_S:  # else the broker is not behind but silent
            self._ahead.decide(self._canary.waiting_s(receiver.link, now_s), proven=self.live)
            if self._ahead.receiver is None:
                self._intake.repeats.forget()
        message = self._canary.message(receiver.link, now_s)
        self._send_drills(now_s)
        if message is not None:
            receiver.publish(self._canary_topic, message)
            meters.SESSIONS_LOST.set(receiver.sessions_lost)
            meters.CONNECTIONS.set(receiver.connections)
            meters.UNACKED.set(len(self._unacked))

    def _go_back(self) -> None:
        """To one connection alone."""
        self._ahead.close()
        self._intake.repeats.forget()

    def _send_drills(self, now_s: float) -> None:
        """What the broker does not take now is sent at the next turn."""
        waiting = self._drills.waiting(now_s)
        while waiting and self._receiver.publish(waiting[0].topic, drills.message(self._clock.now_us())):
            waiting.popleft()
            meters.DRILLS.inc()
