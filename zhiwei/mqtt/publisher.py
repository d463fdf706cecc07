"""Publishes at QoS 1 over MQTT 3.1.1, and keeps what is not acknowledged."""

from collections import OrderedDict, deque
from collections.abc import Callable

from zhiwei.clock import Clock, SystemClock
from zhiwei.errors import Permanent, Retryable
from zhiwei.mqtt.backoff import Backoff
from zhiwei.mqtt.client import reads_in_blocks
from zhiwei.mqtt.link import CONNACK_WITHIN_S, Link
from zhiwei.settings import Mqtt

PUBLISHER_KEEPALIVE_S = 3600
"""A publisher may be quiet for long and has no thread to ping; a dead peer shows when it publishes.
0 (off) is refused by the embedded broker (measured)."""

PROGRESS_WITHIN_S = 10.0
"""Messages in flight without one PUBACK for so long: the connection is given up."""

LOOK_EVERY_S = 0.1
"""A publisher looks at what came back at least so often while it publishes; a look costs 30 µs."""

REFUSED_MOST = 5
"""So many connections lost over the same oldest message: it is the message that the broker refuses."""


class Publisher:
    """Publishes at QoS 1 and keeps each message until the broker has acknowledged it.

    Messages go out in the order given; after a lost connection everything unacknowledged goes out again in
    that order, so a message may arrive twice but none is overtaken for good. Call it from one thread.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        username: str = "",
        password: str = "",
        in_flight: int = 100,
        clock: Clock | None = None,
        backoff_s: tuple[float, float] = (0.2, 10.0),
    ) -> None:
        """Does not connect yet. in_flight: unacknowledged messages at which ``publish`` waits."""
        self._settings = Mqtt(host=host, port=port, client_id=client_id, username=username, password=password)
        self._in_flight = in_flight
        self._clock = clock or SystemClock()
        self._in_blocks = reads_in_blocks()
        self._backoff = Backoff(*backoff_s)
        self._link: Link | None = None
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._sent: OrderedDict[int, None] = OrderedDict()  # message ids of the first of the outbox
        self._acked: set[int] = set()
        self._losses = 0  # connections lost since the oldest message was last another one
        self._moved_s = self._turned_s = 0.0
        self._trouble = "not connected yet"

    def publish(self, topic: str, payload: bytes, *, timeout_s: float = 30.0) -> None:
        """Take one message; waits while too many are unacknowledged.

        Raises Retryable if there was no room in time (the message was not taken), Permanent if the topic
        cannot be published to, or if the broker refuses the oldest message in flight (which is dropped).
        """
        if not topic or any(c in topic for c in "+#\0") or len(topic.encode(errors="replace")) > 65_535:
            raise Permanent(f"topic {topic[:80]!r}: expected 1 to 65535 bytes without '+', '#' and NUL")
        self._until(lambda: len(self._outbox) < self._in_flight, timeout_s)
        self._outbox.append((topic, payload))
        now_s = self._clock.monotonic_s()
        link = self._link
        if link is None or len(self._sent) * 4 >= self._in_flight or now_s - self._turned_s > LOOK_EVERY_S:
            self._turn(0.0)
        elif link.accepted:
            self._push(link, now_s)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when everything is acknowledged. Raises Retryable if that takes longer; it is kept."""
        self._until(lambda: not self._outbox, timeout_s)

    def send(self, topic: str, payload: bytes, *, timeout_s: float = 10.0) -> None:
        """One message, acknowledged on return.

        Raises Retryable on time-out: it is given up, and whether it arrived is unknown.
        """
        try:
            self.publish(topic, payload, timeout_s=timeout_s)
            self.flush(timeout_s)
        except Retryable:
            self._outbox.clear()
            self._lose("given up")
            raise

    @property
    def unacknowledged(self) -> int:
        """Messages taken and not yet acknowledged."""
        return len(self._outbox)

    def close(self) -> None:
        """Disconnect; what is unacknowledged is given up."""
        if self._link is not None:
            self._link.close("closed")
            self._link = None

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _until(self, done: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = self._clock.monotonic_s() + timeout_s
        while not done():
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                raise Retryable(
                    f"MQTT broker {self._settings.host}:{self._settings.port}: {len(self._outbox)} messages "
                    f"not acknowledged within {timeout_s:g} s ({self._trouble})"
                )
            self._turn(min(left_s, 0.2))

    def _turn(self, timeout_s: float) -> None:
        self._turned_s = now_s = self._clock.monotonic_s()
        link = self._link
        if link is None and (self._backoff.waits(now_s, timeout_s) or (link := self._open(now_s)) is None):
            return
        if link.accepted:
            self._push(link, now_s)
        link.turn(timeout_s)
        if link.published:
            self._settle(link, now_s)
        stuck = self._sent and now_s - self._moved_s > PROGRESS_WITHIN_S
        silent = not link.accepted and now_s - link.opened_s > CONNACK_WITHIN_S
        if link.ended or stuck or silent:
            self._lose(link.ended or "no answer from the broker")

    def _open(self, now_s: float) -> Link | None:
        try:
            self._link = Link(
                self._settings,
                clean_session=True,
                keepalive_s=PUBLISHER_KEEPALIVE_S,
                in_blocks=self._in_blocks,
                opened_s=now_s,
            )
        except OSError as error:
            self._trouble = str(error)
            self._backoff.failed(now_s)
            return None
        return self._link

    def _push(self, link: Link, now_s: float) -> None:
        """Send what has not been sent on this connection."""
        for place in range(len(self._sent), len(self._outbox)):
            if not self._sent:
                self._moved_s = now_s
            self._sent[link.publish(*self._outbox[place])] = None

    def _settle(self, link: Link, now_s: float) -> None:
        """Drop what is acknowledged, oldest first: a broker may acknowledge in another order."""
        self._acked.update(link.published)
        link.published.clear()
        while self._sent and (oldest := next(iter(self._sent))) in self._acked:
            self._acked.remove(oldest)
            del self._sent[oldest]
            self._outbox.popleft()
            self._losses = 0
        self._moved_s = now_s
        self._backoff.steady()

    def _lose(self, why: str) -> None:
        link, self._link = self._link, None
        self._trouble = why
        self._sent.clear()
        self._acked.clear()
        if link is None:
            return
        self._backoff.failed(self._clock.monotonic_s())
        link.close(why)
        if not link.accepted or not self._outbox:
            return
        self._losses += 1
        if self._losses == REFUSED_MOST:
            self._losses = 0
            topic, payload = self._outbox.popleft()
            raise Permanent(
                f"MQTT broker {self._settings.host}:{self._settings.port} closed the connection "
                f"{REFUSED_MOST} times over one message to {topic!r} of {len(payload)} bytes: "
                "too large for it, or not allowed"
            )
