"""What a case must come to where ingest puts its rows onto lanes: as expected, and what the lanes add."""

from typing import Any

import msgspec

from tests.cases.case import Case
from tests.cases.comparison import compared
from zhiwei.lanes import Lane
from zhiwei.types import Finding

WATCH = "watch"
"""The entity whose rows without channels say that time has passed: a case's ticks."""

Lines = list[dict[str, Any]]


def added(finding: Finding) -> bool:
    """Whether a lane adds it: a call of the urgent lane, or what pages late."""
    return finding.late or finding.coordinates.topic.startswith(f"{Lane.URGENT}.")


def differing(case: Case, found: list[Finding], prefix: str = "") -> dict[str, tuple[Lines, Lines]]:
    """What of a case is not as it must be.

    prefix: of the case's entities in ``found``. Life safety has a topic, so an order, of its own; and so
    have old rows, where a case says which lane its rows take.
    """
    own = [
        msgspec.structs.replace(one, entity=one.entity.removeprefix(prefix))
        for one in found
        if one.entity.startswith(prefix) and one.entity != f"{prefix}{WATCH}"
    ]
    safety = case.scenario.life_safety
    said = {}
    for name, lines, part in (
        ("expected", case.expected, [one for one in own if not added(one)]),
        ("beside", case.beside, [one for one in own if added(one)]),
    ):
        reached, wanted = compared(
            sorted(part, key=lambda one: (one.kind in safety, case.split and one.historical)),
            sorted(
                lines,
                key=lambda line: (line["kind"] in safety, case.split and line.get("historical", False)),
            ),
            case.entity,
        )
        if reached != wanted:
            said[f"{case.name}: {name}"] = (reached, wanted)
    return said
