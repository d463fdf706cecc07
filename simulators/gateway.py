"""Publishes a world over MQTT as gateways would: many devices on few connections, triggers also on a
connection of their own.

Each connection keeps what the broker has not acknowledged and sends it again after a break; what the world
makes meanwhile waits in a buffer. Nothing is lost while this process lives.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from zlib import crc32

from simulators.output import payload, topic
from simulators.world import SECOND_MS, Report
from zhiwei.clock import Clock
from zhiwei.errors import Permanent, Retryable, ZhiweiError
from zhiwei.ids import digest
from zhiwei.mqtt import Publisher

CONNECTIONS = 2
"""For the ordinary level; one more carries the urgent one."""
BUFFER_MOST = 200_000
"""Messages that wait while the broker is away. Then the world itself waits: it is only simulated."""
_PATIENCE_S = 0.05
"""How long one connection may hold up the others."""
_SERVE_EVERY = 64
"""Reports between looks at the other connections when nothing needs to be waited for."""


@dataclass(slots=True)
class _Line:
    """One connection and what waits for it."""

    publisher: Publisher
    waiting: deque[tuple[str, bytes]] = field(default_factory=deque)
    refused: list[str] = field(default_factory=list)

    def serve(self) -> None:
        """Hand over what the connection takes now; keep the rest."""
        try:
            while self.waiting:
                self.publisher.publish(*self.waiting[0], timeout_s=_PATIENCE_S)
                self.waiting.popleft()
            if self.publisher.unacknowledged:
                self.publisher.flush(_PATIENCE_S)
        except Retryable:
            return
        except Permanent as error:  # that one message is given up; the others go on
            self.refused.append(str(error))

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.publisher.unacknowledged


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run came to."""

    reports: int
    messages: int
    """More than the reports: triggers go out on both levels."""
    refused: list[str]
    """What the broker would not take, in its words."""


class Gateway:
    """The connections. Call it from one thread; use it as a context, so that they are closed."""

    def __init__(self, publishers: list[Publisher], urgent: Publisher, clock: Clock) -> None:
        self._lines = [_Line(publisher) for publisher in publishers]
        self._urgent = _Line(urgent)
        self._clock = clock

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *exception: object) -> None:
        for line in (*self._lines, self._urgent):
            line.publisher.close()

    @property
    def waiting(self) -> int:
        """Messages that the broker has not acknowledged."""
        return sum(len(line.waiting) + line.publisher.unacknowledged for line in self._all)

    @property
    def _all(self) -> tuple[_Line, ...]:
        return (self._urgent, *self._lines)

    def run(
        self,
        reports: Iterator[Report],
        scenario: Callable[[Report], str],
        speed: float | None,
        stop: threading.Event,
    ) -> Sent:
        """Publish at ``speed`` times the world's own pace, or as fast as it goes (None).

        scenario: of a report. Returns when everything is acknowledged, or soon after ``stop`` is set.
        """
        began_s, first = self._clock.monotonic_s(), None
        made = messages = 0
        for report in reports:
            first = report.sent if first is None else first
            if speed is not None:
                self._until(began_s + (report.sent - first) / SECOND_MS / speed, stop)
            while self.waiting >= BUFFER_MOST and not stop.is_set():
                self._serve()
            if stop.is_set():
                break
            made += 1
            messages += self._take(scenario(report), report)
            if report.urgent or made % _SERVE_EVERY == 0:
                self._serve()
        while self.waiting and not stop.is_set():
            self._serve()
        return Sent(made, messages, [text for line in self._all for text in line.refused])

    def _take(self, scenario: str, report: Report) -> int:
        place, body = topic(scenario, report), payload(report)
        if report.urgent:
            self._urgent.waiting.append((f"{place}/urgent", body))
        # An entity keeps to one connection, so its reports keep their order.
        line = self._lines[crc32(report.entity.encode()) % len(self._lines)]
        line.waiting.append((place, body))
        return 2 if report.urgent else 1

    def _serve(self) -> None:
        for line in self._all:
            line.serve()

    def _until(self, due_s: float, stop: threading.Event) -> None:
        while not stop.is_set() and (ahead_s := due_s - self._clock.monotonic_s()) > 0:
            if self.waiting:
                self._serve()
            else:
                stop.wait(min(ahead_s, 1.0))


def connect(url: str, clock: Clock, *, connections: int = CONNECTIONS) -> Gateway:
    """A gateway to a broker that need not be there yet.

    url: ``mqtt://[user:password@]host[:port]``; ZhiweiError for another one.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 1883
    except ValueError:
        host = None
    if host is None or parts.scheme != "mqtt":
        raise ZhiweiError(f"--mqtt {url}: expected mqtt://host:port")
    own = digest(url, clock.now_us())[:8]

    def publisher(name: str) -> Publisher:
        return Publisher(
            host=host,
            port=port,
            client_id=f"zhiwei-simulate-{own}-{name}",
            username=parts.username or "",
            password=parts.password or "",
            clock=clock,
        )

    return Gateway([publisher(str(n)) for n in range(connections)], publisher("urgent"), clock)
