"""Plays a recording over MQTT as a source that brings its own time: a year can pass in minutes.

One message a row, at QoS 1, in the order of the file; each is kept until the broker has acknowledged it.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from zhiwei.clock import MICROS, Clock, to_datetime
from zhiwei.errors import Retryable, ZhiweiError
from zhiwei.ids import digest
from zhiwei.mqtt import Publisher
from zhiwei.recording import Map, Row, rows
from zhiwei.schema import Schema
from zhiwei.types import QUALITY_LETTERS

_PATIENCE_S = 5.0
"""How long one attempt to get messages acknowledged lasts before ``stop`` is looked at again."""


def messages(file: Path, schema: Schema, table: Map) -> Iterator[tuple[int, str, bytes]]:
    """Time (µs), topic and payload of every row that has a time; one without values is a heartbeat.

    Raises ZhiweiError where the file or the map cannot be read.
    """
    for row in rows(file, schema, table):
        if row.ts is not None:
            yield row.ts, f"zw/v1/{schema.scenario}/{row.entity}/{row.device}", payload(row)


def payload(row: Row) -> bytes:
    """A row as native JSON."""
    said: dict[str, object] = {"ts": to_datetime(row.ts or 0), **row.values}
    letters = "".join(letter for letter, flag in QUALITY_LETTERS.items() if row.flags & flag)
    return msgspec.json.encode({**said, "flags": letters} if letters else said)


def play(
    stream: Iterator[tuple[int, str, bytes]],
    publisher: Publisher,
    *,
    speed: float | None,
    clock: Clock,
    stop: threading.Event,
) -> int:
    """Publish the stream at ``speed`` times its own pace, or as fast as it goes; returns the count.

    A broker that is away is waited for, as a gateway would. Ends early when told to stop.
    """
    began_s, first, count = clock.monotonic_s(), None, 0
    for ts, topic, body in stream:
        first = ts if first is None else first
        if speed is not None:
            ahead_s = began_s + (ts - first) / MICROS / speed - clock.monotonic_s()
            if ahead_s > 0:
                _settle(publisher, stop)
                stop.wait(began_s + (ts - first) / MICROS / speed - clock.monotonic_s())
        while not stop.is_set():
            try:
                publisher.publish(topic, body, timeout_s=_PATIENCE_S)
                count += 1
                break
            except Retryable:
                continue
        if stop.is_set():
            return count
    _settle(publisher, stop)
    return count


def play_to(
    url: str,
    stream: Iterator[tuple[int, str, bytes]],
    *,
    speed: float | None,
    clock: Clock,
    stop: threading.Event,
) -> int:
    """``play`` to a broker. url: ``mqtt://[user:password@]host[:port]``; ZhiweiError for another one."""
    parts = urlsplit(url)
    if parts.scheme != "mqtt" or not parts.hostname:
        raise ZhiweiError(f"--mqtt {url}: expected mqtt://host:port")
    with Publisher(
        host=parts.hostname,
        port=parts.port or 1883,
        client_id=f"zhiwei-play-{digest(url, clock.now_us())[:8]}",
        username=parts.username or "",
        password=parts.password or "",
        clock=clock,
    ) as publisher:
        return play(stream, publisher, speed=speed, clock=clock, stop=stop)


def _settle(publisher: Publisher, stop: threading.Event) -> None:
    """Wait until everything is acknowledged, however long the broker is away."""
    while publisher.unacknowledged and not stop.is_set():
        try:
            publisher.flush(_PATIENCE_S)
        except Retryable:
            continue
