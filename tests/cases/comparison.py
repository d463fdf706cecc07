"""What was found beside what a case expects: cut down to what the expectation speaks of."""

from datetime import datetime
from typing import Any

import msgspec

from zhiwei.types import Finding


def compared(
    found: list[Finding], expected: list[dict[str, Any]], entity: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Both, to be asserted equal: every finding has its line, and every line its finding.

    entity: of lines that name none.
    """
    reached = _by_entity([_plain(finding) for finding in found], entity)
    wanted = _by_entity(expected, entity)
    ids: dict[str, str] = {}
    for one, line in zip(reached, wanted, strict=False):
        one["finding"] = next((label for label, id in ids.items() if id == one["id"]), None)
        if one["finding"] is None and (label := line.get("finding")) not in ids:
            ids[str(label)], one["finding"] = one["id"], label
    short = [{key: str(one[key]) for key in ("entity", "kind", "phase", "onset", "at")} for one in reached]
    cut = [_reduced(f, e) for f, e in zip(reached, wanted, strict=False)]
    return cut + short[len(wanted) :], wanted


def _reduced(found: Any, expected: Any) -> Any:
    """What was found, cut down to what the expectation speaks of."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: _reduced(found.get(key), value) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list | tuple) and len(expected) == len(found):
        return [_reduced(f, e) for f, e in zip(found, expected, strict=True)]
    if isinstance(found, datetime) and isinstance(expected, str):
        return expected if found == datetime.fromisoformat(expected) else found.isoformat()
    return found


def _plain(finding: Finding) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(finding, builtin_types=(datetime,))
    observed: dict[str, Any] = {}
    for one in finding.evidence.observations:
        observed.setdefault(one.name, one.observed)
    return {**said, "observed": observed}


def _by_entity(found: list[dict[str, Any]], entity: str) -> list[dict[str, Any]]:
    """In order for each entity; the order between entities follows the cuts."""
    return sorted(found, key=lambda one: str(one.get("entity", entity)))
