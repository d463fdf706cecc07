"""The lanes on which rows travel, and the topics of the log that they are.

Calls for help do not wait behind readings, and fresh readings do not wait behind old ones (DESIGN.md §3.9).
"""

from enum import StrEnum

from zhiwei.schema import Schema


class Lane(StrEnum):
    """What a row is to the engine."""

    READINGS = "readings"
    """Fresh rows, all of them: the stateful rules see these."""
    URGENT = "urgent"
    """Rows in which a trigger calls for help; they are on READINGS (or BACKLOG) as well."""
    BACKLOG = "backlog"
    """Rows that came later than their channels normally do: recorded and judged, but they page nobody,
    except for calls for help and for what is still open."""


FINDINGS = "findings"
FINDINGS_URGENT = "findings.urgent"
"""Findings of life-safety kinds, with a consumer of their own."""


def lanes_of(schema: Schema) -> tuple[Lane, ...]:
    """The lanes that rows of this schema may take; only one with triggers has an urgent one."""
    triggers = any(channel.trigger for channel in schema.channels)
    return tuple(lane for lane in Lane if lane is not Lane.URGENT or triggers)


def clock_name(lane: Lane, scenario: str, partition: int, clock: str) -> str:
    """A clock as the findings log knows it: each partition of each lane tells its own time."""
    name = f"{scenario}/{partition}/{clock}"
    return name if lane is Lane.READINGS else f"{lane}/{name}"


def moved_clock(name: str, partition: int) -> str:
    """The same clock as another partition of the same lane tells it."""
    *before, _, clock = name.split("/")
    return "/".join((*before, str(partition), clock)) if before else name


def fresh_clock(name: str) -> str:
    """The clock of the fresh rows that goes with one of the backlog's; any other is itself."""
    return name.removeprefix(f"{Lane.BACKLOG}/")


def log_topic(lane: Lane, scenario: str) -> str:
    """The log topic of a scenario's rows on a lane."""
    return f"{lane}.{scenario}"
