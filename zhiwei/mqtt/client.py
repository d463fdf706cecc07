"""paho's client, as it comes and with its reading replaced. The only importer of paho, with ``link.py``.

paho connects, keeps alive, subscribes and publishes. Reading is replaced, because paho as it comes turns
its loop once per packet, which costs more than everything that follows (about 30 µs a message).
"""

import logging
from ipaddress import ip_address
from typing import Any, Literal

import paho.mqtt as paho
from paho.mqtt.client import Client, MQTTMessage, time_func
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from zhiwei.logs import logger, say
from zhiwei.mqtt_packets import HEAD_BYTES, OVERSIZE, PacketReader, ProtocolError, Publish

_log = logger.getChild("mqtt")

Version = Literal[3, 5]
"""3 is MQTT 3.1.1."""

READ_BYTES = 262_144
"""What one ``recv`` asks for."""

_PROTOCOLS: dict[Version, MQTTProtocolVersion] = {
    3: MQTTProtocolVersion.MQTTv311,
    5: MQTTProtocolVersion.MQTTv5,
}
_MADE_FOR = "2.2."
_LEANS_ON = (
    "_in_packet",
    "_last_bytes_received",
    "_loop_rc_handle",
    "_msgtime_mutex",
    "_packet_handle",
    "_packet_queue",
    "_ping_t",
    "_sock",
    "_sock_recv",
)


class PacketClient(Client):
    """paho as it comes, with what it receives in a list; never through a proxy to this machine."""

    def __init__(self, most_payload: int, client_id: str, clean_session: bool, version: Version = 3) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session if version == 3 else None,  # 5 says it when it connects
            protocol=_PROTOCOLS[version],
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.messages: list[Publish] = []
        self.oversize: dict[int, int] = {}
        self._most_payload = most_payload
        self.on_message = self._take

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if not message._topic:  # an alias for it, which we never allowed
            raise MalformedPacket("a PUBLISH has no topic")
        flags = message.dup << 3 | message.qos << 1 | message.retain
        payload = bytes(message.payload)
        if len(payload) > self._most_payload:
            self.oversize[len(self.messages)] = len(payload)
            payload, flags = payload[:HEAD_BYTES], flags | OVERSIZE
        self.messages.append((message._topic, payload, message.mid, flags))

    def _get_proxy(self) -> dict[str, Any] | None:
        return None if _is_loopback(self._host) else super()._get_proxy()


class BlockClient(PacketClient):
    """paho with its reading replaced: one ``recv``, then every packet in it."""

    def __init__(self, most_payload: int, client_id: str, clean_session: bool, version: Version = 3) -> None:
        super().__init__(most_payload, client_id, clean_session, version)
        self._packets = PacketReader(most_payload, self._hand_over, version=version)

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
        if self._ping_t:  # the answer waits behind all that the broker has queued: the time starts again
            self._ping_t = self._last_bytes_received
        try:
            self._packets.feed(data, self.messages, self.oversize)
        except _PahoStops as stop:
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
        if code > 0 or self._sock is None:  # the second: a DISCONNECT has ended it
            raise _PahoStops(code)


class _PahoStops(Exception):  # noqa: N818
    """Nothing behind this packet is to be read."""

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
