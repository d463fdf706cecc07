"""What the registry says of homes, laid out as arrays: zone, declared state, consent."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from scenarios.elderly.localtime import offsets
from scenarios.elderly.policy import Sections, zones
from zhiwei.clock import NEVER, to_us
from zhiwei.contracts import Ints, State

NOTHING, AWAY, VISITOR = 0, 1, 2
DECLARED = {"home": NOTHING, "away": AWAY, "hospital": AWAY, "visitor": VISITOR}
"""Words of the attribute and the channel ``operator_state``."""
ALWAYS = -(1 << 62)
"""Before any time."""


class Homes:
    """Attributes read: ``zone``, ``operator_state``, ``consent`` (``given``, ``withdrawn``, or the ISO time
    with an offset from which it is withdrawn).

    What cannot be read of ``consent`` counts as withdrawn: without a clear consent nothing may run.
    """

    def __init__(
        self, sections: Sections, attributes: Mapping[str, Mapping[str, str]], entities: Sequence[str]
    ) -> None:
        """entities: by number."""
        known = zones()
        numbers: dict[str, int] = {sections.site.zone: 0}
        said = [attributes.get(entity, {}) for entity in entities]
        wanted = [one.get("zone", "") for one in said]
        # One more at the end: a home that came after these rules were made.
        self._zone = np.array(
            [*(numbers.setdefault(zone, len(numbers)) if zone in known else 0 for zone in wanted), 0],
            np.int64,
        )
        self._declared = np.array(
            [*(DECLARED.get(one.get("operator_state", ""), NOTHING) for one in said), NOTHING], np.int64
        )
        self._withdrawn = np.array(
            [*(_withdrawn(one.get("consent", "given")) for one in said), NEVER], np.int64
        )
        self._zones = tuple(numbers)
        self.some_withdrawn = bool((self._withdrawn != NEVER).any())

    def local(self, home: Ints, at: Ints) -> Ints:
        """(n,) local µs. home: from ``of``."""
        return at + offsets(self._zones, self._zone[home], at)

    def declared(self, home: Ints) -> Ints:
        """(n,) NOTHING, AWAY or VISITOR."""
        return self._declared[home]

    def withdrawn_from(self, home: Ints) -> Ints:
        """(n,) µs; NEVER while consent stands."""
        return self._withdrawn[home]

    def of(self, state: State, entity: Ints) -> Ints:
        """(n,) place of each entity in these arrays.

        The engine hands over copies of the rows it touches and says in ``number`` whose they are; without it
        the state is that of all entities, in their order.
        """
        number = state.arrays.get("number")
        number = entity if number is None else number[entity]
        return np.minimum(number, len(self._zone) - 1)


def _withdrawn(consent: str) -> int:
    if consent == "given":
        return NEVER
    try:
        return to_us(datetime.fromisoformat(consent))
    except (ValueError, TypeError):  # no time, or one without an offset
        return ALWAYS
