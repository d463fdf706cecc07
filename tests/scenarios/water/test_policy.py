"""A policy is complete and sourced, or it is refused by name."""

from collections.abc import Iterator

import msgspec
import pytest

from scenarios.water import SCENARIO
from scenarios.water.policy import Limit, Threshold, WaterPolicy
from zhiwei.errors import ConfigError


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        SCENARIO.policy(text, file="mine.toml")
    return error.value


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def numbers(part: object) -> Iterator[Threshold | Limit]:
    """Every number of a policy that must have a source."""
    if isinstance(part, Threshold | Limit):
        yield part
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            yield from numbers(getattr(part, name))
    elif isinstance(part, dict):
        for value in part.values():
            yield from numbers(value)
    elif isinstance(part, tuple):
        for value in part:
            yield from numbers(value)


@pytest.mark.parametrize("text_of", ["default_text", "canary_text"])
def test_every_number_that_is_shipped_has_unit_and_source(
    text_of: str, request: pytest.FixtureRequest
) -> None:
    policy: WaterPolicy = SCENARIO.policy(request.getfixturevalue(text_of))
    found = list(numbers(policy.sections))
    assert len(found) > 10
    assert all(number.unit and number.source and number.mark for number in found)


def test_version_is_that_of_the_text(default_text: str) -> None:
    assert SCENARIO.policy(None).version == SCENARIO.policy(default_text).version
    assert SCENARIO.policy(default_text + "#").version != SCENARIO.policy(default_text).version


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("[latency]", "[latency]\nvalu = 3", "latency.valu", "no such key"),
        ("[site]", "[site]\nregion = 1", "site.region", "no such key"),
        ('zone = "Asia/Shanghai"', 'zone = "Henan"', "site.zone", "time zone"),
        ('start = "22:00"', 'start = "22"', "site.night.start", "HH:MM"),
        ('value = 60\nunit = "s"', 'value = 60\nunit = "fortnight"', "latency.unit", "one of s, min, h"),
        ('event = "major"', 'event = "huge"', "severity.event", "enum"),
        ('{ value = 3, unit = "samples"', '{ value = 6, unit = "samples"', "decision.fast_k.value", "1 to 5"),
        ('{ value = 10, unit = "%"', '{ value = 10, unit = "NTU"', "decision.hysteresis.unit", "'%'"),
        ('value = 0.05\nunit = "mg/L"', 'value = "low"\nunit = "mg/L"', "limit[0].value", "float"),
        ('unit = "degree"\nseverity', 'units = "degree"\nseverity', "limit[12].units", "no such key"),
        ('value = 1.0\nunit = "NTU"', 'value = 1.0\nunit = "mg/L"', "limit[9].channel.unit", "'NTU'"),
        ('channel = "colour"', 'channel = "color"', "limit[12].channel", "measured quantity"),
        ('channels = ["free_chlorine",', 'channels = ["uv_on",', "event.channels[0]", "measured channels"),
        ('detector = "mvnn"', 'detector = "magic"', "event.detector", "one of"),
        ('discriminator = "binomial"', 'discriminator = "magic"', "event.discriminator", "one of"),
        ("history = {", "histories = {", "mvnn.histories", "one of"),
        ("value = 0.85, unit", "value = 1.85, unit", "binomial.threshold", "<= 1.0"),
        ("colour = { value = 1", "clarity = { value = 1", "precision.clarity", "measured quantity"),
        ("learn_every = { value = 20", "learn_every = { value = -1", "event.learn_every.value", "duration"),
        ("[offline]", "[offline", "(syntax)", "TOML"),
        ('{ value = 20, unit = "%"', '{ value = 95, unit = "%"', "pressure.tolerance.value", "1 to 90"),
        (
            'low = { value = 10, unit = "%"',
            'low = { value = 96, unit = "%"',
            "tank.low.value",
            "below tank.high",
        ),
        ("learn_from = { value = 12,", "learn_from = { value = 2.5,", "pressure.learn_from.value", "whole"),
        ("learn_from = { value = 12,", "learn_from = { value = 50,", "pressure.learn_from.value", "at most"),
        ("[hatch]\nseverity", "[hatch]\nseverities", "hatch.severities", "no such key"),
        ('[hatch]\nseverity = "major"', "", "hatch", "there is [intrusion]"),
        ('unit = "1/h"', 'unit = "1/min"', "cycling.starts.unit", "'1/h'"),
        ('steps = ["conductivity",', 'steps = ["taste",', "source_switch.steps[0]", "measured channels"),
        ('steps = ["conductivity", "temperature"]', "steps = []", "source_switch.steps", "at least one"),
    ],
)
def test_a_wrong_policy_is_refused_by_file_key_and_expectation(
    default_text: str, old: str, new: str, key: str, expected: str
) -> None:
    error = refused(changed(default_text, old, new))
    assert (error.file, error.key) == ("mine.toml", key)
    assert expected in error.expected


def test_a_section_that_others_need_is_asked_for(default_text: str) -> None:
    start, end = default_text.index("[decision]"), default_text.index("[faults]")
    error = refused(default_text[:start] + default_text[end:])
    assert error.key == "decision"


def test_without_a_precision_for_all_others_it_is_refused(canary_text: str) -> None:
    line = next(line for line in canary_text.splitlines() if line.startswith("default ="))
    assert refused(canary_text.replace(line, "")).key == "precision"


def test_a_policy_of_events_alone_needs_no_other_section(canary_text: str) -> None:
    rules = SCENARIO.rules(SCENARIO.policy(canary_text), ("ph",), {}, ())
    assert rules.timers == ()
    assert not [field.name for field in rules.fields if field.name.startswith(("limit.", "stuck."))]
