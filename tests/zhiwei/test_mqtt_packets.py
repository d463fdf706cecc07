from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiwei.mqtt_packets import (
    HEAD_BYTES,
    OVERSIZE,
    PASSED_ON,
    PacketReader,
    ProtocolError,
    Publish,
    packet_room,
)
from zhiwei.testing.scripted_broker import length, publish

MOST = 2000


def read(
    pieces: list[bytes], version: Literal[3, 5] = 3
) -> tuple[list[Publish], dict[int, int], list[tuple[int, bytes]], str]:
    """Everything that comes out: messages, sizes of cut ones, other packets, and the error if any."""
    others: list[tuple[int, bytes]] = []
    messages: list[Publish] = []
    oversize: dict[int, int] = {}
    reader = PacketReader(MOST, lambda command, body: others.append((command, body)), version=version)
    try:
        for piece in pieces:
            reader.feed(piece, messages, oversize)
    except ProtocolError as error:
        return messages, oversize, others, str(error)
    return messages, oversize, others, ""


def test_a_publish_is_its_topic_payload_id_and_flags() -> None:
    stream = publish(b"a/b", b"one") + publish(b"c", b"two", 258, flags=9) + b"\xd0\x00"
    assert read([stream]) == (
        [(b"a/b", b"one", 0, 0), (b"c", b"two", 258, 11)],
        {},
        [(0xD0, b"")],
        "",
    )


def test_the_properties_of_mqtt_5_are_passed_over() -> None:
    stream = publish(b"a/b", b"one", properties=b"") + publish(b"c", b"two", 258, properties=b"\x01\x01" * 90)
    assert read([stream], 5) == ([(b"a/b", b"one", 0, 0), (b"c", b"two", 258, 2)], {}, [], "")


packets = st.one_of(
    st.builds(
        publish,
        st.binary(min_size=1, max_size=20),
        st.binary(max_size=300),
        st.integers(0, 65_535),
        flags=st.sampled_from([0, 1, 8, 9]),
    ),
    st.builds(lambda size: publish(b"big", b"x" * size, 7), st.integers(MOST - 3, 3 * MOST + HEAD_BYTES)),
    st.builds(lambda body: b"\x90" + length(len(body)) + body, st.binary(max_size=200)),
    st.builds(lambda body: b"\x34" + length(len(body)) + body, st.binary(min_size=5, max_size=20)),
)


@given(st.lists(packets, max_size=12), st.data())
def test_where_the_stream_is_cut_makes_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if b > a]
    assert read(pieces) == read([stream])


with_properties = st.builds(
    publish,
    st.binary(min_size=1, max_size=20),
    st.one_of(st.binary(max_size=300), st.integers(MOST - 3, 3 * MOST + HEAD_BYTES).map(lambda n: b"x" * n)),
    st.integers(0, 65_535),
    flags=st.sampled_from([0, 1, 8, 9]),
    properties=st.one_of(st.just(b""), st.binary(max_size=20), st.integers(100, 20_000).map(bytes)),
)


@given(st.lists(with_properties, max_size=8), st.data())
def test_with_properties_where_the_stream_is_cut_makes_no_difference(
    parts: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if b > a]
    whole = read([stream], 5)
    assert (len(whole[0]), whole[2:]) == (len(parts), ([], ""))
    assert read(pieces, 5) == whole


@pytest.mark.parametrize("version", [3, 5])
@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_give_packets_or_a_protocol_error_however_they_are_cut(
    version: Literal[3, 5], stream: bytes, size: int
) -> None:
    whole = read([stream], version)
    pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
    assert read(pieces, version) == whole


def test_an_oversize_payload_is_cut_reported_with_its_size_and_passed_over() -> None:
    stream = publish(b"t", b"x" * 9000, 5) + publish(b"t", b"after", 6)
    messages, oversize, _, error = read([stream])
    assert error == ""
    assert messages == [(b"t", b"x" * HEAD_BYTES, 5, 2 | OVERSIZE), (b"t", b"after", 6, 2)]
    assert oversize == {0: 9000}


def test_of_an_oversize_message_with_properties_the_size_is_that_of_its_payload() -> None:
    stream = publish(b"t", b"x" * 9000, 5, properties=b"p" * 500) + publish(b"t", b"after", 6, properties=b"")
    messages, oversize, _, error = read([stream], 5)
    assert error == ""
    assert messages == [(b"t", b"x" * HEAD_BYTES, 5, 2 | OVERSIZE), (b"t", b"after", 6, 2)]
    assert oversize == {0: 9000}


def test_long_properties_make_no_payload_oversize() -> None:
    stream = publish(b"t", b"x" * MOST, 5, properties=b"p" * 60_000)
    assert read([stream], 5) == ([(b"t", b"x" * MOST, 5, 2)], {}, [], "")


def test_properties_beyond_what_the_broker_was_told_end_the_connection_before_they_are_buffered() -> None:
    reader = PacketReader(MOST, lambda *_: None, version=5)
    told = packet_room(PASSED_ON * MOST)
    with pytest.raises(ProtocolError, match="before its payload"):
        reader.feed(publish(b"t", b"", 5, properties=b"p" * told)[:100], [], {})


def test_an_oversize_payload_is_never_buffered() -> None:
    reader = PacketReader(MOST, lambda *_: None)
    messages: list[Publish] = []
    stream = publish(b"t", b"x" * 40_000_000, 5)
    for place in range(0, len(stream), 262_144):
        reader.feed(stream[place : place + 262_144], messages, {})
        assert len(reader._rest) <= 2 * HEAD_BYTES
    assert len(messages) == 1


def test_a_payload_of_exactly_the_limit_is_whole_whatever_the_topic() -> None:
    stream = publish(b"t" * 60_000, b"x" * MOST, 5)
    assert read([stream])[0] == [(b"t" * 60_000, b"x" * MOST, 5, 2)]


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"\x30\x80\x80\x80\x80", "a remaining length has more than four bytes"),
        (b"\x36\x05\x00\x01t\x00\x01", "a PUBLISH has QoS 3"),
        (b"\x30\x03\x00\x05t", "a PUBLISH ends inside its topic"),
        (b"\x30\x01\x00", "a PUBLISH ends inside its topic"),
        (b"\x32\x04\x00\x01t\x00", "a PUBLISH ends inside its topic or packet id"),
        (b"\x30\x02\x00\x00", "a PUBLISH has no topic"),
        (b"\x90" + length(70_000), "a packet of type 9 has 70000 bytes"),
    ],
)
def test_what_is_no_mqtt_is_an_error_after_what_came_before_it(stream: bytes, error: str) -> None:
    messages, _, _, found = read([publish(b"t", b"good", 1) + stream])
    assert (messages, found) == ([(b"t", b"good", 1, 2)], error)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"\x32\x05\x00\x01t\x00\x07", "a PUBLISH ends before its properties"),
        (b"\x30\x04\x00\x01t\x05", "a PUBLISH ends inside its properties"),
        (b"\x30\x04\x00\x01t\x80", "a PUBLISH ends inside its properties"),
        (b"\x30\x08\x00\x01t\x80\x80\x80\x80\x00", "a length of properties has more than four bytes"),
        (b"\x30\x06\x00\x00\x03\x23\x00\x01", "a PUBLISH has no topic"),
    ],
)
def test_what_is_no_mqtt_5_is_an_error_after_what_came_before_it(stream: bytes, error: str) -> None:
    messages, _, _, found = read([publish(b"t", b"good", 1, properties=b"") + stream], 5)
    assert (messages, found) == ([(b"t", b"good", 1, 2)], error)
