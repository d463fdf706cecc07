"""Every worked example: the findings that are expected, in order, and no other."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

CASES = sorted((Path(__file__).parents[2] / "cases/elderly").iterdir())


def reduced(found: Any, expected: Any) -> Any:
    """What was found, cut down to what the expectation speaks of."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: reduced(found.get(key), value) for key, value in expected.items()}
    if isinstance(found, datetime):
        return found if found != datetime.fromisoformat(expected) else expected
    return found


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.parametrize("cut", [1, 1000], ids=["a frame a row", "frames that end at ticks"])
def test_case_gives_the_expected_findings_and_no_other(folder: Path, cut: int, load_case: Any) -> None:
    case = load_case(folder)
    found = [msgspec.to_builtins(f, builtin_types=(datetime,)) for f in case.run(cut)]
    reached = [reduced(f, e) for f, e in zip(found, case.expected, strict=False)]
    assert reached + found[len(case.expected) :] == case.expected


def test_there_is_a_case_for_each_worked_example() -> None:
    assert {folder.name.split("_")[0] for folder in CASES} == {f"h{number}" for number in range(1, 15)}


def test_the_sample_of_the_readme_is_that_of_a_run(make_home: Any) -> None:
    readme = (Path(__file__).parents[3] / "scenarios/elderly/README.md").read_text(encoding="utf-8")
    given, told = ([msgspec.json.decode(line) for line in part.splitlines()] for part in blocks(readme))
    home = make_home()
    home.feed(given, cut=100)
    found = [msgspec.to_builtins(f, builtin_types=(datetime,)) for f in home.findings]
    assert [subset(f, e) for f, e in zip(found, told, strict=True)] == told


def blocks(text: str) -> list[str]:
    """The fenced JSON of a document."""
    return [part.split("```")[0].strip() for part in text.split("```json")[1:]]


def subset(found: Any, told: Any) -> Any:
    """Like ``reduced``, and a list is compared member by member."""
    if isinstance(told, dict):
        return {key: subset(found.get(key), value) for key, value in told.items()}
    if isinstance(told, list):
        return [subset(f, t) for f, t in zip(found, told, strict=True)]
    return reduced(found, told)
