"""The MQTT 3.1.1 edge: one connection (``Link``) and a publisher. The only importer of paho.

paho connects, keeps alive, subscribes and publishes; reading is replaced, because paho as it comes turns
its loop once per packet, which costs more than everything that follows (about 30 µs a message). There are
no threads here: whoever owns a link turns it. A link is never reconnected, so nothing of an old connection
can leak into a new one. Receiving with sessions and acknowledgements is ``zhiwei/mqtt_receiver.py``.
"""

import logging
import random
import select
import struct
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import paho.mqtt as paho
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, time_func
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.reasoncodes import ReasonCode

from zhiwei.clock import Clock, SystemClock
from zhiwei.errors import Permanent, Retryable
from zhiwei.logs import logger, say
from zhiwei.mqtt_packets import HEAD_BYTES, OVERSIZE, PacketReader, ProtocolError, Publish
from zhiwei.settings import Mqtt

_log = logger.getChild("mqtt")

READ_BYTES = 262_144
"""What one ``recv`` asks for."""

CONNACK_WITHIN_S = 10.0
"""A broker that accepts the TCP connection but says nothing for so long is not there."""

PUBLISHER_KEEPALIVE_S = 3600
"""A publisher may be quiet for long and has no thread to ping; a dead peer shows when it publishes.
0 (off) is refused by the embedded broker (measured)."""

PROGRESS_WITHIN_S = 10.0
"""Messages in flight without one PUBACK for so long: the connection is given up."""

LOOK_EVERY_S = 0.1
"""A publisher looks at what came back at least so often while it publishes; a look costs 30 µs."""

REFUSED_MOST = 5
"""So many connections lost over the same oldest message: it is the message that the broker refuses."""

_PUBACK = 0x40
_MADE_FOR = "2.2."
_LEANS_ON = (
    "_in_packet",
    "_last_bytes_received",
    "_loop_rc_handle",
    "_msgtime_mutex",
    "_packet_handle",
    "_packet_queue",
    "_sock",
    "_sock_recv",
)


class _Client(Client):
    """paho as it comes, with what it receives in a list; never through a proxy to this machine."""

    def __init__(self, most_payload: int, client_id: str, clean_session: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.messages: list[Publish] = []
        self.oversize: dict[int, int] = {}
        self._most_payload = most_payload
        self.on_message = self._take

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        flags = message.dup << 3 | message.qos << 1 | message.retain
        payload = bytes(message.payload)
        if len(payload) > self._most_payload:
            self.oversize[len(self.messages)] = len(payload)
            payload, flags = payload[:HEAD_BYTES], flags | OVERSIZE
        self.messages.append((message._topic, payload, message.mid, flags))

    def _get_proxy(self) -> dict[str, Any] | None:
        return None if _is_loopback(self._host) else super()._get_proxy()


class _BlockClient(_Client):
    """paho with its reading replaced: one ``recv``, then every packet in it."""

    def __init__(self, most_payload: int, client_id: str, clean_session: bool) -> None:
        super().__init__(most_payload, client_id, clean_session)
        self._packets = PacketReader(most_payload, self._hand_over)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 - paho's signature
        """Read once and parse what is there."""
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        if not data:  # closed by the broker, not "nothing there"
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:  # else keep-alive would drop a busy connection
            self._last_bytes_received = time_func()
        try:
            self._packets.feed(data, self.messages, self.oversize)
        except _PahoRefuses as stop:
            return self._loop_rc_handle(stop.code)
        except (ProtocolError, MalformedPacket):
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _hand_over(self, command: int, body: bytes) -> None:
        """Let paho handle a packet as if it had read it itself."""
        self._in_packet = _in_packet(command, body)
        try:
            code = self._packet_handle()
        finally:
            self._in_packet = _in_packet(0, b"")
        if code > 0:
            raise _PahoRefuses(code)


class _PahoRefuses(Exception):  # noqa: N818
    def __init__(self, code: MQTTErrorCode) -> None:
        super().__init__(code)
        self.code = code


def _in_packet(command: int, body: bytes) -> Any:
    return {
        "command": command,
        "have_remaining": 0,
        "remaining_count": [],
        "remaining_mult": 1,
        "remaining_length": len(body),
        "packet": bytearray(body),
        "to_process": 0,
        "pos": 0,
    }


def reads_in_blocks() -> bool:
    """Whether the installed paho is one that the fast reading was made for; warns if it is not."""
    version = str(paho.__version__)
    probe = Client(CallbackAPIVersion.VERSION2)
    missing = [name for name in _LEANS_ON if not hasattr(probe, name)]
    if version.startswith(_MADE_FOR) and not missing:
        return True
    say(
        _log,
        logging.WARNING,
        "this paho-mqtt differs from the one that block reading was made for; reading packet by packet, "
        "which is several times slower",
        paho=version,
        wanted=_MADE_FOR + "x",
        missing=",".join(missing) or "nothing",
    )
    return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Link:
    """One connection, from CONNECT to its end; its state is what the last ``turn`` left."""

    def __init__(
        self, settings: Mqtt, *, clean_session: bool, keepalive_s: int, in_blocks: bool, opened_s: float
    ) -> None:
        """Connects; waits at most 5 s for TCP. opened_s: the clock's ``monotonic_s``. Raises OSError."""
        kind = _BlockClient if in_blocks else _Client
        self._client = client = kind(settings.max_payload_bytes, settings.client_id, clean_session)
        self._in_blocks = in_blocks
        self.opened_s = opened_s
        self.accepted = False
        self.session_present = False
        self.refusal = ""
        """What the CONNACK says if it does not accept."""
        self.granted: list[int] | None = None
        """Codes of the SUBACK, once it has come."""
        self.published: list[int] = []
        """Message ids that the broker acknowledged; the owner takes them out."""
        self.ended = ""
        """Why it is over; empty while it lives."""
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.max_inflight_messages_set(0)  # the owner bounds what is in flight
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        client.connect(settings.host, settings.port, keepalive_s)

    def turn(self, timeout_s: float) -> None:
        """Wait for the network at most so long, then read, write and keep alive."""
        client = self._client
        sock = client.socket()
        if sock is not None:
            # Bytes that TLS has decrypted already are invisible to select().
            pending = getattr(sock, "pending", None)
            waiting = bool(pending and pending())
            writing = [sock] if client.want_write() else []
            timeout_s = 0.0 if waiting else max(0.0, timeout_s)
            readable, writable, _ = select.select([sock], writing, [], timeout_s)
            if readable or waiting:
                client.loop_read()
            if writable:
                client.loop_write()
            client.loop_misc()
        if client.socket() is None:
            self.ended = self.ended or "closed"

    def taken(self) -> tuple[list[Publish], dict[int, int]]:
        """The messages that have come since the last call, and the sizes of those that were cut."""
        client = self._client
        messages, client.messages = client.messages, []
        oversize, client.oversize = client.oversize, {}
        return messages, oversize

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for QoS 1 on each; the answer is ``granted``."""
        self._client.subscribe([(text, 1) for text in filters])

    def publish(self, topic: str, payload: bytes) -> int:
        """Send at QoS 1; the message id will be in ``published``."""
        return self._client.publish(topic, payload, qos=1).mid

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """PUBACK in this order: one write for all of them."""
        if self._in_blocks:
            packed = struct.pack(f">{len(packet_ids)}I", *[0x4002_0000 | number for number in packet_ids])
            self._client._packet_queue(_PUBACK, packed, 0, 0)
        else:
            for number in packet_ids:
                self._client.ack(number, 1)

    def close(self, why: str) -> None:
        """Say goodbye where the broker still listens. The session stays as it is."""
        self.ended = self.ended or why
        self._client.disconnect()
        self._client._reset_sockets()

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        _: object,
    ) -> None:
        self.session_present = flags.session_present
        self.accepted = not reason.is_failure
        self.refusal = str(reason) if reason.is_failure else ""

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _: object
    ) -> None:
        self.granted = [reason.value for reason in reasons]

    def _on_publish(self, _client: Client, _userdata: object, mid: int, _reason: object, _: object) -> None:
        self.published.append(mid)

    def _on_disconnect(
        self, _client: Client, _userdata: object, _flags: object, reason: ReasonCode, _: object
    ) -> None:
        self.ended = self.ended or self.refusal or str(reason)


class Backoff:
    """Delay before the next attempt: doubles, with jitter, so that a fleet does not come back as one."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s, self._most_s = least_s, most_s
        self._delay_s = least_s
        self._due_s = float("-inf")
        self._quiet = threading.Event()  # never set: something to wait on

    def failed(self, now_s: float) -> None:
        """The next attempt is due after the present delay, which doubles."""
        self._due_s = now_s + self._delay_s * random.uniform(0.5, 1.0)
        self._delay_s = min(self._delay_s * 2, self._most_s)

    def steady(self) -> None:
        """It went well: begin with the smallest delay again."""
        self._delay_s = self._least_s

    def waits(self, now_s: float, timeout_s: float) -> bool:
        """Whether it is too early; if so, waits until it is due, at most so long."""
        if now_s >= self._due_s:
            return False
        self._quiet.wait(min(max(0.0, timeout_s), self._due_s - now_s))
        return True


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
