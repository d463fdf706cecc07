"""Probe faults: found where they are, and silent where water or rounding only look like them."""

from typing import Any

import numpy as np

MINUTE = 60_000_000
START = 1_772_409_600_000_000


def faults(one: Any) -> list[tuple[int, str, str]]:
    """(row, rule, phase)"""
    return [
        (row, claim.rule, str(claim.phase))
        for row, claim in zip(one.claimed_at, one.claims, strict=True)
        if claim.kind == "water.sensor_fault"
    ]


def moving(rng: np.random.Generator) -> dict[str, float]:
    return {"conductivity": float(410 + rng.standard_normal()), "turbidity": float(rng.uniform(0.3, 0.34))}


def test_a_station_that_repeats_itself_altogether_has_no_stuck_channel(station: Any) -> None:
    one = station(("free_chlorine", "ph"))
    for row in range(60):
        one.row(START + row * MINUTE, {"free_chlorine": 0.3, "ph": 7.3})
    assert faults(one) == []


def test_a_channel_at_the_bottom_of_its_range_is_not_stuck(station: Any) -> None:
    rng = np.random.default_rng(0)
    one = station(("free_chlorine", "conductivity", "turbidity"), attributes={"disinfectant": "total"})
    for row in range(100):
        one.row(START + row * MINUTE, {"free_chlorine": 0.0, **moving(rng)})
    assert faults(one) == []


def test_rounding_that_repeats_all_day_is_not_stuck_but_a_day_of_one_value_is(station: Any) -> None:
    rng = np.random.default_rng(1)
    one = station(("ph", "conductivity", "turbidity"))
    for row in range(3000):  # a slow wave in steps of 0.01: runs of 15 to 100 samples
        ph = 7.3 if row >= 2200 else round(7.3 + 0.06 * np.sin(row / 150) + 0.001 * rng.standard_normal(), 2)
        one.row(START + row * MINUTE, {"ph": ph, **moving(rng)})
    found = faults(one)
    assert [(rule, phase) for _, rule, phase in found] == [("fault.stuck.ph", "raised")]
    assert found[0][0] > 2200


def test_a_fault_said_once_of_calm_water_is_not_said_again(station: Any) -> None:
    rng = np.random.default_rng(2)
    one = station(("free_chlorine", "conductivity", "turbidity"))
    for row in range(2000):  # each value for 20 minutes
        one.row(START + row * MINUTE, {"free_chlorine": 0.3 + 0.01 * (row // 20 % 3), **moving(rng)})
    assert len([found for found in faults(one) if found[2] == "raised"]) <= 1


def test_a_channel_over_its_range_is_not_stuck(station: Any) -> None:
    rng = np.random.default_rng(2)
    one = station(("turbidity", "conductivity"))
    for row in range(40):
        values = moving(rng) | ({"turbidity": 20.0} if row >= 10 else {})
        one.row(START + row * MINUTE, values, "T" if row >= 10 else "")
    assert one.kinds() == [("limit.high.turbidity", "raised")]


def test_a_spike_of_ten_times_is_no_scale_change(station: Any) -> None:
    rng = np.random.default_rng(3)
    one = station(("conductivity", "turbidity"))
    for row in range(60):
        values = moving(rng)
        if row == 30:
            values["conductivity"] /= 10
        one.row(START + row * MINUTE, values)
    assert one.claims == []


def test_a_step_of_two_channels_is_no_scale_change(station: Any) -> None:
    rng = np.random.default_rng(4)
    one = station(("conductivity", "temperature", "turbidity"))
    for row in range(60):
        values = {**moving(rng), "temperature": 15 + rng.uniform(0, 0.1)}
        if row >= 30:
            values["conductivity"] /= 10
            values["temperature"] += 6
        one.row(START + row * MINUTE, values)
    assert faults(one) == []


def test_a_step_of_a_noisy_channel_is_no_scale_change(station: Any) -> None:
    rng = np.random.default_rng(4)
    one = station(("turbidity", "conductivity"))
    for row in range(60):
        turbidity = 0.2 + row % 5 / 20 if row < 30 else 3.0 + row % 3 / 100
        one.row(START + row * MINUTE, {**moving(rng), "turbidity": turbidity})
    assert faults(one) == []


def test_a_factor_of_a_thousand_out_of_range_is_both(station: Any) -> None:
    rng = np.random.default_rng(5)
    one = station(("free_chlorine", "conductivity", "turbidity"))
    for row in range(60):
        chlorine = rng.uniform(0.398, 0.402) * (1000 if row >= 30 else 1)
        one.row(START + row * MINUTE, {"free_chlorine": chlorine, **moving(rng)})
    assert faults(one) == [
        (31, "fault.scale.free_chlorine", "raised"),
        (32, "fault.range.free_chlorine", "raised"),
    ]
    assert [c.kind for c in one.claims if c.kind != "water.sensor_fault"] == []


def test_an_outage_of_the_station_makes_no_channel_missing(station: Any) -> None:
    rng = np.random.default_rng(6)
    one = station(("ph", "conductivity", "turbidity"))
    for row in range(40):
        minute = row if row < 20 else row + 300
        values = {**moving(rng), "ph": None if row in (20, 21) else rng.uniform(7.2, 7.4)}
        one.row(START + minute * MINUTE, values)
    assert faults(one) == []


def test_a_channel_sent_only_when_it_changes_is_never_missing(station: Any) -> None:
    rng = np.random.default_rng(7)
    one = station(("ph", "conductivity", "turbidity"))
    for row in range(300):
        ph = rng.uniform(7.2, 7.4) if rng.random() < 0.2 else None
        one.row(START + row * MINUTE, {**moving(rng), "ph": ph})
    assert faults(one) == []


def test_a_channel_with_a_slower_cadence_of_its_own_is_not_missing_between(station: Any) -> None:
    rng = np.random.default_rng(8)
    one = station(("toc", "conductivity", "turbidity"))
    for row in range(300):
        toc = rng.uniform(1.9, 2.1) if row % 15 == 0 and row < 150 else None
        one.row(START + row * MINUTE, {**moving(rng), "toc": toc})
    assert faults(one) == [(173, "fault.missing.toc", "raised")]
