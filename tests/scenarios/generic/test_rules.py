import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios.generic import SCENARIO
from zhiwei.clock import to_datetime
from zhiwei.contracts import Claim
from zhiwei.types import Flag, Observation, Phase

STATION_B = Path(__file__).parents[2] / "models/vectors/canary_station_b.csv.gz"
MINUTE = 60_000_000
USUAL = [[1.0, 7.0], [1.1, 7.1], [0.9, 7.2], [1.2, 7.0], [1.0, 7.1]]
WILD = [9.0, 7.1]


def using(shipped: str, **names: str) -> str:
    """The shipped policy with another detector or discriminator."""
    before = {"detector": "robust_z", "discriminator": "binomial"}
    for part, name in names.items():
        assert shipped.count(f'name = "{before[part]}"') == 1
        shipped = shipped.replace(f'name = "{before[part]}"', f'name = "{name}"')
    return shipped


def warm(station: Any, rows: int = 40) -> None:
    for k in range(rows):
        assert station.step([USUAL[k % 5]] * station.entities) == []


def shapes(station: Any) -> list[tuple[int, Phase, str]]:
    return [(step, claim.phase, claim.evidence.note) for step, claim in station.claims]


def test_the_golden_event_is_raised_and_timed_out_as_published(station: Any, shipped: str) -> None:
    columns = {
        "free_chlorine": "B_CL2_VAL", "ph": "B_PH_VAL", "toc": "B_TOC_VAL", "turbidity": "B_TURB_VAL",
    }  # fmt: skip
    with gzip.open(STATION_B, "rt", encoding="utf-8") as file:
        rows = [
            [float(row[c]) if row[c] else np.nan for c in columns.values()] for row in csv.DictReader(file)
        ][:1008]
    text = using(shipped, detector="mvnn").replace("default = 0.01", "free_chlorine = 0.0035, default = 0.01")
    run = station(text, tuple(columns))
    for row in np.array(rows, np.float32):
        run.step(row[None, :])
    assert shapes(run) == [(383, Phase.RAISED, ""), (394, Phase.CLEARED, "timeout")]
    raised, cleared = (claim for _, claim in run.claims)
    assert (raised.kind, raised.rule) == ("generic.event", "event")
    assert raised.at == raised.onset == cleared.onset == 383 * MINUTE
    assert raised.evidence.start == cleared.evidence.start == to_datetime(380 * MINUTE)
    assert raised.evidence.observations == (
        Observation(name="free_chlorine", observed=0.01, expected=0.52),
        Observation(name="ph", observed=7.27, expected=7.47),
    )
    assert (cleared.at, cleared.through, cleared.evidence.end) == (
        394 * MINUTE, True, to_datetime(394 * MINUTE),
    )  # fmt: skip
    assert (raised.evidence.samples, cleared.evidence.samples) == (4, 15)
    scores = np.concatenate(run.scores)
    assert np.isnan(scores[:144]).all()
    assert np.count_nonzero(scores >= 0.5) == 17 + 12


def test_the_shipped_policy_raises_at_the_fourth_outlier_and_clears_when_values_return(
    station: Any, shipped: str
) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    for _ in range(5):
        run.step([WILD])
    for k in range(6):
        run.step([USUAL[k % 5]])
    assert shapes(run) == [(43, Phase.RAISED, ""), (47, Phase.CLEARED, "returned")]
    raised, cleared = (claim for _, claim in run.claims)
    assert [(o.name, o.observed, o.expected) for o in raised.evidence.observations] == [("flow", 9.0, 1.0)]
    assert (raised.evidence.start, raised.evidence.end) == (
        to_datetime(40 * MINUTE),
        to_datetime(43 * MINUTE),
    )
    assert (cleared.at, cleared.evidence.end) == (47 * MINUTE, to_datetime(46 * MINUTE))
    assert not cleared.through
    assert cleared.score >= raised.score >= 0.5


def test_a_lasting_change_times_out_once_and_is_usual_from_then_on(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    for k in range(100):
        flow, ph = USUAL[k % 5]
        run.step([[flow + 8.0, ph]])
    assert shapes(run) == [(43, Phase.RAISED, ""), (54, Phase.CLEARED, "timeout")]


def test_one_spike_is_no_event(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    run.step([WILD])
    warm(run, 20)
    assert run.claims == []
    assert run.scores[40][0] >= 0.5 > run.scores[41][0]


def test_a_run_begins_anew_after_more_usual_rows_than_allowed(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    pattern = "O...OO..OO"
    for letter in pattern:
        run.step([WILD if letter == "O" else USUAL[0]])
    ((step, raised),) = run.claims
    assert step == 40 + 9
    assert raised.evidence.start == to_datetime(44 * MINUTE)
    assert raised.evidence.samples == 4


def test_rows_of_doubtful_quality_are_neither_judged_nor_learned(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    before = {name: array.copy() for name, array in run.state.arrays.items()}
    for flag in (Flag.CALIBRATION, Flag.MAINTENANCE, Flag.FAULT, Flag.LATE):
        run.step([WILD], flags=int(flag))
    assert all(
        np.array_equal(before[name], array, equal_nan=True) for name, array in run.state.arrays.items()
    )
    assert np.isnan(run.scores[-4:]).all()
    run.step([WILD], flags=int(Flag.OVER_RANGE))
    assert run.scores[-1][0] >= 0.5


def test_rows_without_values_keep_an_event_open(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    for _ in range(4):
        run.step([WILD])
    for _ in range(50):
        run.step([[np.nan, np.nan]])
    assert shapes(run) == [(43, Phase.RAISED, "")]


def test_channels_left_out_are_not_looked_at(station: Any, shipped: str) -> None:
    text = shipped.replace("left_out_channels = { value = []", 'left_out_channels = { value = ["flow"]')
    run = station(text, ("flow", "ph"))
    warm(run)
    for _ in range(20):
        run.step([WILD])
    assert run.claims == []
    assert all(f.channels == ("ph",) for f in run.rules.fields if "channel" in f.axes)


def test_entities_do_not_know_each_other(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"), 3)
    warm(run)
    for _ in range(6):
        run.step([USUAL[0], WILD, USUAL[1]])
    assert [(step, claim.entity) for step, claim in run.claims] == [(43, 1)]


def test_hold_raises_after_its_rows_and_clears_after_its_rows(station: Any, shipped: str) -> None:
    run = station(using(shipped, discriminator="hold"), ("flow", "ph"))
    warm(run)
    for letter in "OOO.O....":
        run.step([WILD if letter == "O" else USUAL[0]])
    assert shapes(run) == [(42, Phase.RAISED, ""), (47, Phase.CLEARED, "returned")]


def test_an_event_that_begins_and_times_out_on_one_row_is_raised_and_cleared(
    station: Any, shipped: str
) -> None:
    text = shipped.replace('value = 12, unit = "event rows"', 'value = 1, unit = "event rows"')
    run = station(text, ("flow", "ph"))
    warm(run)
    for _ in range(4):
        run.step([WILD])
    assert shapes(run) == [(43, Phase.RAISED, ""), (43, Phase.CLEARED, "timeout")]
    assert run.claims[1][1].through


@pytest.mark.parametrize("changed", [{"discriminator": "hold"}, {"detector": "mvnn"}])
def test_a_new_policy_leaves_no_event_open_for_ever(
    station: Any, shipped: str, changed: dict[str, str]
) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    for _ in range(4):
        run.step([WILD])
    other = run.under(using(shipped, **changed))
    for k in range(160):
        other.step([USUAL[k % 5]])
    assert [claim.phase for _, claim in other.claims] == [Phase.CLEARED]


def test_a_new_discriminator_does_not_raise_again_what_is_open(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    for _ in range(4):
        run.step([WILD])
    at_once = using(shipped, discriminator="hold").replace("rows       = { value = 3", "rows = { value = 1")
    other = run.under(at_once)
    for letter in "OOO....":
        other.step([WILD if letter == "O" else USUAL[0]])
    assert shapes(other) == [(49, Phase.CLEARED, "returned")]
    assert other.claims[0][1].onset == 43 * MINUTE


def test_cleared_never_comes_without_raised(station: Any, shipped: str) -> None:
    rng = np.random.default_rng(3)
    run = station(shipped, ("flow", "ph"), 4)
    level = np.zeros((4, 1))
    for _ in range(600):
        level = np.where(rng.random((4, 1)) < 0.03, rng.normal(0, 20, (4, 1)), level)
        run.step(np.round(rng.normal(7, 0.2, (4, 2)) + level, 2))
    for entity in range(4):
        phases = [claim.phase for _, claim in run.claims if claim.entity == entity]
        assert phases[::2] == [Phase.RAISED] * len(phases[::2])
        assert phases[1::2] == [Phase.CLEARED] * len(phases[1::2])
        assert len(phases) > 4


def test_the_isolation_forest_finds_what_departs_in_all_channels(station: Any, shipped: str) -> None:
    text = using(shipped, detector="isolation_forest").replace(
        "trees    = { value = 100", "trees = { value = 25"
    )
    run = station(text, ("flow", "ph"))
    rng = np.random.default_rng(0)
    for _ in range(260):
        run.step(rng.normal(7, 0.2, (1, 2)))
    for _ in range(6):
        run.step([[20.0, 20.0]])
    ((_, raised),) = run.claims
    assert {o.name for o in raised.evidence.observations} <= {"flow", "ph"}
    assert raised.evidence.observations


def test_a_policy_of_another_scenario_is_refused() -> None:
    with pytest.raises(TypeError, match="not a policy of generic"):
        SCENARIO.rules(object(), ("ph",), {}, [])  # type: ignore[arg-type]


def test_claims_are_frozen_values(station: Any, shipped: str) -> None:
    run = station(shipped, ("flow", "ph"))
    warm(run)
    for _ in range(4):
        run.step([WILD])
    (claim,) = (claim for _, claim in run.claims)
    assert isinstance(claim, Claim)
    assert 0.0 <= claim.score <= 1.0
    assert type(claim.at) is int
    assert type(claim.score) is float
