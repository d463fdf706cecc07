"""What of a scenario's rows is kept: all, what changed, or one value every so often. Pure but for its state.

A cell is one value of one channel of one device. A cell that is kept is kept as it came: nothing is averaged
or made up. The state is not saved: after a restart the first cell of each channel is kept again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streams.telemetry.lines import event_times, numbers_of, present
from zhiwei.clock import MICROS
from zhiwei.contracts import Bools, Floats, Ints
from zhiwei.errors import ConfigError
from zhiwei.frames import Columns
from zhiwei.schema import Schema
from zhiwei.settings import Telemetry

_NEVER = np.iinfo(np.int64).min // 2


def check(policy: Telemetry, schema: Schema) -> None:
    """Raises ConfigError for a dead band of a channel that is not there, is no number, or in another unit."""
    for name, band in policy.dead_band.items():
        channel = schema.channel(name)
        key = f"telemetry.{schema.scenario}.dead_band.{name}"
        if channel is None or channel.dtype in ("bool", "utf8", "list"):
            expected = f"a channel of {schema.scenario} that is a number"
            raise ConfigError(file="settings", key=key, value=band.value, expected=expected)
        if band.unit != channel.unit:
            expected = f"the channel's own: {channel.unit!r}"
            raise ConfigError(file="settings", key=f"{key}.unit", value=band.unit, expected=expected)


@dataclass(slots=True)
class Keep:
    """The policy of one scenario over one partition, and what it kept last."""

    policy: Telemetry
    _slots: dict[tuple[str, str], int] = field(default_factory=dict)
    """Entity and device → row of the arrays below."""
    _channels: dict[str, int] = field(default_factory=dict)
    _value: Floats = field(default_factory=lambda: np.full((0, 0), np.nan))
    _at: Ints = field(default_factory=lambda: np.full((0, 0), _NEVER))
    """The last value that was kept, and its event time, µs."""

    def cells(self, columns: Columns) -> Mapping[str, Bools]:
        """Channel → (n,) which of its cells to keep. Frames come in order of the log."""
        there = present(columns)
        if self.policy.keep == "all" or not there or not len(columns):
            return there
        names = list(there)
        has = np.stack([there[name] for name in names], axis=1)
        values = np.stack([numbers_of(columns.channels[name][0], there[name]) for name in names], axis=1)
        is_state = np.array([columns.channels[name][0].dtype.kind in "bO" for name in names])
        bands = self.policy.dead_band
        band = np.array([bands[name].value if name in bands else 0.0 for name in names])
        at = event_times(columns)
        slot, channel = self._places(columns), self._columns(names)
        kept = np.zeros_like(has)
        for rows in _rounds(slot):
            where = np.ix_(slot[rows], channel)
            due = self._due(at[rows, None], self._at[where])
            # NaN: nothing was kept yet, which no distance is within.
            moved = ~(np.abs(values[rows] - self._value[where]) <= band)
            now = has[rows] & (due | (moved & (is_state | (self.policy.keep == "on_change"))))
            kept[rows] = now
            self._value[where] = np.where(now, values[rows], self._value[where])
            self._at[where] = np.where(now, at[rows, None], self._at[where])
        return {name: kept[:, place] for place, name in enumerate(names)}

    def _due(self, at: Ints, last: Ints) -> Bools:
        """Whether a cell is kept for its time alone; one that is older than the last, by as much, is too."""
        if self.policy.keep == "every":
            width = int(self.policy.every_s * MICROS)
            return np.asarray(at // width != last // width)
        return np.asarray(np.abs(at - last) >= int(self.policy.heartbeat_s * MICROS))

    def _places(self, columns: Columns) -> Ints:
        """(n,) the slot of each row's device."""
        pair = columns.entity.astype(np.int64) * max(len(columns.devices), 1) + columns.device
        pairs, index = np.unique(pair, return_inverse=True)
        numbers = []
        for one in pairs.tolist():
            entity, device = divmod(one, len(columns.devices))
            key = columns.entities[entity], columns.devices[device]
            numbers.append(self._slots.setdefault(key, len(self._slots)))
        self._grow()
        return np.array(numbers, np.int64)[index]

    def _columns(self, names: list[str]) -> Ints:
        found = [self._channels.setdefault(name, len(self._channels)) for name in names]
        self._grow()
        return np.array(found, np.int64)

    def _grow(self) -> None:
        """Room for all slots and channels, and as much again where there was none."""
        have, want = self._value.shape, (len(self._slots), len(self._channels))
        if want[0] > have[0] or want[1] > have[1]:
            room = [(0, 2 * w - h if w > h else 0) for w, h in zip(want, have, strict=True)]
            self._value = np.pad(self._value, room, constant_values=np.nan)
            self._at = np.pad(self._at, room, constant_values=_NEVER)


def _rounds(slot: Ints) -> list[Ints]:
    """Rows, in order, in rounds in which no slot occurs twice."""
    order = np.argsort(slot, kind="stable")
    ordered = slot[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    length = np.diff(np.r_[first, len(ordered)])
    turn = np.arange(len(ordered)) - np.repeat(first, length)
    by_turn = np.argsort(turn, kind="stable")
    return np.split(order[by_turn], np.cumsum(np.bincount(turn))[:-1])
