"""MQTT packets, 3.1.1 and 5, out of a stream of bytes, many at a time: no socket, no clock, no thread.

``zhiwei/mqtt`` feeds it what one ``recv`` gave. PUBLISH at QoS 0 and 1 is parsed here, since the
rate of the whole intake hangs on it; every other packet is handed on as it is.
"""

from collections.abc import Callable
from typing import Literal

Publish = tuple[bytes, bytes, int, int]
"""Topic, payload, packet id (0 at QoS 0), and the low bits of the fixed header with ``OVERSIZE``."""

RETAIN = 0x01
QOS_1 = 0x02
QOS_2 = 0x04
DUP = 0x08
OVERSIZE = 0x10
"""Not of the protocol: the payload was larger than allowed, and only its first part is here."""

HEAD_BYTES = 4096
"""What is kept of an oversize payload: enough to see what it is."""

PASSED_ON = 4
"""A broker is to pass on payloads so many times larger than we take. What it drops vanishes without a name,
or costs the publisher its connection, and a QoS 1 publisher then repeats it for ever; what only we refuse is
acknowledged, and is in quarantine with a reason."""

_TOPIC_ROOM = 2 + 65_535 + 2  # length, topic, packet id
_PROPERTIES_ROOM = 65_536  # MQTT 5 has no limit of its own: ours, generous for user properties
_HEADER_MOST = 5  # command and remaining length
_OTHER_MOST = 65_535 + 16  # no packet but PUBLISH has a reason to be longer
_PUBLISH = 0x30


class ProtocolError(Exception):
    """The broker sent what is no MQTT; the connection cannot go on."""


def topic_room(payload_bytes: int) -> int:
    """Largest remaining length of a PUBLISH with a payload of so many bytes, whatever its topic."""
    return payload_bytes + _TOPIC_ROOM


def packet_room(payload_bytes: int) -> int:
    """Largest PUBLISH of MQTT 5 with a payload of so many bytes, properties and all; for both sides."""
    return _HEADER_MOST + topic_room(payload_bytes) + _PROPERTIES_ROOM


class PacketReader:
    """Bytes in, packets out. Buffers at most one packet of the allowed size, however it is cut."""

    def __init__(
        self, most_payload: int, other: Callable[[int, bytes], None], *, version: Literal[3, 5] = 3
    ) -> None:
        """other: is called with command byte and body of each packet that is not parsed here.

        The properties of an MQTT 5 PUBLISH are passed over unread: none of them changes what it says.
        """
        self._most = most_payload
        self._other = other
        self._publish = _publish if version == 3 else _publish_5
        self._has_properties = version == 5
        self._most_before = packet_room(PASSED_ON * most_payload)  # what the broker was told
        self._rest = bytearray()
        self._need = 0  # bytes of _rest without which a further look is useless
        self._discard = 0  # bytes of an oversize packet that are still to come
        self._cut: tuple[Publish, int] | None = None

    def feed(self, data: bytes, messages: list[Publish], oversize: dict[int, int]) -> None:
        """Parse what is complete, keep the rest.

        messages: PUBLISH packets are appended in order. oversize: place in messages → payload bytes it
        would have had, for those cut (flag OVERSIZE). Raises ProtocolError; what came before it is in
        messages.
        """
        if self._discard:
            if len(data) < self._discard:
                self._discard -= len(data)
                return
            data = data[self._discard :]
            self._discard = 0
            self._put_cut(messages, oversize)
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        position, end = 0, len(data)
        publish = self._publish
        while position < end:
            command, body, length = self._header(data, position, end)
            if body == 0:
                break
            if length > self._most and (kept := self._large(data, position, command, body, length)):
                if kept > 0:
                    self._need = kept
                    break
                position = body + length
                if position <= end:
                    self._put_cut(messages, oversize)
                    continue
                self._discard = position - end
                return
            after = body + length
            if after > end:
                self._need = after - position
                break
            if command & 0xF4 == _PUBLISH:
                messages.append(publish(data, command, body, after))
            else:
                if command & 0xF6 == _PUBLISH | QOS_1 | QOS_2:
                    raise ProtocolError("a PUBLISH has QoS 3")
                self._other(command, data[body:after])
            position = after
        if position < end:
            self._rest += data[position:]

    def _header(self, data: bytes, position: int, end: int) -> tuple[int, int, int]:
        """Command byte, place of the body, remaining length; place 0 when more bytes are needed."""
        body = position + 1
        length = shift = 0
        while body < end:
            byte = data[body]
            body += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                return data[position], body, length
            shift += 7
            if shift > 21:
                raise ProtocolError("a remaining length has more than four bytes")
        self._need = 0
        return 0, 0, 0

    def _large(self, data: bytes, position: int, command: int, body: int, length: int) -> int:
        """Judge a long packet by its length field, before it is buffered.

        0: it may be taken. Positive: so many bytes are needed to tell. -1: it is too large; what is
        kept of it waits in _cut.
        """
        if command & 0xF4 != _PUBLISH:
            if length > _OTHER_MOST:
                raise ProtocolError(f"a packet of type {command >> 4} has {length} bytes")
            return 0
        available = len(data) - body
        if available < 2:
            return body + 2 - position
        start = 2 + (data[body] << 8 | data[body + 1]) + (command & QOS_1)
        if self._has_properties:
            if available < min(start + 4, length):
                return body + min(start + 4, length) - position
            start = _behind_properties(data, body + start, body + length) - body
            if start > self._most_before:
                raise ProtocolError(f"a PUBLISH has {start} bytes before its payload")
        size = length - start
        if size <= self._most:
            return 0
        kept = start + min(size, HEAD_BYTES)
        if available < kept:
            return body + kept - position
        topic, payload, packet_id, flags = self._publish(data, command, body, body + kept)
        self._cut = (topic, payload, packet_id, flags | OVERSIZE), size
        return -1

    def _put_cut(self, messages: list[Publish], oversize: dict[int, int]) -> None:
        assert self._cut is not None
        message, size = self._cut
        self._cut = None
        oversize[len(messages)] = size
        messages.append(message)


def _publish(data: bytes, command: int, body: int, after: int) -> Publish:
    if after - body < 2:
        raise ProtocolError("a PUBLISH ends inside its topic")
    topic = body + 2
    start = topic + (data[body] << 8 | data[body + 1])
    if start == topic:
        raise ProtocolError("a PUBLISH has no topic")
    if not command & QOS_1:
        if start > after:
            raise ProtocolError("a PUBLISH ends inside its topic")
        return data[topic:start], data[start:after], 0, command & 0x0F
    payload = start + 2
    if payload > after:
        raise ProtocolError("a PUBLISH ends inside its topic or packet id")
    return data[topic:start], data[payload:after], data[start] << 8 | data[start + 1], command & 0x0F


def _publish_5(data: bytes, command: int, body: int, after: int) -> Publish:
    """The same with properties between packet id and payload."""
    if after - body < 2:
        raise ProtocolError("a PUBLISH ends inside its topic")
    topic = body + 2
    start = topic + (data[body] << 8 | data[body + 1])
    if start == topic:
        raise ProtocolError("a PUBLISH has no topic")  # or an alias for it, which we never allowed
    place = start + (command & QOS_1)
    if place >= after:
        raise ProtocolError("a PUBLISH ends before its properties")
    payload = place + 1 if data[place] == 0 else _behind_properties(data, place, after)
    packet_id = data[start] << 8 | data[start + 1] if command & QOS_1 else 0
    return data[topic:start], data[payload:after], packet_id, command & 0x0F


def _behind_properties(data: bytes, place: int, after: int) -> int:
    """Where the payload begins, by the length at this place; the packet ends at ``after``."""
    length = shift = 0
    while place < after:
        byte = data[place]
        place += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if place + length > after:
                break
            return place + length
        shift += 7
        if shift > 21:
            raise ProtocolError("a length of properties has more than four bytes")
    raise ProtocolError("a PUBLISH ends inside its properties")
