"""Message codes: one number means different things at different sources, so each source has its table.

A table is chosen by the entity's attribute ``code_table``. A code that the table does not know is counted and
never guessed; the list itself is kept as it came. Source of all tables: public code, see the marks in the
README.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import numpy as np

from zhiwei.contracts import Array, Ints


class Fault(IntEnum):
    """What a code says, whatever its number. Values are bits of a mask."""

    SAFETY_CHAIN = 0
    DOOR_CLOSING = 1
    DOOR_OPENING = 2
    OUTSIDE_ZONE = 3
    UNINTENDED_MOVEMENT = 4
    RUN_TIMEOUT = 5
    POSITION_LOST = 6
    RESTART_PREVENTION = 7
    AUTOMATIC = 8
    POWER_OFF = 9
    OUT_OF_SERVICE = 10
    INSPECTION = 11
    FIRE_RETURN = 12
    FIREFIGHTER = 13
    EMERGENCY_POWER = 14
    EARTHQUAKE = 15
    ALARM_BUTTON = 16
    OVERRUN = 17
    HIT_BOTTOM = 18
    SHUT_IN = 19
    SHUT_IN_AT_LEVEL = 20
    SHUT_IN_BETWEEN_FLOORS = 21
    OVERSPEED = 22
    DOOR_OPEN_MOVING = 23
    DOOR_CYCLING = 24
    OFFLINE = 25
    EBIKE = 26
    ESCALATOR = 27
    OTHER = 28
    """Known to the table, but nothing that a rule asks for."""

    @property
    def bit(self) -> int:
        return 1 << self.value


_F = Fault
_STANDARD: dict[str, Fault] = {
    "01": _F.SAFETY_CHAIN, "02": _F.DOOR_CLOSING, "03": _F.DOOR_OPENING, "04": _F.OUTSIDE_ZONE,
    "05": _F.UNINTENDED_MOVEMENT, "06": _F.RUN_TIMEOUT, "07": _F.POSITION_LOST,
    "08": _F.RESTART_PREVENTION, "40": _F.AUTOMATIC, "41": _F.POWER_OFF, "42": _F.OUT_OF_SERVICE,
    "43": _F.INSPECTION, "44": _F.FIRE_RETURN, "45": _F.FIREFIGHTER, "46": _F.EMERGENCY_POWER,
    "47": _F.EARTHQUAKE, "61": _F.ESCALATOR, "62": _F.ESCALATOR, "63": _F.ESCALATOR,
    "64": _F.ESCALATOR, "65": _F.ESCALATOR, "90": _F.ALARM_BUTTON,
}  # fmt: skip
_KIT_UP_TO_15: dict[str, Fault] = {
    "01": _F.OVERRUN, "02": _F.HIT_BOTTOM, "03": _F.OVERSPEED, "04": _F.DOOR_OPEN_MOVING,
    "05": _F.DOOR_OPEN_MOVING, "06": _F.OUTSIDE_ZONE, "07": _F.SHUT_IN_AT_LEVEL,
    "08": _F.SHUT_IN_BETWEEN_FLOORS, "09": _F.POWER_OFF, "10": _F.SAFETY_CHAIN,
    "11": _F.DOOR_OPENING, "12": _F.DOOR_CLOSING, "13": _F.OTHER, "14": _F.OTHER, "15": _F.OTHER,
}  # fmt: skip

TABLES: Final[dict[str, dict[str, Fault]]] = {
    "gbt24476": _STANDARD,
    "chongqing": {**_STANDARD, "91": _F.HIT_BOTTOM, "92": _F.OVERRUN, "93": _F.SHUT_IN_AT_LEVEL},
    "provincial": {**_STANDARD, "09": _F.OVERRUN, "10": _F.HIT_BOTTOM, "11": _F.SHUT_IN},
    "local_platform": {
        "08": _F.DOOR_OPEN_MOVING, "09": _F.OVERRUN, "10": _F.HIT_BOTTOM, "11": _F.OVERSPEED,
        "12": _F.DOOR_OPEN_MOVING, "13": _F.RUN_TIMEOUT, "14": _F.DOOR_CYCLING,
        "15": _F.ALARM_BUTTON, "99": _F.OTHER,
    },
    "vendor_cloud": {
        "0101": _F.SHUT_IN, "0201": _F.OTHER, "0202": _F.SAFETY_CHAIN, "0203": _F.OUTSIDE_ZONE,
        "0204": _F.HIT_BOTTOM, "0205": _F.OVERRUN, "0207": _F.UNINTENDED_MOVEMENT,
        "0313": _F.OFFLINE, "0314": _F.OTHER, "0315": _F.OTHER, "0317": _F.EBIKE,
        "0401": _F.OUT_OF_SERVICE, "0402": _F.INSPECTION,
    },
    "kit_cloud": {
        **_KIT_UP_TO_15,
        "16": _F.OTHER, "17": _F.RUN_TIMEOUT, "18": _F.OTHER, "19": _F.POSITION_LOST,
        "20": _F.OTHER, "21": _F.ALARM_BUTTON, "22": _F.OTHER, "37": _F.EBIKE, "38": _F.OTHER,
        "40": _F.OTHER, "41": _F.POWER_OFF, "42": _F.OTHER,
    },
    "kit_firmware": {
        **_KIT_UP_TO_15,
        "16": _F.OVERSPEED, "17": _F.OVERSPEED, "18": _F.ESCALATOR, "19": _F.OTHER,
        "20": _F.ESCALATOR, "21": _F.ESCALATOR, "22": _F.ESCALATOR, "23": _F.ESCALATOR,
        "24": _F.OTHER, "25": _F.OTHER, "26": _F.ESCALATOR,
    },
}  # fmt: skip
"""Table → code → what it says. Names are the values of the attribute ``code_table``."""

DEFAULT_TABLE: Final = "gbt24476"
NO_FAULT: Final = "00"
"""Alone: no fault known to the controller. Beside others: ignored."""

SHUT_IN_BITS: Final = _F.SHUT_IN.bit | _F.SHUT_IN_AT_LEVEL.bit | _F.SHUT_IN_BETWEEN_FLOORS.bit
"""Entrapment as the source claims it."""

MODE_EVENTS: Final[tuple[tuple[Fault, str], ...]] = (
    (_F.AUTOMATIC, "normal"),
    (_F.OUT_OF_SERVICE, "out_of_service"),
    (_F.INSPECTION, "inspection"),
    (_F.FIRE_RETURN, "fire_return"),
    (_F.FIREFIGHTER, "firefighter"),
    (_F.EMERGENCY_POWER, "emergency_power"),
    (_F.EARTHQUAKE, "earthquake"),
)
"""Codes 40 to 47 move the mode, where the source sends no mode of its own."""

_MOST_KEPT = 4096
"""Different lists remembered; a source that never repeats itself must not eat the memory."""


def normalised(code: str) -> str:
    """``4`` and ``04`` are the same code within a table."""
    return code.strip().zfill(2)


def meaning(table: str, codes: Iterable[str]) -> tuple[int, int]:
    """Mask of Fault bits, and how many codes the table does not know. A table of another name knows none."""
    known = TABLES.get(table, {})
    mask = unknown = 0
    for code in codes:
        name = normalised(code)
        if name in known:
            mask |= known[name].bit
        elif name != NO_FAULT:
            unknown += 1
    return mask, unknown


class _Meanings(dict[tuple[int, tuple[str, ...]], tuple[int, int]]):
    """Lists repeat from row to row: each is read once."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        super().__init__()
        self._tables = tables

    def __missing__(self, key: tuple[int, tuple[str, ...]]) -> tuple[int, int]:
        if len(self) >= _MOST_KEPT:
            self.clear()
        self[key] = found = meaning(self._tables[key[0]], key[1])
        return found


class Reader:
    """Code lists of a round to masks."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        """tables: names by number."""
        self._meanings = _Meanings(tables)

    def read(self, table: Ints, codes: Array) -> tuple[Ints, Ints]:
        """table: (n,) number. codes: (n,) tuples of str. Returns masks and counts of unknown codes, (n,)."""
        found = list(map(self._meanings.__getitem__, zip(table.tolist(), codes.tolist(), strict=True)))
        both = np.array(found, np.int64).reshape(len(found), 2)
        return both[:, 0], both[:, 1]


def faults(mask: int) -> tuple[Fault, ...]:
    """The faults of a mask."""
    return tuple(fault for fault in Fault if mask & fault.bit)
