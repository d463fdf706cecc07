"""Where frames are cut, and where a restart falls, changes no finding of the pump room."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.water import SCENARIO
from streams.engine.engine import Engine, attributes_of
from streams.engine.snapshot import copy_head, copy_rows, restore
from zhiwei import frames
from zhiwei.clock import MICROS
from zhiwei.contracts import LogRecord
from zhiwei.types import Control, Finding

START = 1_772_408_000 * MICROS
VALUES: dict[str, Sequence[Any]] = {
    "turbidity": (0.3, 0.31, 0.32, 2.0, 2.1),
    "free_chlorine": (0.4, 0.41, 0.42, 0.01),
    "flow": (0.0, 8.0, 9.0),
    "outlet_pressure": (0.42, 0.43, 0.2, 0.21, 0.6),
    "tank_level": (1.9, 2.0, 0.1, 2.95),
    "pump_starts": (4.0, 12.0),
    "hatch_open": (False, True),
    "door_open": (False, False, True),
    "flood": (False, True),
    "uv_on": (False, False, True),
    "work_order": (None, None, False, True),
    "operator_state": (None, "source switch", "normal"),
}
ATTRIBUTES = {
    "a": {"set_point": "0.42", "tank_height": "3", "pump_limit": "6"},
    "b": {"tank_height": "3"},
}


@cache
def log_of(seed: int, rows: int) -> tuple[tuple[dict[str, Any], ...], bytes]:
    draw = np.random.default_rng(seed)
    found, at = [], START
    for _ in range(rows):
        at += int(draw.choice([0, 5, 30, 60, 600])) * MICROS
        row = {name: said[draw.integers(len(said))] for name, said in VALUES.items() if draw.random() < 0.6}
        # States last, or nothing would ever be held: a row repeats most of the one before it.
        if found and draw.random() < 0.7:
            row = {**found[-1]["values"], **{name: row[name] for name in list(row)[:1]}}
        found.append({"entity": str(draw.choice(["a", "b"])), "at": at, "values": row})
    registry = Control(kind="registry", version="1", body=attributes_of(ATTRIBUTES))
    return tuple(found), msgspec.json.encode(registry)


def frame(rows: Sequence[dict[str, Any]]) -> bytes:
    columns = {}
    for name in VALUES:
        channel = SCENARIO.schema.channel(name)
        assert channel is not None
        columns[name] = frames.arrow_column(channel, [row["values"].get(name) for row in rows])
    times = [row["at"] for row in rows]
    return frames.encode(
        SCENARIO.schema,
        entity=[row["entity"] for row in rows],
        device=["d"] * len(rows),
        ts=times,
        arrived=times,
        flags=[0] * len(rows),
        channels=columns,
        clock="live",
    )


def engine() -> Engine:
    return Engine(SCENARIO, site="s", topic="readings.water", partition=0)


def told(findings: list[Finding]) -> list[tuple[Any, ...]]:
    said = [(f.entity, f.id, f.rev, f.kind, f.phase, f.onset, f.at, f.evidence) for f in findings]
    return sorted(said, key=lambda one: str(one[0]))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), cuts=st.sets(st.integers(1, 79), max_size=6))
def test_cuts_and_restarts_change_no_finding(seed: int, cuts: set[int]) -> None:
    rows, registry = log_of(seed, 80)
    whole = engine().apply([LogRecord(0, registry), LogRecord(1, frame(rows))])
    assert (whole.set_aside, whole.unreadable) == ([], [])
    edges = [0, *sorted(cuts), len(rows)]
    pieces = [frame(rows[a:b]) for a, b in pairwise(edges)]
    one, found = engine(), []
    for offset, value in enumerate([registry, *pieces]):
        found += one.apply([LogRecord(offset, value)]).findings
        one = restore(
            SCENARIO,
            copy_head(one),
            [copy_rows(one, everything=True)],
            site="s",
            topic="readings.water",
            partition=0,
        )
    assert told(found) == told(whole.findings)


@pytest.fixture(scope="module")
def some() -> set[str]:
    found: set[str] = set()
    for seed in range(8):
        rows, registry = log_of(seed, 80)
        outcome = engine().apply([LogRecord(0, registry), LogRecord(1, frame(rows))])
        found |= {finding.kind for finding in outcome.findings}
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "pressure_low",
        "pressure_high",
        "tank_low",
        "tank_overflow",
        "flood",
        "hatch_open",
        "uv_off",
        "pump_cycling",
        "intrusion_with_quality_step",
    ],
)
def test_such_logs_have_every_kind_of_the_room(some: set[str], kind: str) -> None:
    assert f"water.{kind}" in some
