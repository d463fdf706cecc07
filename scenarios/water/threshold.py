"""A number of a policy, with its unit, its source and how sure that is."""

from typing import Literal

import msgspec

Mark = Literal["V", "P", "C", "N", "G", "D"]

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Units of a duration, in seconds."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a policy: its keys are all known."""


class Threshold(Section, frozen=True):
    """One number with what stands behind it."""

    value: int | float
    unit: str
    source: str
    mark: Mark

    @property
    def seconds(self) -> float:
        """Of a duration; its unit was checked."""
        return self.value * UNITS[self.unit]
