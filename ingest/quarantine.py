"""Refused input on the log: the bytes as they came, why they were refused, and the way back.

Intake appends rejections together with its frames; the command line lists, shows and replays them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from zhiwei.clock import to_datetime
from zhiwei.contracts import Entry, LogReader, Refusal
from zhiwei.errors import ZhiweiError
from zhiwei.types import Reason, Rejection

TOPIC = "quarantine"
PARTITION = 0

_DETAILS = 3
_STEP = 100
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Rejection)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A rejection and its place on the log."""

    offset: int
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one rejection that was to be replayed; ``problem`` is empty if it was published."""

    offset: int
    topic: str
    problem: str = ""


def rejections(topic: str, payload: bytes, arrived_us: int, refusals: Sequence[Refusal]) -> list[Rejection]:
    """One record for each reason and scope, so that a packet of ten thousand bad rows makes one."""
    joined: dict[tuple[str, Reason], list[Refusal]] = {}
    for refusal in refusals:
        joined.setdefault((refusal.scope, refusal.reason), []).append(refusal)
    return [
        Rejection(
            reason=same[0].reason,
            scope=same[0].scope,
            topic=topic,
            detail=_details(same),
            payload=payload,
            arrived=to_datetime(arrived_us),
            rows=sum(refusal.rows for refusal in same),
        )
        for same in joined.values()
    ]


def _details(refusals: Sequence[Refusal]) -> str:
    distinct = list(dict.fromkeys(refusal.detail for refusal in refusals))
    more = f" (and {len(refusals) - _DETAILS} more)" if len(distinct) > _DETAILS else ""
    return "; ".join(distinct[:_DETAILS]) + more


def entry(rejection: Rejection) -> Entry:
    """The log record of a rejection."""
    return Entry(TOPIC, PARTITION, _encoder.encode(rejection))


def newest(reader: LogReader, most: int = 50, *, reason: Reason | None = None) -> list[Quarantined]:
    """The last rejections, newest first; only those of a reason, if one is given."""
    found: list[Quarantined] = []
    for quarantined in _backwards(reader):
        if reason is None or quarantined.rejection.reason == reason:
            found.append(quarantined)
            if len(found) == most:
                break
    return found


def between(reader: LogReader, start_us: int, end_us: int) -> list[Quarantined]:
    """Rejections that arrived in [start, end] µs, newest first.

    Reads all that is kept: sources with clocks of their own do not arrive in order.
    """
    start, end = to_datetime(start_us), to_datetime(end_us)
    return [one for one in _backwards(reader) if start <= one.rejection.arrived <= end]


def show(reader: LogReader, offset: int) -> Quarantined:
    """One rejection. Raises ZhiweiError naming the offsets that exist."""
    records = reader.read(TOPIC, PARTITION, offset, most=1) if offset >= 0 else []
    if not records or records[0].offset != offset:
        first, end = reader.earliest(TOPIC, PARTITION), reader.end(TOPIC, PARTITION)
        kept = f"{first} to {end - 1}" if end > first else "none"
        raise ZhiweiError(f"quarantine has no entry {offset}; entries kept: {kept}")
    return Quarantined(offset, _decoder.decode(records[0].value))


def replay(
    reader: LogReader, offsets: Sequence[int], publish: Callable[[str, bytes], None]
) -> list[Replayed]:
    """Publish the bytes again to their topic, oldest first, each packet once.

    Rows of it that were accepted the first time are found to be duplicates by the engine. publish: raises
    ZhiweiError for what it cannot do; the others go on. Raises ZhiweiError for an offset that is not there.
    """
    seen: set[tuple[str, bytes, object]] = set()
    out: list[Replayed] = []
    for quarantined in [show(reader, offset) for offset in sorted(set(offsets))]:
        rejection = quarantined.rejection
        packet = rejection.topic, rejection.payload, rejection.arrived
        problem = ""
        if packet in seen:
            problem = "the same packet as an earlier entry"
        elif rejection.reason == Reason.TOO_LARGE and rejection.scope == "payload":
            problem = "only the first part of the payload was kept"
        else:
            try:
                publish(rejection.topic, rejection.payload)
            except ZhiweiError as error:
                problem = str(error)
        seen.add(packet)
        out.append(Replayed(quarantined.offset, rejection.topic, problem))
    return out


def _backwards(reader: LogReader) -> Iterator[Quarantined]:
    first, end = reader.earliest(TOPIC, PARTITION), reader.end(TOPIC, PARTITION)
    while end > first:
        start = max(first, end - _STEP)
        for record in reversed(reader.read(TOPIC, PARTITION, start, most=end - start)):
            yield Quarantined(record.offset, _decoder.decode(record.value))
        end = start
