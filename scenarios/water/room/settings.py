"""The policy's sections on the pump room, and within which bounds their numbers make sense."""

from scenarios.water.threshold import Section, Threshold
from zhiwei.types import Severity


class Pressure(Section, frozen=True):
    """Outlet pressure against its set point: given by the registry, else learned."""

    tolerance: Threshold
    """Percent of the set point, to either side."""
    hysteresis: Threshold
    """Percent of the limit."""
    lasts: Threshold
    learn_every: Threshold
    """Between two values that are learned."""
    learn_from: Threshold
    """Values before the median of them is a set point."""
    learn_window: Threshold
    """Values of which the median is taken."""
    learn_anew: Threshold
    """A finding against a learned set point that lasts so long says that another one was set."""
    severity: Severity


class Tank(Section, frozen=True):
    """Level against the height of the tank."""

    low: Threshold
    high: Threshold
    hysteresis: Threshold
    """Percent of the height."""
    lasts: Threshold
    severity: Severity


class Flood(Section, frozen=True):
    """The flood switch of the sump."""

    lasts: Threshold
    severity: Severity


class Hatch(Section, frozen=True):
    """A tank's hatch that is open without a work order."""

    severity: Severity


class Intrusion(Section, frozen=True):
    """Hatch or door without order, and the water's quality soon after."""

    within: Threshold
    severity: Severity


class Uv(Section, frozen=True):
    """The ultraviolet lamp while water flows."""

    flow: Threshold
    """Above it water flows."""
    lasts: Threshold
    severity: Severity


class Cycling(Section, frozen=True):
    """Starts of the pumps."""

    starts: Threshold
    """Where the registry does not say the pump's limit."""
    hysteresis: Threshold
    """Percent of the limit."""
    severity: Severity


_DURATION = ("duration", 0.0, 0.0)
BOUNDS: dict[str, dict[str, tuple[str, float, float]]] = {
    "pressure": {
        "tolerance": ("%", 1, 90),
        "hysteresis": ("%", 0, 50),
        "lasts": _DURATION,
        "learn_every": _DURATION,
        "learn_from": ("samples", 2, 1000),
        "learn_window": ("samples", 2, 1000),
        "learn_anew": _DURATION,
    },
    "tank": {
        "low": ("%", 0, 100),
        "high": ("%", 0, 100),
        "hysteresis": ("%", 0, 20),
        "lasts": _DURATION,
    },
    "flood": {"lasts": _DURATION},
    "intrusion": {"within": _DURATION},
    "uv": {"flow": ("m³/h", 0, 10_000), "lasts": _DURATION},
    "cycling": {"starts": ("1/h", 1, 1000), "hysteresis": ("%", 0, 50)},
}
"""Section → number → unit, least, most."""
