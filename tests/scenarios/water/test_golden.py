"""Station B: the reference's events under the reference's settings; the default finds its event, quietly."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zhiwei.clock import to_us
from zhiwei.types import Phase

FOUR = ("free_chlorine", "ph", "turbidity", "toc")
SIX = (*FOUR, "conductivity", "temperature")
GOLDEN = Path(__file__).parents[2] / "models/vectors/canary_golden.json"


def played(station: Any, rows: Any, channels: tuple[str, ...], text: str | None = None) -> Any:
    """Row by row; a row without any value is a heartbeat and no row."""
    played = station(channels, text)
    for at, values in rows:
        if any(values[name] is not None for name in channels):
            played.row(at, values)
    return played


def alarm_rows(played: Any) -> list[int]:
    """Rows of water.event, by the meaning of alarm in scores.csv."""
    rows, since = [], None
    for row, claim in zip(played.claimed_at, played.claims, strict=True):
        if claim.kind != "water.event":
            continue
        if claim.phase is Phase.RAISED:
            since = row
        else:
            assert since is not None
            rows += range(since, row + claim.through)
            since = None
    return rows


@pytest.fixture(scope="module")
def default_run(station: Any, station_b: Any) -> Any:
    """The default policy over all rows and six columns."""
    return played(station, station_b, SIX)


def test_reference_settings_give_exactly_the_published_event(
    station: Any, station_b: Any, canary_text: str
) -> None:
    event = json.loads(GOLDEN.read_text())["golden"]["event"]
    found = played(station, station_b[:1008], FOUR, canary_text)
    assert [(c.kind, str(c.phase), c.evidence.note) for c in found.claims] == [
        ("water.event", "raised", ""),
        ("water.event", "cleared", "timeout"),
    ]
    assert alarm_rows(found) == list(
        range(event["first_step"], event["first_step"] + event["duration_steps"])
    )
    raised, cleared = found.claims
    start = to_us(datetime.strptime(event["start"], "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC))
    assert (raised.onset, raised.at, cleared.onset) == (start, start, start)
    assert raised.evidence.start == datetime(2006, 2, 26, 6, 40, tzinfo=UTC)
    contributing = [name for name, steps in event["contributions"].items() if steps]
    assert sorted(contributing) == ["CL2", "PH"]
    assert [o.name for o in raised.evidence.observations] == ["free_chlorine", "ph"]


def test_reference_settings_give_95_events_in_all_100_days(
    station: Any, station_b: Any, canary_text: str
) -> None:
    found = played(station, station_b, FOUR, canary_text)
    assert Counter(str(c.phase) for c in found.claims) == {"raised": 95, "cleared": 95}


def test_scores_are_missing_in_warm_up_only(station: Any, station_b: Any, canary_text: str) -> None:
    scores = np.array(played(station, station_b[:400], FOUR, canary_text).scores)
    assert np.isnan(scores[:144]).all()
    assert ((scores[144:] >= 0) & (scores[144:] <= 1)).all()


def test_default_finds_the_event_within_its_hours_and_alarms_on_few_rows(
    station: Any, station_b: Any
) -> None:
    rows = alarm_rows(played(station, station_b[:1008], FOUR))
    assert 383 <= rows[0] <= 395
    assert len(rows) <= 60


def test_default_makes_less_than_one_event_a_day_on_a_real_station(default_run: Any) -> None:
    raised = [c for c in default_run.claims if c.kind == "water.event" and c.phase is Phase.RAISED]
    assert len(raised) < 100


def test_probe_faults_of_a_real_station_are_the_flat_lines_that_it_has(default_run: Any) -> None:
    """Chlorine rests 26 days at two values, TOC 27 days at one; on 19 and 24 May the station's logger
    repeats itself for half a day. Nothing else, least of all rounded values that repeat all day long
    (conductivity: 48 runs of 12 and more)."""
    raised = [c for c in default_run.claims if c.kind == "water.sensor_fault" and c.phase is Phase.RAISED]
    found = Counter(c.rule for c in raised)
    assert found["fault.stuck.free_chlorine"] == 1
    assert found["fault.stuck.toc"] == 1
    assert set(found) <= {f"fault.stuck.{name}" for name in SIX} - {"fault.stuck.conductivity"}
    assert sum(found.values()) <= 8


def test_limits_of_a_real_station_do_not_chatter(default_run: Any) -> None:
    raised = Counter(
        c.rule for c in default_run.claims if ".limit" in f".{c.rule}" and c.phase is Phase.RAISED
    )
    assert raised == {
        "limit.high.free_chlorine": 2,
        "limit.low.free_chlorine": 1,
        "limit.prealarm.free_chlorine": 1,
    }
