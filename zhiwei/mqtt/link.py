"""One connection to a broker, from CONNECT to its end."""

import select
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from zhiwei.mqtt.client import BlockClient, PacketClient
from zhiwei.mqtt_packets import PASSED_ON, Publish, packet_room
from zhiwei.settings import Mqtt

CONNACK_WITHIN_S = 10.0
"""A broker that accepts the TCP connection but says nothing for so long is not there."""

_PACKETS_MOST = 100
"""Read in one turn where they are read one by one: a turn costs more than a packet."""

_PUBACK = 0x40
_SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker allows us, by its CONNACK; the defaults are those of MQTT 5, 3.2.2.3."""

    receive_maximum: int = 65_535
    """Messages of ours that may be unacknowledged."""
    maximum_qos: int = 2
    wildcards: bool = True
    shared: bool = True
    session_expiry_s: int | None = None
    """Where it keeps the session for another time than we asked for."""


class Link:
    """One connection, from CONNECT to its end; its state is what the last ``turn`` left."""

    def __init__(
        self,
        settings: Mqtt,
        *,
        clean_session: bool,
        keepalive_s: int,
        in_blocks: bool,
        opened_s: float,
        window: int = 0,
    ) -> None:
        """Connects; waits at most 5 s for TCP. Raises OSError.

        opened_s: the clock's ``monotonic_s``. window: messages that the broker may send before we acknowledge
        any; MQTT 5 tells it so, to 3.1.1 it cannot be told. 0: as many as it likes.
        """
        kind = BlockClient if in_blocks else PacketClient
        version = settings.version
        self._client = client = kind(settings.max_payload_bytes, settings.client_id, clean_session, version)
        self._in_blocks = in_blocks
        self._version = version
        self.opened_s = opened_s
        self.accepted = False
        self.session_present = False
        self.refusal = ""
        """What the CONNACK says if it does not accept."""
        self.limits = Limits()
        """What the CONNACK allows, once it has come."""
        self.granted: list[int] | None = None
        """Codes of the SUBACK, once it has come."""
        self.published: list[int] = []
        """Message ids that the broker acknowledged; the owner takes them out."""
        self.under_way = 0
        """Messages of ours that it has not acknowledged yet."""
        self.ended = ""
        """Why it is over; empty while it lives."""
        self.ended_otherwise = False
        """Whether the broker said why it ends it, and it is not that somebody else came with our client id.
        MQTT 3.1.1 has no words for it; Mosquitto 2.0.11 says nothing under MQTT 5 either (measured)."""
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.max_inflight_messages_set(0)  # the owner bounds what is in flight
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if version == 3:
            client.connect(settings.host, settings.port, keepalive_s)
        else:
            asked = _asked(settings, window, keep=not clean_session)
            client.connect(
                settings.host, settings.port, keepalive_s, clean_start=clean_session, properties=asked
            )

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
                self._read()
            if writable:
                client.loop_write()
            client.loop_misc()
        if client.socket() is None:
            self.ended = self.ended or "closed"

    def _read(self) -> None:
        """One block, or with paho's own reading packets for as long as each is a message."""
        client, messages = self._client, self._client.messages
        client.loop_read()
        count = 0
        while not self._in_blocks and count < len(messages) < _PACKETS_MOST:
            count = len(messages)
            client.loop_read()

    def taken(self) -> tuple[list[Publish], dict[int, int]]:
        """The messages that have come since the last call, and the sizes of those that were cut."""
        client = self._client
        messages, client.messages = client.messages, []
        oversize, client.oversize = client.oversize, {}
        return messages, oversize

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for QoS 1 on each; the answer is ``granted``.

        A message is flagged as retained where it is an old one that the broker had kept: under MQTT 5 such
        come once in a session, not at each reconnect, and a live one is never flagged ("retain as published"
        would flag both, and nothing could tell them apart).
        """
        if self._version == 3:
            self._client.subscribe([(text, 1) for text in filters])
            return
        options = SubscribeOptions(
            qos=1, retainAsPublished=False, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        )
        self._client.subscribe([(text, options) for text in filters])

    def publish(self, topic: str, payload: bytes) -> int:
        """Send at QoS 1; the message id will be in ``published``."""
        self.under_way += 1
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
        said: Properties | None,
    ) -> None:
        self.limits = _limits(said)
        self.session_present = flags.session_present
        self.accepted = not reason.is_failure
        self.refusal = str(reason) if reason.is_failure else ""

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _: object
    ) -> None:
        self.granted = [reason.value for reason in reasons]

    def _on_publish(self, _client: Client, _userdata: object, mid: int, _reason: object, _: object) -> None:
        self.published.append(mid)
        self.under_way -= 1

    def _on_disconnect(
        self, _client: Client, _userdata: object, flags: DisconnectFlags, reason: ReasonCode, _: object
    ) -> None:
        self.ended = self.ended or self.refusal or str(reason)
        said = flags.is_disconnect_packet_from_server
        self.ended_otherwise = said and reason.value != _SESSION_TAKEN_OVER


def _asked(settings: Mqtt, window: int, *, keep: bool) -> Properties:
    """Of a CONNECT. No topic aliases: absent is 0."""
    asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    if keep:
        asked.SessionExpiryInterval = settings.session_expiry_s
    if window:
        asked.ReceiveMaximum = window
    asked.MaximumPacketSize = packet_room(PASSED_ON * settings.max_payload_bytes)
    return asked


def _limits(said: Properties | None) -> Limits:
    """Of a CONNACK; 3.1.1 says none of this."""
    unsaid = Limits()
    return Limits(
        receive_maximum=getattr(said, "ReceiveMaximum", unsaid.receive_maximum),
        maximum_qos=getattr(said, "MaximumQoS", unsaid.maximum_qos),
        wildcards=bool(getattr(said, "WildcardSubscriptionAvailable", unsaid.wildcards)),
        shared=bool(getattr(said, "SharedSubscriptionAvailable", unsaid.shared)),
        session_expiry_s=getattr(said, "SessionExpiryInterval", unsaid.session_expiry_s),
    )
