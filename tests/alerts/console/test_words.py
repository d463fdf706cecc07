"""Incidents in words."""

import msgspec
import pytest

from alerts.console.texts import Language, known
from alerts.console.words import Words
from alerts.incident import fold
from zhiwei import registry
from zhiwei.schema import Channel, Schema
from zhiwei.types import Evidence, Observation

WATER = Schema(
    scenario="water",
    version=1,
    channels=(
        Channel(name="free_chlorine", unit="mg/L", title_zh="游离氯"),
        Channel(name="motion", dtype="bool", family=True, title_zh="活动"),
    ),
)
ZH, EN = Words(Language.ZH, {"water": WATER}), Words(Language.EN, {"water": WATER})


def told(finding, words, *observations, **other):
    one = msgspec.structs.replace(finding(**other), evidence=Evidence(observations=observations))
    incident, _ = fold(None, one, 1) if one.phase != "cleared" else fold(fold(None, finding(), 1)[0], one, 1)
    return words.sentence(incident, one)


def test_the_sentence_says_entity_what_evidence_and_how_long(finding):
    low = Observation(name="free_chlorine", observed=0.02, limit="≥ 0.05", unit="mg/L")
    assert told(finding, ZH, low, at=65) == (
        "泵房 station-1：余氯偏低。游离氯 0.02 mg/L（限值 ≥ 0.05 mg/L）；自发生至最近判定历时 65 秒。"
    )
    assert told(finding, EN, low, at=65) == (
        "Pump room station-1: chlorine low; free chlorine 0.02 mg/L (limit ≥ 0.05 mg/L); "
        "65 s from onset to the latest finding."
    )


def test_an_entrapment_reads_as_one_would_say_it(finding):
    facts = (Observation(name="in_door_zone", observed=False), Observation(name="person", observed=True))
    other = {"scenario": "elevator", "entity": "L-7", "kind": "elevator.entrapment"}
    assert told(finding, ZH, *facts, phase="suspected", at=20, **other) == (
        "电梯 L-7：疑似有人被困。在门区外，轿厢内有人；自发生至最近判定历时 20 秒。"
    )
    assert told(finding, EN, *facts, **other) == (
        "Lift L-7: people trapped; outside the door zone, somebody in the car; found at its onset."
    )


def test_without_evidence_and_when_it_is_over_there_is_a_sentence_too(finding):
    assert told(finding, EN, phase="cleared", rev=2, at=60) == (
        "Pump room station-1: chlorine low (cleared); 60 s from onset to the latest finding."
    )


def test_what_no_table_knows_is_shown_as_it_is(finding):
    facts = (Observation(name="bay", observed="C-4"), Observation(name="free", observed=None))
    other = {"scenario": "parking", "kind": "parking.bay_blocked", "entity": "p1"}
    assert told(finding, ZH, *facts, **other) == "对象 p1：bay blocked。bay C-4，free 无数据；发生即判定。"


def test_a_limit_of_a_channel_of_the_schema_needs_no_text_of_its_own():
    assert (ZH.kind("water.free_chlorine_high"), EN.kind("water.free_chlorine_high")) == (
        "游离氯偏高", "free chlorine high",
    )  # fmt: skip


def test_a_further_probe_and_a_member_of_a_family_keep_their_names():
    names = ("free_chlorine_2", "motion.kitchen", "motion.sun_room", "x_y")
    assert [ZH.channel("water", name) for name in names] == [
        "游离氯 2", "活动 · 厨房", "活动 · sun room", "x y",
    ]  # fmt: skip
    assert EN.channel("water", "motion.living") == "motion · living room"


@pytest.mark.parametrize("scenario", ["water", "elevator", "elderly"])
@pytest.mark.parametrize("words", [ZH, EN], ids=["zh", "en"])
def test_no_state_of_a_schema_is_shown_raw(words, scenario):
    raw = [
        (channel.name, state)
        for channel in registry.scenario(scenario).schema.channels
        for state in (channel.values or ((True, False) if channel.dtype == "bool" else ()))
        if known(words.language, f"value.{channel.name}.{str(state).lower()}") is None
    ]
    assert raw == []


@pytest.mark.parametrize(
    ("limit", "zh"),
    [
        ("≥ 45 s", "≥ 45 秒"), ("changes with the rest of the station", "随站内其他参数一起变化"),
        ("< 3 h 10 min of awake time", "< 3 小时 10 分钟（清醒时段）"),
        ("back within 2 h", "归来不超过 2 小时"),
        ("≥ 5 °C, or beyond for less than 30 min", "≥ 5 °C，或超出不足 30 分钟"),
        ("6.5 to 8.5", "6.5 至 8.5"),
        ("as the vendor says", "as the vendor says"),
    ],
)  # fmt: skip
def test_a_limit_that_is_a_phrase_is_told_in_the_readers_language(limit, zh):
    one = Observation(name="x", observed=1.0, limit=limit)
    assert (ZH.limit(one), EN.limit(one)) == (zh, limit)


def test_what_was_held_against_a_limit_comes_before_words_of_the_rule(finding):
    facts = (
        Observation(name="branch", observed="out_of_zone"), Observation(name="mode", observed="normal"),
        Observation(name="moving", observed=False), Observation(name="in_door_zone", observed=False),
        Observation(name="door_closed", observed=True), Observation(name="person", observed=True),
        Observation(name="held", observed=49.0, limit="≥ 45 s", unit="s"),
    )  # fmt: skip
    other = {"scenario": "elevator", "entity": "L-7", "kind": "elevator.entrapment"}
    assert told(finding, EN, *facts, at=49, **other) == (
        "Lift L-7: people trapped; held 49 s (limit ≥ 45 s), stopped, outside the door zone, "
        "door closed, somebody in the car; 49 s from onset to the latest finding."
    )


@pytest.mark.parametrize(
    ("seconds", "told_as"),
    [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h 1 min"), (172_800, "2 d 0 h")],
)
def test_a_duration_is_told_in_its_largest_units(seconds, told_as):
    assert EN.age(seconds) == told_as
