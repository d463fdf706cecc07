"""Receives MQTT messages in blocks under a fixed client id, for an owner that acknowledges by itself.

Ingest is the owner. It calls ``receive`` in a loop from one thread, makes what it got durable, and then
calls ``acknowledge``. Nothing here keeps a message: what is not acknowledged comes again from the broker.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from zhiwei.clock import Clock
from zhiwei.errors import ZhiweiError
from zhiwei.logs import logger, say
from zhiwei.mqtt import CONNACK_WITHIN_S, Backoff, Link, reads_in_blocks
from zhiwei.mqtt_packets import Publish
from zhiwei.settings import Mqtt

_log = logger.getChild("mqtt")

STEADY_S = 10.0
"""A connection that lived so long was a good one: the next delay starts from the bottom again."""

TAKEOVERS_MOST = 5
TAKEOVERS_WITHIN_S = 60.0
"""So many connections in so short a time that the broker accepted and closed: somebody else has our
client id. Any counts, unless the broker gave another reason (MQTT 5): most give none. One alone stops
nobody: it may be ourselves, back on another way, or a second process that somebody ends again."""

_NOT_NOW = ("unavailable", "busy", "rate exceeded")
"""In the reason of a CONNACK: trying again may help."""
_CHECK = "check [mqtt] client_id, username, password"


class ClientIdTaken(ZhiweiError):  # noqa: N818 - says what happened
    """Another process uses our client id."""


class Refused(ZhiweiError):  # noqa: N818
    """The broker refuses the connection or a subscription; trying again would not help."""


@dataclass(slots=True)
class Block:
    """The messages of one read, in order, with one look at the clock.

    oversize: place in messages → payload bytes it would have had; such a message is cut and flagged.
    """

    link: int
    """Number of the connection they came on: what ``acknowledge`` wants back."""
    arrived: int = 0
    """µs UTC; 0 if there are no messages."""
    messages: list[Publish] = field(default_factory=list)
    oversize: dict[int, int] = field(default_factory=dict)


class Receiver:
    """Receives at QoS 1 in a persistent session; reconnects by itself.

    Every connection subscribes again, whatever the broker says that it remembers.
    """

    def __init__(
        self,
        settings: Mqtt,
        filters: Sequence[str],
        clock: Clock,
        *,
        window: int = 0,
        in_blocks: bool | None = None,
        backoff_s: tuple[float, float] = (0.5, 30.0),
        keep_session: bool = True,
    ) -> None:
        """Does not connect yet. window: see Link. in_blocks: None takes the fast reading where the installed
        paho allows. keep_session: whether the broker keeps what comes while we are away."""
        self._settings = settings
        self._window = window
        self._keep_session = keep_session
        self._filters = tuple(filters)
        self._clock = clock
        self._in_blocks = reads_in_blocks() if in_blocks is None else in_blocks
        self._backoff = Backoff(*backoff_s)
        self._link: Link | None = None
        self._number = 0
        self._subscribed = False  # on the present link
        self._closed: deque[float] = deque()  # when the broker closed connections that it had accepted
        self._up = False
        self._said_down = False
        self.connections = 0
        """Connections that a broker accepted."""
        self.sessions_lost = 0
        """Connections after the first at which the broker had forgotten us: each is a possible gap."""

    @property
    def ready(self) -> bool:
        """Connected, and the broker has confirmed every subscription."""
        return self._link is not None and self._up

    @property
    def link(self) -> int:
        """Number of the present or next connection."""
        return self._number

    def receive(self, timeout_s: float) -> Block:
        """What has arrived, after waiting for it at most so long. Connects and reconnects meanwhile.

        Raises Refused (credentials, subscription) and ClientIdTaken: reasons to stop.
        """
        link = self._link or self._connect(timeout_s)
        block = Block(self._number)
        if link is None:
            return block
        link.turn(timeout_s)
        block.messages, block.oversize = link.taken()
        if block.messages:
            block.arrived = self._clock.now_us()
        self._look_after(link)
        return block

    def acknowledge(self, link: int, packet_ids: Sequence[int]) -> bool:
        """PUBACK, in the order in which they came. False, and nothing is sent, if that connection is gone:
        a packet id means nothing on another one."""
        current = self._link
        if current is None or current.ended or link != self._number or not packet_ids:
            return False
        current.acknowledge(packet_ids)
        return not current.ended

    def publish(self, topic: str, payload: bytes) -> bool:
        """One message at QoS 1, not kept if the connection ends. False, and it is not sent, if there is none
        or if the broker has as many unacknowledged ones as it takes."""
        link = self._link
        if not self.ready or link is None or link.under_way >= link.limits.receive_maximum:
            return False
        link.publish(topic, payload)
        link.published.clear()
        return True

    def drop(self, why: str) -> None:
        """Give the connection up without acknowledging, and come back after a delay.

        This is how to refuse messages: a broker need not resend on a connection that stays.
        """
        if self._link is not None:
            self._link.close(why)
            self._end(self._link, by_us=True)

    def close(self) -> None:
        """Disconnect; the session stays at the broker and gathers what comes meanwhile."""
        if self._link is not None:
            self._link.close("closed")
            self._link = None
            self._up = False

    def _connect(self, timeout_s: float) -> Link | None:
        now_s = self._clock.monotonic_s()
        if self._backoff.waits(now_s, timeout_s):
            return None
        self._number += 1
        self._subscribed = self._up = False
        try:
            self._link = Link(
                self._settings,
                clean_session=not self._keep_session,
                keepalive_s=self._settings.keepalive_s,
                in_blocks=self._in_blocks,
                opened_s=now_s,
                window=self._window,
            )
        except OSError as error:
            self._closed.clear()  # a broker that is away is not one that prefers somebody else
            self._backoff.failed(now_s)
            self._say_down(str(error))
        return self._link

    def _look_after(self, link: Link) -> None:
        """Subscribe once accepted; notice what went wrong."""
        if link.refusal:
            self._check_refusal(link)
        if link.accepted and not self._subscribed and not link.ended:
            self._check_limits(link)
            self._subscribed = True
            self.connections += 1
            if self._keep_session and self.connections > 1 and not link.session_present:
                self.sessions_lost += 1
                text = "the broker has lost our session: messages may be missing"
                say(_log, logging.WARNING, text, client_id=self._settings.client_id)
            link.subscribe(self._filters)
        if link.granted is not None and not self._up:
            self._check_granted(link.granted)
            self._up, self._said_down = True, False
            say(_log, logging.INFO, "receiving", filters=",".join(self._filters), connection=self._number)
        now_s = self._clock.monotonic_s()
        if not link.accepted and not link.ended and now_s - link.opened_s > CONNACK_WITHIN_S:
            doubt = "; does it speak MQTT 5? else [mqtt] version = 3" if self._settings.version == 5 else ""
            link.close(f"no CONNACK within {CONNACK_WITHIN_S:g} s{doubt}")
        if link.ended:
            self._end(link)

    def _check_refusal(self, link: Link) -> None:
        refusal = link.refusal
        if self.connections or any(word in refusal.lower() for word in _NOT_NOW):
            return  # it has worked before, or the broker says that it is not ready: try again
        todo = "set [mqtt] version = 3" if "protocol version" in refusal else _CHECK
        self._refuse(f"refuses client {self._settings.client_id!r}: {refusal}; {todo}")

    def _check_limits(self, link: Link) -> None:
        """Whether the broker can do what we need, and what it will not do that we asked for."""
        limits = link.limits
        shared = [text for text in self._filters if text.startswith("$share/")]
        wild = [text for text in self._filters if set("+#") & set(text)]
        if limits.maximum_qos < 1:
            self._refuse("has QoS 0 only, expected QoS 1: nothing would come again that was lost")
        if shared and not limits.shared:
            self._refuse(f'has no shared subscriptions, as in {shared[0]!r}; set [mqtt] share = ""')
        if wild and not limits.wildcards:
            self._refuse(f"has no wildcards in subscriptions, as in {wild[0]!r}")
        kept_s = limits.session_expiry_s
        if kept_s is not None and kept_s < self._settings.session_expiry_s and not self.connections:
            text = "the broker keeps our session for less than [mqtt] session_expiry_s"
            say(_log, logging.WARNING, text, asked_s=self._settings.session_expiry_s, kept_s=kept_s)

    def _check_granted(self, codes: list[int]) -> None:
        for text, code in zip(self._filters, codes, strict=False):
            if code >= 128:
                self._refuse(f"refuses the subscription to {text!r} (code {code})")
            if code == 0:
                self._refuse(f"grants QoS 0 to {text!r}, expected QoS 1: lost messages would not come again")

    def _refuse(self, why: str) -> None:
        self.close()
        raise Refused(f"MQTT broker {self._settings.host}:{self._settings.port} {why}")

    def _end(self, link: Link, *, by_us: bool = False) -> None:
        now_s = self._clock.monotonic_s()
        self._link = None
        self._up = False
        if now_s - link.opened_s >= STEADY_S:
            self._backoff.steady()
        self._backoff.failed(now_s)
        self._say_down(link.ended)
        if by_us or not link.accepted or link.ended_otherwise:
            return
        self._closed.append(now_s)
        while now_s - self._closed[0] > TAKEOVERS_WITHIN_S:
            self._closed.popleft()
        if len(self._closed) >= TAKEOVERS_MOST:
            raise ClientIdTaken(
                f"the broker accepted and closed the connection of client {self._settings.client_id!r} "
                f"{TAKEOVERS_MOST} times within {TAKEOVERS_WITHIN_S:g} s: another process uses this client "
                "id; stop it, or set another [mqtt] client_id"
            )

    def _say_down(self, why: str) -> None:
        if not self._said_down:
            self._said_down = True
            address = f"{self._settings.host}:{self._settings.port}"
            text = "no connection to the MQTT broker; trying again"
            say(_log, logging.WARNING, text, broker=address, why=why)
