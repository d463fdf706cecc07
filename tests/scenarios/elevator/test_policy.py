"""The policy refuses what it cannot mean, and other numbers for one lift reach that lift alone."""

from collections.abc import Callable
from typing import Any

import pytest

from scenarios.elevator import SCENARIO
from scenarios.elevator.policy import NUMBERS
from zhiwei.errors import ConfigError

Make = Callable[..., Any]


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        SCENARIO.policy(text, file="p.toml")
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("out_of_zone = { value = 45,", "out_of_zone = { value = -1,", "entrapment.out_of_zone.value"),
        ('45, unit = "s", source = "kits', '45, unit = "m", source = "kits', "entrapment.out_of_zone.unit"),
        ("out_of_zone = { value = 45,", 'out_of_zone = { value = "x",', "entrapment.out_of_zone.value"),
        ("contact_lost = { value = 60, unit", "contact_gone = { value = 60, unit", "entrapment.contact_gone"),
        ('mark = "C" }\nin_zone ', 'mark = "Z" }\nin_zone ', "entrapment.out_of_zone.mark"),
        ('attempts = { value = 5,', 'attempts = { value = 5.5,', "door_cycling.attempts.value"),
        ('entrapment = "critical"', 'entrapment = "awful"', "severity.entrapment"),
        ('power_loss = "minor"\n', "", "severity.power_loss"),
        ('"alarm_button", "calls"', '"alarm_bell", "calls"', "evidence.channels[0]"),
        ("least = { value = 20,", "least = { value = 60,", "run_timeout.least.value"),
        ("[intake]", "[intake", "(syntax)"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named_with_its_place(default_text: str, old: str, new: str, key: str) -> None:
    assert default_text.count(old) >= 1
    error = refused(default_text.replace(old, new, 1))
    assert (error.file, error.key) == ("p.toml", key)


def test_every_number_must_be_given(default_text: str) -> None:
    line = next(line for line in default_text.splitlines() if line.startswith("press = "))
    assert refused(default_text.replace(line, "")).key == "entrapment.press"


def test_every_number_of_the_shipped_policy_has_a_source() -> None:
    policy = SCENARIO.policy(None)
    assert set(policy.numbers) == set(NUMBERS)
    assert all(number.source for number in policy.numbers.values())


OVERRIDE = """
[[override]]
entities = ["lift"]
[override.set]
"entrapment.out_of_zone" = { value = 1, unit = "min", source = "slow to relevel", mark = "D" }
"""


def test_other_numbers_for_one_lift_apply_to_it_alone(
    lift: Make, default_text: str, state_of: Any, round_of: Any
) -> None:
    one = lift(text=default_text + OVERRIDE).stand(*range(0, 61, 5))
    assert one.said() == [("raised", 0, 60)]
    one = lift(text=default_text + OVERRIDE.replace('["lift"]', '["other"]')).stand(*range(0, 61, 5))
    assert one.said() == [("raised", 0, 45)]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("out_of_zone", "out_of_town", "override[0].set.entrapment.out_of_town"),
        ("value = 1", "value = 999", "override[0].set.entrapment.out_of_zone.value"),
        ('["lift"]', '"lift"', "override[0].entities.names"),
        ("[override.set]", "[override.sets]", "override[0]"),
    ],
)
def test_a_wrong_override_is_named_with_its_place(default_text: str, old: str, new: str, key: str) -> None:
    assert refused(default_text + OVERRIDE.replace(old, new)).key == key
