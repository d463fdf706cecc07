"""The shipped policy, and what is refused with which words."""

from typing import Any

import msgspec
import pytest

from scenarios.elderly.policy import Sections, Threshold, parse
from scenarios.elderly.words import KINDS, LIFE_SAFETY
from zhiwei import registry
from zhiwei.errors import ConfigError
from zhiwei.types import Severity


def thresholds(part: msgspec.Struct) -> list[Threshold]:
    found: list[Threshold] = []
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, Threshold):
            found.append(value)
        elif isinstance(value, dict):
            found += value.values()
        elif isinstance(value, msgspec.Struct):
            found += thresholds(value)
    return found


def test_every_shipped_number_has_a_source_and_a_mark(default_text: str) -> None:
    numbers = thresholds(parse(default_text, file="p").sections)
    assert len(numbers) > 40
    assert all(number.source and number.mark for number in numbers)


def test_every_kind_has_a_severity_and_life_safety_the_highest(default_text: str) -> None:
    severity = parse(default_text, file="p").sections.severity
    assert {kind for kind in KINDS if severity.of(kind) is Severity.CRITICAL} == LIFE_SAFETY


def test_the_registry_finds_the_scenario() -> None:
    found = registry.scenario("elderly")
    assert (found.name, found.main_kind, found.life_safety) == ("elderly", "elderly.no_activity", LIFE_SAFETY)


def test_another_text_is_another_version(default_text: str) -> None:
    assert parse(default_text, file="p").version != parse(default_text + "# note\n", file="p").version


def test_a_daily_upload_is_the_normal_latency_of_a_meter(default_text: str) -> None:
    policy = parse(default_text, file="p")
    hour = 3_600_000_000
    assert policy.latency_of("water_m3.kitchen") == 26 * hour
    assert policy.latency_of("motion.hall") == policy.latency_us < hour


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Atlantis"', "site.zone = 'Asia/Atlantis'"),
        ('start = "22:00"', 'start = "25:00"', "site.night.start = '25:00'"),
        ('start = "22:00"', 'start = "05:00"', "site.night.start = '05:00'"),
        (
            'cap_awake = { value = 12, unit = "h"',
            'cap_awake = { value = 12, unit = "°C"',
            "no_activity.cap_awake.unit",
        ),
        ("cap_awake = { value = 12", "cap_awake = { value = 120", "no_activity.cap_awake.value = 120"),
        ("hold = { value = 60", "hold = { value = 0", "fall.hold.value = 0"),
        ("hold = { value = 60", 'hold = { value = "60"', "fall.hold.value = '60'"),
        ("percentile = { value = 95", "percentile = { value = 101", "no_activity.percentile.value = 101"),
        ("[silence.after]", "[silence.after]\nradio = 1", "silence.after"),
        ("[battery]", "[batterie]", "batterie = "),
        ('sos = "critical"', 'sos = "urgent"', "severity.sos = 'urgent'"),
        ("[climate]", "[climate", "(syntax)"),
    ],
)
def test_a_wrong_policy_is_refused_by_key_value_and_limit(
    default_text: str, old: str, new: str, says: str
) -> None:
    assert old in default_text
    with pytest.raises(ConfigError) as error:
        parse(default_text.replace(old, new, 1), file="my.toml")
    assert str(error.value).startswith(f"my.toml: {says}")


def test_rules_refuse_a_policy_of_another_scenario() -> None:
    water = registry.scenario("water").policy(None)
    with pytest.raises(ConfigError, match="a policy of the elderly scenario"):
        registry.scenario("elderly").rules(water, (), {}, ())


@pytest.mark.parametrize(
    "section",
    ["trigger", "fall", "no_activity", "no_water", "long_stay", "night_out", "bed_absent", "leak", "climate"],
)
def test_a_section_that_is_left_out_switches_its_rules_off(
    default_text: str, section: str, make_home: Any
) -> None:
    tree = {
        name: getattr(parse(default_text, file="p").sections, name) for name in Sections.__struct_fields__
    }
    assert tree[section] is not None
    kept, inside = [], False
    for line in default_text.splitlines():
        inside = line.startswith(f"[{section}]") if line.startswith("[") else inside
        kept += [] if inside else [line]
    home = make_home(text="\n".join(kept))
    home.say("0 01:00", motion_hall=True, sos=True, fall=True, bed=True, water_m3=5.0, temperature=40.0)
    home.say("0 01:10", door_entrance=True, bed=False, presence_bathroom=True, water_m3=5.0)
    home.tick("2 00:00")
    off = {"trigger": "sos", "climate": "heat"}.get(section, section)
    assert home.said(off) == []
    assert len(home.findings) > 3
