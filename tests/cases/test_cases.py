"""Every golden case of every scenario, through frames and the engine, cut and interrupted in several ways."""

from pathlib import Path
from typing import Any

import pytest

from streams.engine.engine import Engine
from streams.engine.snapshot import copy_head, copy_rows, restore
from tests.cases.case import FOLDERS, SITE, Case, ReadOnce, load
from tests.cases.comparison import compared
from zhiwei.contracts import LogRecord
from zhiwei.lanes import Lane
from zhiwei.types import Finding


def together(case: Case, lane: Lane) -> list[Finding]:
    return stepped(case.engine(lane=lane), case.records(lane=lane, each=False), at_once=True)


def row_by_row(case: Case, lane: Lane) -> list[Finding]:
    return stepped(case.engine(lane=lane), case.records(lane=lane, each=True), at_once=False)


def frames_of_one_row_at_once(case: Case, lane: Lane) -> list[Finding]:
    return stepped(case.engine(lane=lane), case.records(lane=lane, each=True), at_once=True)


def restarted_after_every_record(case: Case, lane: Lane) -> list[Finding]:
    engine, found = case.engine(lane=lane), []
    scenario: Any = ReadOnce(case.scenario)
    for record in case.records(lane=lane, each=True):
        found += stepped(engine, [record], at_once=True)
        engine = restore(
            scenario,
            copy_head(engine),
            [copy_rows(engine, everything=True)],
            site=SITE,
            topic=case.topic(lane),
            partition=0,
            lane=lane,
        )
    return found


def stepped(engine: Engine, records: list[LogRecord], *, at_once: bool) -> list[Finding]:
    found: list[Finding] = []
    for batch in [records] if at_once else [[record] for record in records]:
        outcome = engine.apply(batch)
        assert (outcome.set_aside, outcome.unreadable) == ([], [])
        found += outcome.findings
    return found


WAYS = (together, row_by_row, frames_of_one_row_at_once, restarted_after_every_record)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_case_gives_its_findings_and_no_other(folder: Path, way: Any) -> None:
    case = load(folder)
    found, expected = compared(
        [one for lane in case.lanes for one in way(case, lane)], case.expected, case.entity
    )
    assert found == expected


def test_the_cases_are_found() -> None:
    assert {folder.parent.name for folder in FOLDERS} >= {"water", "elevator", "elderly"}
