"""How findings speak: kinds, rule names and observations."""

import numpy as np

from scenarios.water.schema import SCHEMA
from scenarios.water.signals import OVER
from zhiwei.clock import to_datetime
from zhiwei.contracts import Claim
from zhiwei.schema import quantity_of
from zhiwei.types import Evidence, Observation, Phase, Severity

EVENT = "water.event"
SENSOR_FAULT = "water.sensor_fault"
OFFLINE = "water.offline"
PREALARM = "water.chlorine_prealarm"
SOURCE_SWITCH = "water.source_switch"
FLOOD = "water.flood"
HATCH_OPEN = "water.hatch_open"
INTRUSION = "water.intrusion_with_quality_step"
UV_OFF = "water.uv_off"
PUMP_CYCLING = "water.pump_cycling"

_FAMILY = {"free_chlorine": "chlorine", "total_chlorine": "chlorine"}


def limit_kind(channel: str, side: str) -> str:
    """``turbidity_2``, high → ``water.turbidity_high``; both chlorines are one family."""
    if side == "prealarm":
        return PREALARM
    quantity = quantity_of(channel)
    return f"water.{_FAMILY.get(quantity, quantity)}_{side}"


def unit_of(channel: str) -> str:
    """The unit as it is shown; pH has none."""
    described = SCHEMA.channel(channel)
    unit = "" if described is None else described.unit
    return "" if unit == "1" else unit


def shown(value: float) -> float | str | None:
    """A value of float32 as a person wrote it; ``> range`` for an over-range one; None for a missing one."""
    if np.isnan(value):
        return None
    if value >= OVER:
        return "> range"
    return float(f"{value:.6g}")


def fault_claim(
    name: str,
    channel: str,
    *,
    entity: int,
    phase: Phase,
    at: int,
    onset: int,
    severity: Severity,
    observed: float,
    expected: float = float("nan"),
    limit: str = "",
    source: str = "",
    samples: int = 0,
) -> Claim:
    """One probe fault of one channel. ``note`` is the fault's name."""
    observation = Observation(
        name=channel,
        observed=shown(observed),
        expected=shown(expected),
        limit=limit,
        unit=unit_of(channel),
        source=source,
    )
    return Claim(
        entity=entity,
        kind=SENSOR_FAULT,
        rule=f"fault.{name}.{channel}",
        phase=phase,
        at=at,
        onset=onset,
        score=1.0,
        severity=severity,
        evidence=Evidence(
            observations=(observation,),
            start=to_datetime(onset),
            end=to_datetime(at),
            samples=samples,
            note=name,
        ),
    )
