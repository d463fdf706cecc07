"""Limits: which apply, when they raise, and when they end."""

from typing import Any

import pytest

from scenarios.water import SCENARIO
from scenarios.water.words import limit_kind

MINUTE = 60_000_000
START = 1_772_409_600_000_000  # 08:00 in Shanghai


def play(station: Any, channel: str, values: list[float], **settings: Any) -> list[tuple[int, str, str]]:
    """(row, rule, phase) of the findings on limits; another channel moves beside."""
    one = station((channel, "flow"), **settings)
    for row, value in enumerate(values):
        one.row(START + row * MINUTE, {channel: value, "flow": 10 + row % 7})
    return [
        (row, claim.rule, str(claim.phase))
        for row, claim in zip(one.claimed_at, one.claims, strict=True)
        if claim.rule.startswith("limit.")
    ]


@pytest.mark.parametrize(
    ("channel", "side", "kind"),
    [
        ("free_chlorine", "low", "water.chlorine_low"),
        ("total_chlorine", "high", "water.chlorine_high"),
        ("chlorine_dioxide", "low", "water.chlorine_dioxide_low"),
        ("turbidity_2", "high", "water.turbidity_high"),
        ("ph", "low", "water.ph_low"),
        ("cod_mn", "high", "water.cod_mn_high"),
        ("ammonia", "high", "water.ammonia_high"),
        ("colour", "high", "water.colour_high"),
        ("total_chlorine", "prealarm", "water.chlorine_prealarm"),
    ],
)
def test_kinds_follow_the_family_of_the_channel(channel: str, side: str, kind: str) -> None:
    assert limit_kind(channel, side) == kind


def test_every_limit_of_the_default_policy_raises_beyond_and_not_at_its_value(station: Any) -> None:
    for limit in SCENARIO.policy(None).sections.limit:
        attributes = {"disinfectant": limit.disinfectant or "free"}
        rule = f"limit.{limit.side}.{limit.channel}"
        step = 0.1 * limit.value * (1 if limit.side == "high" else -1)
        wobble = [limit.value + step * part for part in (0.5, 0.6, 0.55, 0.7, 0.6)]
        raised = [found for _, found, _ in play(station, limit.channel, wobble, attributes=attributes)]
        assert raised.count(rule) == 1, rule
        assert rule not in [
            r for _, r, _ in play(station, limit.channel, [limit.value] * 5, attributes=attributes)
        ]


def test_two_of_five_do_not_raise_and_three_do(station: Any) -> None:
    assert play(station, "turbidity", [0.8, 1.2, 0.8, 1.2, 0.8, 0.8]) == []
    found = play(station, "turbidity", [0.8, 1.2, 0.8, 1.2, 1.2])
    assert found == [(4, "limit.high.turbidity", "raised")]


def test_between_limit_and_hysteresis_it_stays_open(station: Any) -> None:
    found = play(station, "turbidity", [1.2, 1.21, 1.2, *[0.95, 0.96] * 10, 0.9, 0.9, 0.9])
    assert found == [(2, "limit.high.turbidity", "raised"), (25, "limit.high.turbidity", "cleared")]


def test_one_value_beyond_the_hysteresis_starts_the_end_anew(station: Any) -> None:
    found = play(station, "turbidity", [1.2, 1.2, 1.2, 0.8, 0.8, 0.95, 0.8, 0.81, 0.8])
    assert found[-1] == (8, "limit.high.turbidity", "cleared")


def test_samples_from_before_an_outage_do_not_count(station: Any) -> None:
    one = station(("turbidity", "flow"))
    times = [*range(10), 600, 601]
    for row, minute in enumerate(times):
        one.row(START + minute * MINUTE, {"turbidity": 1.5 if row in (8, 9, 10) else 0.5, "flow": row})
    assert [rule for rule, _ in one.kinds() if rule.startswith("limit")] == []


@pytest.mark.parametrize(
    ("disinfectant", "rules"),
    [
        ("free", {"limit.low.free_chlorine", "limit.prealarm.free_chlorine"}),
        ("total", {"limit.low.total_chlorine", "limit.prealarm.total_chlorine"}),
        ("chlorine_dioxide", {"limit.low.chlorine_dioxide", "limit.prealarm.chlorine_dioxide"}),
        ("none", set()),
        ("moonlight", {"limit.low.free_chlorine", "limit.prealarm.free_chlorine"}),
    ],
)
def test_the_disinfectant_decides_which_chlorine_is_judged(
    station: Any, disinfectant: str, rules: set[str]
) -> None:
    channels = ("free_chlorine", "total_chlorine", "chlorine_dioxide")
    one = station((*channels, "flow"), attributes={"disinfectant": disinfectant})
    for row in range(6):
        one.row(START + row * MINUTE, dict.fromkeys(channels, 0.01 + 0.001 * (row % 3)) | {"flow": row})
    assert {rule for rule, _ in one.kinds()} == rules


def test_an_entry_for_one_entity_goes_before_that_for_all(station: Any, default_text: str) -> None:
    own = """
[[limit]]
channel = "turbidity"
side = "high"
value = 0.5
unit = "NTU"
severity = "minor"
source = "CJ 94-2005, piped direct drinking water"
mark = "C"
entities = ["{}"]
"""
    values = [0.7, 0.71, 0.7]
    assert play(station, "turbidity", values, text=default_text + own.format("elsewhere")) == []
    found = play(station, "turbidity", values, text=default_text + own.format("station"))
    assert found == [(2, "limit.high.turbidity", "raised")]


def test_night_is_local_to_the_station(station: Any) -> None:
    # 08:00 in Shanghai is midnight in UTC: there the pre-alarm waits.
    values = [0.08, 0.081, 0.079, 0.08]
    assert play(station, "free_chlorine", values) != []
    assert play(station, "free_chlorine", values, attributes={"zone": "UTC"}) == []
    assert play(station, "free_chlorine", values, attributes={"zone": "Nowhere"}) != []


def test_a_limit_that_a_new_policy_withdraws_is_closed(station: Any, default_text: str) -> None:
    one = station(("turbidity", "flow"))
    for row in range(3):
        one.row(START + row * MINUTE, {"turbidity": 1.5, "flow": row})
    start = default_text.index('[[limit]]\nchannel = "turbidity"')
    without = default_text[:start] + default_text[default_text.index("[[limit]]", start + 1) :]
    one.rules = SCENARIO.rules(SCENARIO.policy(without), one.channels, {}, ["station"])
    one.row(START + 3 * MINUTE, {"turbidity": 1.5, "flow": 3})
    assert one.kinds() == [("limit.high.turbidity", "raised"), ("limit.high.turbidity", "cleared")]
    assert one.claims[-1].evidence.note == "withdrawn"


def test_in_a_row_with_flag_t_only_the_value_beyond_is_censored(station: Any) -> None:
    one = station(("turbidity", "ph", "free_chlorine", "flow"))
    for row in range(4):
        values = {"turbidity": 25.0, "ph": 7.3 + 0.01 * row, "free_chlorine": 0.03 + 0.001 * row, "flow": row}
        one.row(START + row * MINUTE, values, "T")
    observed = {claim.rule: claim.evidence.observations[0].observed for claim in one.claims}
    assert observed == {
        "limit.high.turbidity": "> range",
        "limit.low.free_chlorine": 0.03,
        "limit.prealarm.free_chlorine": 0.03,
    }


def test_a_lone_value_with_flag_t_is_over_range_whatever_it_says(station: Any) -> None:
    one = station(("turbidity",))
    for row in range(3):
        one.row(START + row * MINUTE, {"turbidity": 0.4}, "T")
    assert one.kinds() == [("limit.high.turbidity", "raised")]


def test_an_end_names_the_worst_of_the_whole_episode(station: Any) -> None:
    one = station(("turbidity", "flow"))
    for row, value in enumerate([1.2, 1.21, 1.2, 1.7, 1.8, 1.7, 0.5, 0.51, 0.5]):
        one.row(START + row * MINUTE, {"turbidity": value, "flow": row})
    assert [claim.evidence.observations[0].observed for claim in one.claims] == [1.21, 1.8]


NIGHT = START - 3 * 60 * MINUTE  # 05:00 in Shanghai


def test_a_channel_that_is_judged_stuck_ends_the_hold(station: Any) -> None:
    one = station(("free_chlorine", "flow"))
    for row in range(50):
        one.row(NIGHT + row * MINUTE, {"free_chlorine": 0.08, "flow": row})
    assert one.kinds() == [("fault.stuck.free_chlorine", "raised")]


def test_the_day_ends_the_hold_and_the_onset_is_that_of_the_first_sample(station: Any) -> None:
    one = station(("free_chlorine", "flow"))
    for row in range(70):
        value = 0.08 + row % 3 / 1000 if row >= 50 else 0.2 + row % 3 / 100
        one.row(NIGHT + row * MINUTE, {"free_chlorine": value, "flow": row})
    (claim,) = one.claims
    assert (claim.rule, claim.onset, claim.at) == (
        "limit.prealarm.free_chlorine",
        NIGHT + 50 * MINUTE,
        NIGHT + 60 * MINUTE,
    )


def test_spikes_that_come_back_each_time_are_no_samples(station: Any) -> None:
    calm = [0.31, 0.3, 0.32, 0.31, 0.3, 0.32] * 3
    assert play(station, "turbidity", [*calm, 4.8, 0.32, 4.8, 0.32, 4.8, 0.32, 0.31, 0.3]) == []


def test_a_spike_does_not_hold_up_the_end(station: Any) -> None:
    calm = [0.31, 0.3, 0.32, 0.31, 0.3, 0.32] * 3
    found = play(station, "turbidity", [*calm, 1.2, 1.21, 1.2, 0.31, 0.3, 9.0, 0.31])
    assert found[-1] == (len(calm) + 6, "limit.high.turbidity", "cleared")


def test_a_probe_that_swings_far_to_both_sides_is_told(station: Any) -> None:
    calm = [7.3, 7.31, 7.29] * 6
    found = play(station, "ph", [*calm, 10.0, 4.0, 10.0, 4.0, 10.0])
    assert found == [(len(calm) + 4, "limit.high.ph", "raised")]


def test_a_change_is_told_without_delay_although_its_first_sample_is_doubted(station: Any) -> None:
    calm = [0.31, 0.3, 0.32, 0.31, 0.3, 0.32] * 3
    found = play(station, "turbidity", [*calm, 4.8, 4.9, 4.7])
    assert found == [(len(calm) + 2, "limit.high.turbidity", "raised")]
