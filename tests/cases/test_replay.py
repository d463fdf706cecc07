"""Every golden case by ``zhiwei replay``, which takes rows onto the ordinary and the backlog lane.

Time that passes without rows is a row without channels, of an entity of its own.
"""

from pathlib import Path

import msgspec
import pytest

from tests.cases.case import DEVICE, FOLDERS, Case, load
from tests.cases.comparison import compared
from zhiwei.recording import Entity, Map
from zhiwei.types import Finding
from zhiwei.wiring.replay import replay

WATCH = "watch"
"""The entity whose rows say that time has passed."""


def place(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def recording(case: Case) -> bytes:
    """The case as native JSON lines."""
    lines = [
        {"ts": item["tick"], "entity": WATCH, "device": WATCH}
        if "tick" in item
        else {"entity": case.entity, "device": DEVICE, **item}
        for item in case.items
    ]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


@pytest.mark.parametrize("folder", FOLDERS, ids=place)
def test_a_case_gives_its_findings_by_replay(folder: Path, tmp_path: Path) -> None:
    case = load(folder)
    file, policy, out = tmp_path / "case.jsonl", tmp_path / "policy.toml", tmp_path / "findings.jsonl"
    file.write_bytes(recording(case))
    policy.write_text(case.policy.text, encoding="utf-8")
    summary = replay(
        file,
        scenario=case.scenario.name,
        table=Map(entity=Entity(constant=case.entity), entity_attributes=dict(case.attributes)),
        policy=policy if case.own_policy else None,
        out=out,
    )
    assert (summary.refused, summary.set_aside) == ([], [])
    assert summary.rows == len(case.items)
    found = [msgspec.json.decode(line, type=Finding) for line in out.read_bytes().splitlines()]
    for late, lines in (
        (False, case.expected),
        (True, [line for line in case.beside if line.get("late")]),  # the rest is of the urgent lane
    ):
        own = [one for one in found if one.entity != WATCH and one.late is late]
        reached, expected = compared(own, lines, case.entity)
        assert reached == expected
