"""Two workers for each receiver, one a lane: each takes what is ready from the outbox, lets the sink tell,
writes down what came of it. The only place that tries again; a sink reports and never loops.

What is urgent has places of its own among what is under way, and no breaker: it is tried at its own back-off
however often other events failed, since one attempt too many costs nothing beside a person who is shut in. An
urgent event that arrives says that the receiver is there, to both lanes; one that fails says nothing to
ordinary ones, so that neither lane can hold the other back.
"""

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy import Connection

from alerts import metrics
from alerts.dispatch.policy import Breaker, BreakerState, Limits, decide
from alerts.store import outbox
from alerts.store.outbox import Lane, Settled, Waiting
from alerts.store.store import Store
from zhiwei.clock import MICROS, Clock
from zhiwei.contracts import Delivery, Sink
from zhiwei.errors import Permanent, Retryable, StorageFull
from zhiwei.logs import logger, say

_LOG = logger.getChild("dispatch")
_GRACE_S = 5.0
"""At the end, how long deliveries under way are waited for. What is cut off is sent again later."""
_STORE_PAUSE_S = 1.0
"""Between attempts to reach the store."""
_BREAKER_VALUE = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Receiver:
    """A sink, and what both its lanes know of it: whether it is open, and whether it answers."""

    def __init__(self, sink: Sink, clock: Clock, limits: Limits | None = None) -> None:
        self.sink = sink
        self.limits = limits or Limits()
        self.breaker = Breaker(self.limits)
        self.wakes: list[asyncio.Event] = []
        """Of its workers."""
        self._clock = clock
        self._lock = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        """Open the sink, once for both lanes. Raises what the sink raises."""
        async with self._lock:
            if not self._is_open:
                await self.sink.open()
                self._is_open = True

    async def leave(self, wake: asyncio.Event) -> None:
        """A worker has ended; the last one closes the sink."""
        self.wakes.remove(wake)
        async with self._lock:
            if self._is_open and not self.wakes:
                self._is_open = False
                await self.sink.close()

    def wake(self) -> None:
        """It is back: more may be sent on either lane."""
        for one in self.wakes:
            one.set()

    def failed(self, error: Exception) -> None:
        """An ordinary attempt failed."""
        after_s = error.after_s if isinstance(error, Retryable) else None
        if self.breaker.failed(self._clock.monotonic_s(), after_s=after_s):
            say(_LOG, logging.WARNING, "receiver is away, events wait", sink=self.sink.name, error=error)

    def show(self) -> None:
        """Bring the gauge up to date."""
        state = self.breaker.state(self._clock.monotonic_s())
        metrics.BREAKER.labels(self.sink.name).set(_BREAKER_VALUE[state])


class Worker:
    """Delivers one lane of a sink's events: in order within an incident, side by side between incidents."""

    def __init__(self, receiver: Receiver, lane: Lane, store: Store, clock: Clock) -> None:
        self.wake = asyncio.Event()
        """Set it when something may be ready: new rows, or the end."""
        self.lane = lane
        self._receiver = receiver
        self._sink, self._breaker = receiver.sink, receiver.breaker
        self._store = store
        self._clock = clock
        self._is_urgent = lane is Lane.URGENT
        self._limits = receiver.limits.urgent() if self._is_urgent else receiver.limits
        receiver.wakes.append(self.wake)
        self._flights: dict[asyncio.Task[Exception | None], Waiting] = {}
        self._outcomes: list[Settled] = []
        """Not written down yet; nothing more is sent before they are."""
        self._is_back = False

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stopped; whoever sets ``stop`` sets ``wake`` too."""
        try:
            while not stop.is_set():
                try:
                    wait_s = await self.step()
                except (Retryable, StorageFull) as error:
                    say(
                        _LOG, logging.ERROR, "the outbox cannot be written", sink=self._sink.name, error=error
                    )
                    wait_s = _STORE_PAUSE_S
                if wait_s != 0:
                    await self._sleep(wait_s)
        finally:
            await self.close()

    async def step(self) -> float | None:
        """Write down what came of attempts, start what may be started, wait for the first outcome.

        Returns 0 where there was something to do, else the seconds until there may be, None for
        "until woken". Raises Retryable or StorageFull where the store cannot be written.
        """
        self.wake.clear()
        wait_s = await self._start()
        if self._flights:
            # One may have ended while its predecessors were written down: its wake is spent.
            if not any(flight.done() for flight in self._flights):
                await self._sleep(wait_s)
            self._settle()
            wait_s = 0.0
        self._receiver.show()
        return wait_s

    async def close(self) -> None:
        """Wait a moment for what is under way, then let go."""
        try:
            if self._flights:
                await asyncio.wait(self._flights, timeout=_GRACE_S)
            self._settle()
            await self._write()
        finally:
            for flight in self._flights:
                flight.cancel()
            await asyncio.gather(*self._flights, return_exceptions=True)
            self._flights.clear()
            await self._receiver.leave(self.wake)

    async def _sleep(self, wait_s: float | None) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self.wake.wait()
        except TimeoutError:
            return

    async def _start(self) -> float | None:
        """Send what is ready; returns the seconds until more may be."""
        now_s = self._clock.monotonic_s()
        room = self._limits.in_flight if self._is_urgent else self._breaker.room(now_s)
        # Nothing but a flight that ends makes room on the urgent lane.
        wait_s = 0.0 if self._is_urgent else self._breaker.wait_s(now_s)
        if room <= len(self._flights):
            await self._write()
            return wait_s or None
        if not await self._opened():
            await self._write()
            return wait_s or self._limits.backoff_first_s
        now_us = self._clock.now_us()
        busy = [row.incident_id for row in self._flights.values()]
        least_tried = self._is_urgent or self._breaker.state(now_s) is not BreakerState.CLOSED
        ready = await self._write(
            lambda connection: outbox.ready(
                connection,
                self._sink.name,
                self.lane,
                now_us,
                busy=busy,
                most=room - len(busy),
                horizon_us=self._limits.horizon_us,
                # An event that always fails must not be the one that is sent to see whether the
                # receiver is back, nor hold an urgent one's place: others would wait for ever.
                least_tried=least_tried,
            )
        )
        assert ready is not None
        for row in ready.rows:
            flight = asyncio.create_task(self._deliver(row))
            flight.add_done_callback(lambda _: self.wake.set())
            self._flights[flight] = row
        return None if ready.next_due_us is None else max((ready.next_due_us - now_us) / MICROS, 0.001)

    async def _opened(self) -> bool:
        try:
            await self._receiver.open()
        except Exception as error:  # noqa: BLE001 - a sink that cannot start must not stop the others
            if self._is_urgent:
                say(_LOG, logging.WARNING, "sink does not open", sink=self._sink.name, error=error)
            else:
                self._receiver.failed(error)
            return False
        return True

    async def _deliver(self, row: Waiting) -> Exception | None:
        delivery = Delivery(id=row.event_id, body=row.body, subject=row.incident_id, attempt=row.attempts + 1)
        try:
            await self._sink.deliver(delivery)
        except (Retryable, Permanent) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a plug-in's bug must not end the dispatch of all others
            _LOG.exception(
                "sink failed in a way it does not know", extra={"fields": {"sink": self._sink.name}}
            )
            return error
        return None

    def _settle(self) -> None:
        """Take in what came of the attempts that have ended; the next transaction writes it down."""
        done = {flight: row for flight, row in self._flights.items() if flight.done()}
        now_us = self._clock.now_us()
        for flight, row in done.items():
            del self._flights[flight]
            error = flight.result()
            outcome = decide(row, error, now_us, self._limits)
            self._outcomes.append(outcome)
            metrics.ATTEMPTS.labels(self._sink.name, self.lane.value, outcome.reason).inc()
            if error is None or isinstance(error, Permanent):
                self._is_back |= self._breaker.succeeded() or (self._is_urgent and row.attempts > 0)
            elif not self._is_urgent:
                self._receiver.failed(error)
            elif not row.attempts:
                fields = {"sink": self._sink.name, "error": str(error)}
                say(_LOG, logging.WARNING, "an urgent event waits", event=row.event_id, **fields)
            if outcome.state is outbox.Dispatched.DEAD:
                fields = {"sink": self._sink.name, "reason": outcome.reason, "error": outcome.last_error}
                say(_LOG, logging.ERROR, "event given up", event=row.event_id, **fields)

    async def _write(self, ask: Callable[[Connection], outbox.Ready] | None = None) -> outbox.Ready | None:
        """Write outcomes down, and ask what is ready in the same transaction: each waits for the disk."""
        outcomes, is_back = tuple(self._outcomes), self._is_back
        if not outcomes and ask is None:
            return None

        def write(connection: Connection) -> outbox.Ready | None:
            if outcomes:
                outbox.settle(connection, outcomes, self._clock.now_us())
            if is_back:
                outbox.hasten(connection, self._sink.name)
            return ask(connection) if ask else None

        ready = await self._store.transact(write, line=f"{self._sink.name}/{self.lane}")
        self._outcomes.clear()
        self._is_back = False
        if is_back:
            self._receiver.wake()
            say(_LOG, logging.INFO, "receiver is back", sink=self._sink.name)
        return ready
