"""Rules in plain Python, a reading at a time, as tutorials write them: what the peer judges.

They are fewer and simpler than ours: no unknowns, no gaps, no sensor faults, no service modes, no timers. So
what the peer costs with them is less than it would with all that ours do.
"""

from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[str, Mapping[str, Any]], str | None]
"""From entity and reading to the kind of a finding, or None."""

ENTRAPMENT_MS = 45_000
DOOR_OPEN_MS = 60_000
RUN_MS = 120_000
"""So long a condition must hold before it is told."""
TURBIDITY_MOST_NTU = 1.0
_ROWS = 3


def turbidity() -> Rule:
    """Three readings in a row above the limit, told once."""
    bad: dict[str, int] = {}

    def judge(station: str, reading: Mapping[str, Any]) -> str | None:
        bad[station] = bad.get(station, 0) + 1 if reading["turbidity"] > TURBIDITY_MOST_NTU else 0
        return "water.turbidity_high" if bad[station] == _ROWS else None

    return judge


def lift() -> Rule:
    """Entrapment, alarm button, moving with the door open, doors held open, and a run that does not end."""
    lifts: dict[str, dict[str, Any]] = {}

    def judge(name: str, reading: Mapping[str, Any]) -> str | None:
        state = lifts.setdefault(name, {"since": {}, "told": set(), "last": {}})
        state["last"].update(reading)
        now, at = state["last"], reading["ts"]
        closed, in_zone = now.get("door_closed"), now.get("in_door_zone")
        conditions = {
            "elevator.entrapment": (
                not now.get("moving") and not in_zone and bool(closed) and bool(now.get("person")),
                ENTRAPMENT_MS,
            ),
            "elevator.alarm_button": (bool(now.get("alarm_button")), 0),
            "elevator.door_open_moving": (bool(now.get("moving")) and closed is False, 0),
            "elevator.door_held": (closed is False and not now.get("moving"), DOOR_OPEN_MS),
            "elevator.run_timeout": (bool(now.get("moving")), RUN_MS),
        }
        found = None
        for kind, (holds, hold_ms) in conditions.items():
            if not holds:
                state["since"].pop(kind, None)
                state["told"].discard(kind)
            elif at - state["since"].setdefault(kind, at) >= hold_ms and kind not in state["told"]:
                state["told"].add(kind)
                found = kind
        return found

    return judge


RULES: Mapping[str, Callable[[], Rule]] = {"water": turbidity, "elevator": lift}
