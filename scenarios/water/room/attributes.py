"""What the registry says of a pump room in numbers: set point, tank height, pump limit."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from zhiwei.contracts import Floats, Ints


class Numbers:
    """One attribute of all entities."""

    def __init__(
        self, attributes: Mapping[str, Mapping[str, str]], entities: Sequence[str], name: str
    ) -> None:
        """name: also of a further probe, ``set_point_2``. What is no number above 0 counts as not known."""
        said = [_positive(attributes.get(entity, {}).get(name)) for entity in entities] if attributes else []
        self._value = np.array([*said, np.nan])

    def of(self, number: Ints) -> Floats:
        """(n,) of entities by number; NaN = not known."""
        return self._value[np.minimum(number, len(self._value) - 1)]


def beside(attribute: str, quantity: str, channel: str) -> str:
    """The attribute of a channel: ``set_point`` of ``outlet_pressure``, ``set_point_2`` of a second."""
    return attribute + channel.removeprefix(quantity)


def _positive(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return np.nan
    return value if isfinite(value) and value > 0 else np.nan
