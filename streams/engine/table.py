"""State as struct of arrays: one row per name (an entity or a device), grown by doubling.

The engine takes copies of the rows that a batch touches, works on them, and puts them back when all
went well; so a rule that raises leaves no trace.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from zhiwei.contracts import Array, Bools, Field, Ints

Arrays = dict[str, Array]


class Table:
    """Rows of state by number; numbers are given out in order of appearance and never reused."""

    def __init__(self, fields: Sequence[Field], channels: tuple[str, ...] = ()) -> None:
        self.fields = tuple(fields)
        self.channels = channels
        self.names: list[str] = []
        self.number: dict[str, int] = {}
        self._room = 16
        self._arrays = {field.name: self._filled(field, self._room) for field in self.fields}
        self._changed = np.zeros(self._room, bool)

    def __len__(self) -> int:
        return len(self.names)

    def column(self, name: str) -> Array:
        """(rows, …) view of one field, over the rows in use. Not to be written."""
        return self._arrays[name][: len(self)]

    def numbers(self, names: Iterable[str]) -> Ints:
        """The number of each name; unknown ones get the next numbers."""
        names = list(names)
        for name in names:
            if name not in self.number:
                self.number[name] = len(self.names)
                self.names.append(name)
        self._make_room()
        return np.array([self.number[name] for name in names], np.int64)

    def place(self, numbers: Ints, names: Sequence[str]) -> None:
        """Give these numbers to these names, as a snapshot has them; what lies between is filled later."""
        top = max(numbers.tolist(), default=-1)
        self.names += [""] * (top + 1 - len(self.names))
        for number, name in zip(numbers.tolist(), names, strict=True):
            self.names[number] = name
            self.number[name] = number
        self._make_room()

    def _make_room(self) -> None:
        while self._room < len(self.names):
            self._room *= 2
            self._arrays = {field.name: self._grown(field) for field in self.fields}
            self._changed = np.concatenate([self._changed, np.zeros(self._room - len(self._changed), bool)])

    def take(self, rows: Ints) -> Arrays:
        """Copies of these rows, by field."""
        return {name: array[rows] for name, array in self._arrays.items()}

    def put(self, rows: Ints, arrays: Arrays) -> None:
        """Write rows back; they count as changed until ``changed`` is asked."""
        for name, array in self._arrays.items():
            array[rows] = arrays[name]
        self._changed[rows] = True

    def changed(self, *, everything: bool = False) -> Ints:
        """Numbers of the rows written since the last call (or of all); forgets them."""
        rows: Bools = self._changed[: len(self)]
        found = np.arange(len(self)) if everything else np.flatnonzero(rows)
        self._changed[:] = False
        return found.astype(np.int64)

    def relaid(self, fields: Sequence[Field], channels: tuple[str, ...]) -> "Table":
        """The same rows under another layout.

        A field of the same name and dtype keeps its values where the axes agree, matching the channel
        axis by name; what is new, or has another shape, holds its fill.
        """
        other = Table(fields, channels)
        other.place(np.arange(len(self)), self.names)
        old = {field.name: field for field in self.fields}
        for field in other.fields:
            before = old.get(field.name)
            if before is None or before.dtype != field.dtype or before.axes != field.axes:
                continue
            source, target = self.column(field.name), other._arrays[field.name][: len(self)]
            if "channel" not in field.axes:
                target[...] = source
                continue
            axis = 1 + field.axes.index("channel")
            here = self.channels if before.channels is None else before.channels
            there = channels if field.channels is None else field.channels
            for place, channel in enumerate(there):
                if channel in here:
                    _at(target, axis, place)[...] = _at(source, axis, here.index(channel))
        other._changed[: len(self)] = True
        return other

    def _shape(self, field: Field) -> tuple[int, ...]:
        names = self.channels if field.channels is None else field.channels
        return tuple(len(names) if axis == "channel" else axis for axis in field.axes)

    def _filled(self, field: Field, rows: int) -> Array:
        return np.full((rows, *self._shape(field)), field.fill, field.dtype)

    def _grown(self, field: Field) -> Array:
        have = self._arrays[field.name]
        return np.concatenate([have, self._filled(field, self._room - len(have))])


def _at(array: Array, axis: int, place: int) -> Array:
    index: list[slice | int] = [slice(None)] * array.ndim
    index[axis] = place
    view: Array = array[tuple(index)]
    return view
