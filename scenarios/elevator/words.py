"""How findings speak: kinds, observations."""

import numpy as np

from scenarios.elevator.policy import Threshold
from scenarios.elevator.schema import MODES, SCHEMA
from scenarios.elevator.signals import NOTHING
from zhiwei.clock import MICROS, to_datetime
from zhiwei.types import Observation

ENTRAPMENT = "elevator.entrapment"
ALARM_BUTTON = "elevator.alarm_button"


def number(value: float) -> float | None:
    """A value of float32 as a person wrote it; None for a missing one."""
    return None if np.isnan(value) else float(f"{float(value):.6g}")


def seconds(us: int) -> float:
    """µs as seconds."""
    return round(int(us) / MICROS, 3)


def moment(us: int) -> str:
    """µs as ISO 8601 UTC."""
    return to_datetime(int(us)).isoformat()


def mode_name(mode: int) -> str | None:
    """The word of a mode's number."""
    return None if mode == NOTHING else MODES[mode]


def unit_of(channel: str) -> str:
    """The unit as it is shown; a pure number has none."""
    described = SCHEMA.channel(channel)
    return "" if described is None or described.unit == "1" else described.unit


def limited(
    name: str, observed: float | str | bool | None, sign: str, said: Threshold, *, limit: float | None = None
) -> Observation:
    """An observation beside the number of the policy that it was held against.

    limit: where it was worked out from that number; in seconds for a duration.
    """
    value = said.canonical if limit is None else limit
    unit = "s" if said.unit in ("s", "min", "h") else ("" if said.unit == "1" else said.unit)
    return Observation(
        name=name,
        observed=observed,
        limit=f"{sign} {value:.6g} {unit}".rstrip(),
        unit=unit,
        source=said.source,
    )
