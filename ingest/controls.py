"""Control records that must stand in a partition before its first frame: policy and registry.

A step may read nothing that is not in the log, so ingest puts what the scenarios go by in front of the rows,
and again whenever it has changed between two runs.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import msgspec

from zhiwei.contracts import Entry, LogReader
from zhiwei.lanes import lanes_of, log_topic
from zhiwei.schema import Schema
from zhiwei.types import Control, ControlRecord

STEP = 200
"""Records looked at together; a frame of the usual size has 50 kB."""

BACK_MOST = 20_000
"""Records after which the search ends: five hours of ticks. A record appended once more does no harm."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ControlRecord)


def encode(record: ControlRecord) -> bytes:
    """Bytes of a tick, a control record or a drill."""
    return _encoder.encode(record)


def due(
    reader: LogReader,
    schemas: Mapping[str, Schema],
    controls: Mapping[str, Sequence[Control]],
    partitions: int,
) -> list[Entry]:
    """The records to append now: those that differ from the newest of their kind in a partition.

    controls: by scenario, at most one of each kind counts (the last).
    """
    entries = []
    for scenario, wanted in controls.items():
        latest = {control.kind: control for control in wanted}
        for name, partition in product(
            (log_topic(lane, scenario) for lane in lanes_of(schemas[scenario])), range(partitions)
        ):
            present = _newest(reader, name, partition, set(latest))
            entries += [
                Entry(name, partition, encode(control))
                for kind, control in latest.items()
                if present.get(kind) != control
            ]
    return entries


def _newest(reader: LogReader, name: str, partition: int, kinds: set[str]) -> dict[str, Control]:
    found: dict[str, Control] = {}
    end = reader.end(name, partition)
    first = max(reader.earliest(name, partition), end - BACK_MOST)
    while end > first and len(found) < len(kinds):
        start = max(first, end - STEP)
        for record in reversed(reader.read(name, partition, start, most=end - start)):
            control = _control(record.value)
            if control is not None and control.kind in kinds:
                found.setdefault(control.kind, control)
        end = start
    return found


def _control(value: bytes) -> Control | None:
    if not value.startswith(b"{"):  # a frame
        return None
    try:
        record = _decoder.decode(value)
    except msgspec.MsgspecError:
        return None
    return record if isinstance(record, Control) else None
