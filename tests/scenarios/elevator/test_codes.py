"""Code tables against the domain's list of codes: same number, other source, other meaning."""

import pytest

from scenarios.elevator.codes import TABLES, Fault, faults, meaning, normalised


@pytest.mark.parametrize("text", ["4", "04", " 04 "])
def test_a_code_is_the_same_with_one_digit_or_two(text: str) -> None:
    assert normalised(text) == "04"


@pytest.mark.parametrize(
    ("table", "code", "fault"),
    [
        ("gbt24476", "08", Fault.RESTART_PREVENTION),
        ("local_platform", "08", Fault.DOOR_OPEN_MOVING),
        ("kit_cloud", "8", Fault.SHUT_IN_BETWEEN_FLOORS),
        ("provincial", "09", Fault.OVERRUN),
        ("kit_cloud", "9", Fault.POWER_OFF),
        ("provincial", "11", Fault.SHUT_IN),
        ("local_platform", "11", Fault.OVERSPEED),
        ("kit_cloud", "11", Fault.DOOR_OPENING),
        ("kit_cloud", "21", Fault.ALARM_BUTTON),
        ("kit_firmware", "21", Fault.ESCALATOR),
        ("gbt24476", "41", Fault.POWER_OFF),
        ("vendor_cloud", "0101", Fault.SHUT_IN),
        ("chongqing", "93", Fault.SHUT_IN_AT_LEVEL),
    ],
)
def test_a_code_means_what_its_source_means_by_it(table: str, code: str, fault: Fault) -> None:
    mask, unknown = meaning(table, [code])
    assert (faults(mask), unknown) == ((fault,), 0)


def test_no_code_of_the_standard_is_an_entrapment() -> None:
    mask, _ = meaning("gbt24476", TABLES["gbt24476"])
    assert not {f for f in faults(mask) if f.name.startswith("SHUT_IN")}


def test_no_fault_is_nothing_beside_others_and_alone() -> None:
    assert meaning("gbt24476", ["00"]) == (0, 0)
    assert meaning("gbt24476", ["00", "05"]) == (Fault.UNINTENDED_MOVEMENT.bit, 0)
