"""Every case folder of plain rows of one station: the findings that are expected, in order, and no other."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zhiwei.clock import to_datetime
from zhiwei.contracts import Claim

FOLDERS = sorted((Path(__file__).parents[2] / "cases/water").iterdir())
ENGINE = re.compile(r'^lanes|^policy_file|^\[policy|"(tick|arrived|entity|device)":', re.MULTILINE)
"""What only the engine can play: tests/cases/test_cases.py does."""


def plain_rows(folder: Path) -> bool:
    texts = (folder / name for name in ("settings.toml", "input.jsonl"))
    return not any(ENGINE.search(text.read_text(encoding="utf-8")) for text in texts)


CASES = [folder for folder in FOLDERS if plain_rows(folder)]


def plain(claim: Claim) -> dict[str, Any]:
    """A claim as a finding has it, times as datetimes."""
    return {
        "kind": claim.kind,
        "rule": claim.rule,
        "phase": str(claim.phase),
        "onset": to_datetime(claim.onset),
        "at": to_datetime(claim.at),
        "severity": str(claim.severity),
        "evidence": msgspec.to_builtins(claim.evidence, builtin_types=(datetime,)),
    }


def reduced(found: Any, expected: Any) -> Any:
    """What was found, cut down to what the expectation speaks of."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: reduced(found.get(key), value) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, tuple) and len(expected) == len(found):
        return [reduced(f, e) for f, e in zip(found, expected, strict=True)]
    if isinstance(found, datetime):
        return found if found != datetime.fromisoformat(expected) else expected
    return found


def test_most_cases_are_of_plain_rows() -> None:
    assert len(CASES) > len(FOLDERS) / 2


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_case_gives_the_expected_findings_and_no_other(folder: Path, load_case: Any) -> None:
    case = load_case(folder)
    found = [plain(claim) for claim in case.run().claims]
    reached = [reduced(f, e) for f, e in zip(found, case.expected, strict=False)]
    assert reached + found[len(case.expected) :] == case.expected
