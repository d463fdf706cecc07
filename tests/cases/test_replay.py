"""Every golden case that a file can tell, by ``zhiwei replay``.

A replay has one time for each row: ``arrived`` is ``ts``. Time that passes without rows is a row without
channels, of an entity of its own.
"""

from pathlib import Path

import msgspec
import pytest

from tests.cases.case import DEVICE, FOLDERS, Case, load
from tests.cases.comparison import compared
from zhiwei.recording import Entity, Map
from zhiwei.types import Finding
from zhiwei.wiring.replay import replay

BUFFERED = "its point is that rows arrive later than they were, and a file has one time for each row"
BY_BED_ALONE = {
    "elevator/E9": BUFFERED,
    "elevator/E9_open": BUFFERED,
    "elderly/h13_replayed_buffer": BUFFERED,
    "elderly/h5_meter_offline": BUFFERED,
    "elderly/h6_daily_upload": BUFFERED,
}
"""Cases that a replay cannot tell, and why; the embedded bed can."""

WATCH = "watch"
"""The entity whose rows say that time has passed."""


def place(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


BY_REPLAY = [folder for folder in FOLDERS if place(folder) not in BY_BED_ALONE]


def recording(case: Case) -> bytes:
    """The case as native JSON lines."""
    lines = [
        {"ts": item["tick"], "entity": WATCH, "device": WATCH}
        if "tick" in item
        else {"entity": case.entity, "device": DEVICE, **item}
        for item in case.items
    ]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


@pytest.mark.parametrize("folder", BY_REPLAY, ids=place)
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
    reached, expected = compared([f for f in found if f.entity != WATCH], case.expected, case.entity)
    assert reached == expected


def test_the_list_of_cases_that_no_replay_can_tell_is_exact() -> None:
    buffered = {
        place(folder)
        for folder in FOLDERS
        if any(row.get("arrived", row["ts"]) != row["ts"] for row in load(folder).rows)
    }
    assert buffered == set(BY_BED_ALONE)
