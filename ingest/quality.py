"""Is a value what its channel can hold? Whole columns at once; cell by cell only where a column fails.

A refused cell becomes null and is reported with field, value and limit: nothing is guessed or converted,
except that 0 and 1 may stand for a boolean. Whether a value is *plausible* is not decided here.
"""

import math
from collections.abc import Sequence
from types import NoneType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiwei.clock import MICROS
from zhiwei.contracts import Ints, Refusal
from zhiwei.frames import arrow_column
from zhiwei.schema import LARGEST, Channel, Schema
from zhiwei.types import Flag, Reason

Value = float | bool | str | list[str] | None

TEXT_MOST = 1024
"""Characters of a text value, and of a list's texts together."""

OPEN_CHANNELS_MOST = 256
"""Channels of an open schema (``generic``) in one process: each is a column of frames and state."""

AHEAD_MOST_US = 120 * MICROS
EARLIEST_US = 946_684_800 * MICROS  # 2000-01-01T00:00:00Z
"""Outside of these a device's clock is implausible (columnar.md §2): the row is flagged, never refused."""

_RESERVED = frozenset({"entity", "device", "ts", "arrived", "flags"})
"""Columns of a frame, which an open schema would take for channels."""


class Channels:
    """The channels of one scenario by name, each looked up in the schema once."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._known: dict[str, Channel] = {}
        self._places: dict[str, tuple[int, str]] = {}

    def find(self, name: str) -> Channel | Refusal:
        """The channel, or why there is none of this name."""
        channel = self._known.get(name)
        if channel is not None:
            return channel
        channel = self.schema.channel(name)
        if channel is None or (self.schema.open and not _may_name_a_channel(name)):
            detail = f"{name[:80]!r} is no channel of {self.schema.scenario}"
            return Refusal(Reason.UNKNOWN_CHANNEL, "cell", detail)
        if self.schema.open and len(self._known) >= OPEN_CHANNELS_MOST:
            detail = f"{name!r}: {self.schema.scenario} has {OPEN_CHANNELS_MOST} channels already"
            return Refusal(Reason.UNKNOWN_CHANNEL, "cell", detail)
        self._known[name] = channel
        return channel

    def order(self, name: str) -> tuple[int, str]:
        """Sort key of a known channel, as in the schema."""
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self.schema.order(name)
        return place


def _may_name_a_channel(name: str) -> bool:
    return 0 < len(name) <= 64 and name.isprintable() and name not in _RESERVED


def column(channel: Channel, values: Sequence[Value]) -> tuple[pa.Array, dict[int, Refusal]]:
    """The values as a column of the channel's type, and the refused cells by row, which are null in it."""
    array = _whole(channel, values)
    if array is not None:
        return array, {}
    kept: list[Value] = []
    refused: dict[int, Refusal] = {}
    for row, value in enumerate(values):
        judged = _cell(channel, value)
        if isinstance(judged, Refusal):
            refused[row] = judged
            kept.append(None)
        else:
            kept.append(judged)
    return arrow_column(channel, kept), refused


def _whole(channel: Channel, values: Sequence[Value]) -> pa.Array | None:
    """The column if every value fits as it is; None if one may not, or needs a second look.

    Types are compared first, as Arrow would take True for 1.0 and cut 1.5 to 1 without a word (measured).
    """
    kinds = set(map(type, values))
    missing = NoneType in kinds
    kinds.discard(NoneType)
    if channel.dtype == "bool":
        return arrow_column(channel, values) if kinds <= {bool} else None
    if channel.dtype == "utf8":
        if not kinds <= {str}:
            return None
        try:
            array = arrow_column(channel, values)
        except UnicodeEncodeError:
            return None
        longest = pc.max(pc.utf8_length(array.dictionary)).as_py()
        return array if longest is None or longest <= TEXT_MOST else None
    if channel.dtype == "list":
        return None
    return _numbers(channel, values, missing) if kinds <= {float} else None


def _numbers(channel: Channel, values: Sequence[Value], missing: bool) -> pa.Array | None:
    """A column of floats and nulls; None if one of them does not fit."""
    numbers = np.array(values, np.float64)  # None becomes NaN, and is told apart by the mask
    mask = np.array([value is None for value in values]) if missing else None
    given = numbers if mask is None else numbers[~mask]
    if given.size and not np.abs(given).max() <= LARGEST:  # a comparison with NaN is false
        return None
    if channel.dtype == "float64":
        return pa.array(numbers, mask=mask)
    if channel.dtype == "float32":
        return pa.array(numbers.astype(np.float32), mask=mask)  # rounds; that is what float32 is
    if given.size and ((given != np.rint(given)).any() or given.min() < -32768 or given.max() > 32767):
        return None
    return pa.array(np.where(np.isnan(numbers), 0, numbers).astype(np.int16), mask=mask)


def _cell(channel: Channel, value: Value) -> Value | Refusal:
    """The value as the channel holds it, or why it cannot."""
    if value is None:
        return None
    if channel.dtype == "utf8":
        return _text(channel, value)
    if channel.dtype == "list":
        return _list(channel, value)
    if channel.dtype == "bool":
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        return _refusal(Reason.WRONG_TYPE, channel, value, "expected true, false, 0 or 1")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _refusal(Reason.WRONG_TYPE, channel, value, "expected a number")
    if isinstance(value, float) and not math.isfinite(value):
        return _refusal(Reason.NOT_FINITE, channel, value, "expected a finite number")
    if abs(value) > LARGEST:
        return _refusal(Reason.OUT_OF_RANGE, channel, value, f"expected at most ±{LARGEST:g}")
    if channel.dtype == "int16":
        if value != int(value):
            return _refusal(Reason.WRONG_TYPE, channel, value, "expected a whole number")
        if not -32768 <= value <= 32767:
            return _refusal(Reason.OUT_OF_RANGE, channel, value, "expected -32768 to 32767")
        return int(value)
    return float(value)


def code_of(number: float) -> str:
    """A message code that was sent as a number, as its text: all of its digits, no exponent of ours."""
    return str(int(number)) if number == int(number) else repr(number)


def _list(channel: Channel, value: float | bool | str | list[str]) -> Value | Refusal:
    """A single text or number stands for a list of it."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return _refusal(Reason.WRONG_TYPE, channel, value, "expected a list of codes")
    texts = value if isinstance(value, list) else [value if isinstance(value, str) else code_of(value)]
    judged = _text(channel, " ".join(texts))
    return judged if isinstance(judged, Refusal) else texts


def _text(channel: Channel, value: float | bool | str | list[str]) -> Value | Refusal:
    if not isinstance(value, str):
        return _refusal(Reason.WRONG_TYPE, channel, value, "expected a text")
    if len(value) > TEXT_MOST:
        limit = f"has {len(value)} characters, expected at most {TEXT_MOST}"
        return _refusal(Reason.TOO_LARGE, channel, value, limit)
    try:
        value.encode()
    except UnicodeEncodeError:
        return _refusal(Reason.NOT_UTF8, channel, value, "holds half of a surrogate pair")
    return value


def _refusal(reason: Reason, channel: Channel, value: float | bool | str | list[str], limit: str) -> Refusal:
    shown = str(value) if isinstance(value, float) else repr(value)
    return Refusal(reason, "cell", f"{channel.name} = {shown[:80]}: {limit}")


def implausible(ts: Ints, arrived: Ints) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """(n,) the flag CLOCK where a device's time lies ahead of ours, or before the year 2000; µs UTC."""
    wrong = (ts > arrived + AHEAD_MOST_US) | (ts < EARLIEST_US)
    return wrong * np.uint16(Flag.CLOCK)
