"""Each field fault does what it says, where and when it says, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulators.city import simulation
from simulators.fault_kinds import KINDS
from simulators.faults import listing, load
from simulators.output import line
from simulators.world import Report
from zhiwei.errors import ConfigError

MONDAY_MS = 1_767_542_400_000
HOUR = 3_600_000
START, END = MONDAY_MS + HOUR, MONDAY_MS + 3 * HOUR
"""Of every fault here."""
Lived = Callable[..., Any]


@pytest.fixture
def ill(tmp_path: Path) -> Callable[..., tuple[list[Report], list[Report], list[Any]]]:
    """Reports of a world of 4 for 4 h as made, and as a fault on number 2 left them; its labels."""

    def run(
        text: str, scenario: str = "water", who: str = "", when: str = 'start = "1 h"\nduration = "2 h"'
    ) -> tuple[list[Report], list[Report], list[Any]]:
        name = {"water": "pump", "elevator": "lift", "elderly": "home"}[scenario]
        file = tmp_path / "faults.toml"
        who = who or f'entities = ["{name}-0002"]'
        file.write_text(f"[[fault]]\n{who}\n{when}\n{text}\n")
        wish: dict[str, Any] = {"entities": 4, "start_ms": MONDAY_MS, "days": 4 / 24, "seed": 1}
        well = simulation(scenario, **wish, event_rate=0.0)
        sick = simulation(scenario, **wish, event_rate=0.0, faults=load(file))
        before, after = list(well.reports()), list(sick.reports())
        assert [r.sent for r in after] == sorted(r.sent for r in after)
        untouched = {label.entity for label in sick.truth.labels()}
        assert [r for r in after if r.entity not in untouched] == [
            r for r in before if r.entity not in untouched
        ]
        mine = lambda reports: [r for r in reports if r.entity in untouched]  # noqa: E731
        return mine(before), mine(after), sick.truth.labels()

    return run


def inside(report: Report) -> bool:
    return START <= report.sent < END


def mapped(before: list[Report], change: Callable[[Report], Report]) -> list[Report]:
    """What is expected of a fault that changes each report by itself."""
    return [change(report) if inside(report) else report for report in before]


def test_a_wrong_clock_moves_the_time_and_nothing_else(ill: Any) -> None:
    before, after, _ = ill('name = "clock_offset"\noffset_s = -3600')
    assert after == mapped(before, lambda r: r._replace(ts=r.ts - HOUR))


def test_a_fast_clock_gains_steadily(ill: Any) -> None:
    before, after, _ = ill('name = "clock_skew"\ns_per_day = 86400')
    assert after == mapped(before, lambda r: r._replace(ts=r.ts + (r.sent - START)))


def test_a_clock_that_was_never_set_counts_from_1970(ill: Any) -> None:
    before, after, _ = ill('name = "clock_1970"')
    assert after == mapped(before, lambda r: r._replace(ts=r.sent - START))


def test_duplicates_are_the_same_report_again_later(ill: Any) -> None:
    before, after, _ = ill('name = "duplicate"\nshare = 0.5\ndelay_s = 7')
    assert [r for r in after if r.sent == r.ts] == before
    again = [r for r in after if r.sent != r.ts]
    assert {
        (r.sent - r.ts, r._replace(sent=r.ts) in before, inside(r._replace(sent=r.ts))) for r in again
    } == {(7000, True, True)}
    assert 40 <= len(again) <= 80


def test_reordered_reports_are_late_and_all_there(ill: Any) -> None:
    before, after, _ = ill('name = "reorder"\nshare = 0.5\ndelay_s = 200')
    assert sorted((r._replace(sent=r.ts) for r in after), key=lambda r: r.ts) == before
    delays = {r.sent - r.ts for r in after}
    assert min(delays) >= 0
    assert 60_000 < max(delays) <= 200_000
    assert [r.ts for r in after] != sorted(r.ts for r in after)


def test_dropout_loses_its_share_and_only_then(ill: Any) -> None:
    before, after, _ = ill('name = "dropout"')
    assert after == [r for r in before if not inside(r)]
    _, some, _ = ill('name = "dropout"\nshare = 0.5')
    assert 40 <= len(before) - len(some) <= 80
    assert all(r in before for r in some)


def test_a_line_names_its_arrival_where_a_fault_has_parted_it_from_the_devices_time(ill: Any) -> None:
    before, after, _ = ill('name = "clock_offset"\noffset_s = -3600')
    assert not any("arrived" in msgspec.json.decode(line(report)) for report in before)
    moved = [msgspec.json.decode(line(report)) for report in after if inside(report)]
    assert all(said["arrived"] - said["ts"] == HOUR for said in moved)


def test_only_a_device_that_loses_everything_is_to_be_found_silent(ill: Any) -> None:
    assert {label.kind for label in ill('name = "dropout"')[2]} == {"water.offline"}
    assert {label.kind for label in ill('name = "dropout"\nshare = 0.5')[2]} == {""}


def test_an_outage_sends_everything_afterwards_beside_the_new(ill: Any) -> None:
    before, after, _ = ill('name = "outage"\nrate = 2')
    assert not any(inside(r) for r in after)
    assert sorted((r._replace(sent=r.ts) for r in after), key=lambda r: r.ts) == before
    old = [r for r in after if r.sent != r.ts]
    assert [r.sent for r in old] == [END + 500 * (n + 1) for n in range(120)]
    assert [r.ts for r in old] == sorted(r.ts for r in old)


def test_an_outage_loses_what_its_buffer_cannot_hold(ill: Any) -> None:
    before, after, _ = ill('name = "outage"\nbuffer = 10')
    assert len(before) - len(after) == 110


def test_flapping_holds_back_and_loses_nothing(ill: Any) -> None:
    before, after, _ = ill('name = "flapping"\nup_s = 300\ndown_s = 300')
    assert sorted((r._replace(sent=r.ts) for r in after), key=lambda r: r.ts) == before
    held = [r for r in after if r.sent != r.ts]
    assert len(held) == 60
    assert {(r.sent - START) % 600_000 for r in held} == {0}


def test_batches_come_at_fixed_intervals(ill: Any) -> None:
    before, after, _ = ill('name = "batch_upload"\nevery_s = 1800')
    assert sorted((r._replace(sent=r.ts) for r in after), key=lambda r: r.ts) == before
    assert {(r.sent - START) % 1_800_000 for r in after if inside(r)} == {0}


def test_brown_outs_lose_reports_and_then_the_time_of_day(ill: Any) -> None:
    before, after, _ = ill('name = "brown_out"\nevery_s = 600\noff_s = 120\nunset_s = 60')
    assert len(before) - len(after) == 24
    unset = [r for r in after if r.ts != r.sent]
    assert len(unset) == 12
    assert all(0 <= r.ts < 60_000 for r in unset)


def test_a_frozen_channel_repeats_its_first_value(ill: Any) -> None:
    before, after, _ = ill('name = "frozen"\nchannels = ["free_chlorine"]')
    first = next(r for r in before if inside(r)).values["free_chlorine"]
    assert after == mapped(before, lambda r: r._replace(values={**r.values, "free_chlorine": first}))


def test_without_channels_every_number_is_frozen_and_no_switch(ill: Any) -> None:
    before, after, _ = ill('name = "frozen"', "elevator")
    numbers = ("floor", "speed", "run_count")
    held = {tuple(r.values[name] for name in numbers) for r in after if inside(r)}
    assert len(held) == 1
    others = lambda r: {k: v for k, v in r.values.items() if k not in numbers}  # noqa: E731
    assert [others(r) for r in after] == [others(r) for r in before]


def test_a_missing_channel_is_left_out(ill: Any) -> None:
    before, after, _ = ill('name = "channel_missing"\nchannel = "ph"')
    expected = mapped(before, lambda r: r._replace(values={k: v for k, v in r.values.items() if k != "ph"}))
    assert after == expected


def test_drift_grows_with_time(ill: Any) -> None:
    before, after, _ = ill('name = "drift"\nchannel = "ph"\nper_hour = 0.5')

    def drifted(r: Report) -> Report:
        return r._replace(values={**r.values, "ph": round(r.values["ph"] + (r.sent - START) / HOUR * 0.5, 4)})  # type: ignore[operator]

    assert after == mapped(before, drifted)


def test_spikes_are_single_values_as_often_as_asked(ill: Any) -> None:
    before, after, _ = ill('name = "spike"\nchannel = "turbidity"\nsize = 5\nper_day = 240')
    pairs = list(zip(before, after, strict=True))
    hit = [(a, b) for a, b in pairs if a != b]
    assert 8 <= len(hit) <= 35
    for a, b in hit:
        assert b.values == {**a.values, "turbidity": round(a.values["turbidity"] + 5, 4)}  # type: ignore[operator]


def test_a_scale_fault_multiplies(ill: Any) -> None:
    before, after, _ = ill('name = "scale"\nchannel = "conductivity"')
    expected = mapped(
        before,
        lambda r: r._replace(values={**r.values, "conductivity": r.values["conductivity"] * 10}),  # type: ignore[operator]
    )
    assert after == expected


def test_wrong_polarity_says_the_opposite(ill: Any) -> None:
    before, after, _ = ill('name = "inverted"\nchannel = "in_door_zone"', "elevator")
    expected = mapped(
        before, lambda r: r._replace(values={**r.values, "in_door_zone": not r.values["in_door_zone"]})
    )
    assert after == expected


@pytest.mark.parametrize(
    ("name", "channel", "value"),
    [("stuck_person", "person", True), ("misaligned_level", "in_door_zone", False)],
)
def test_a_stuck_lift_sensor_says_one_thing(ill: Any, name: str, channel: str, value: bool) -> None:
    before, after, labels = ill(f'name = "{name}"', "elevator")
    assert after == mapped(before, lambda r: r._replace(values={**r.values, channel: value}))
    assert [label.kind for label in labels] == ["elevator.sensor_fault"]


def test_every_fault_is_tried_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in KINDS if f'"{name}"' not in text] == []


def test_a_fault_of_one_device_leaves_the_others_of_the_entity(ill: Any) -> None:
    before, after, labels = ill('name = "dropout"\ndevice = "meter"', "elderly")
    assert after == [r for r in before if not (inside(r) and r.device == "meter")]
    assert labels[0].detail == {"share": 1.0, "device": "meter"}


def test_a_fault_is_labelled_with_its_span_and_the_finding_that_would_be_right(ill: Any) -> None:
    _, _, labels = ill('name = "scale"\nchannel = "ph"')
    [label] = labels
    assert (label.entity, label.kind, label.fault, label.life_safety) == (
        "pump-0002", "water.sensor_fault", "scale", False,
    )  # fmt: skip
    assert label.onset.timestamp() * 1000 == START
    assert label.end.timestamp() * 1000 == END
    assert label.detail == {"channel": "ph", "factor": 10.0}
    assert ill('name = "duplicate"')[2][0].kind == ""


def test_faults_work_in_the_order_of_the_file(ill: Any) -> None:
    later = '[[fault]]\nentities = ["pump-0002"]\nname = "drift"\nchannel = "ph"\nper_hour = 0'
    before, after, _ = ill(f'name = "scale"\nchannel = "ph"\n{later}')
    assert [r.values["ph"] for r in after if inside(r)] == [
        round(float(str(r.values["ph"])) * 10, 4) for r in before if inside(r)
    ]


def test_entities_are_named_or_shared_or_counted(ill: Any) -> None:
    def touched(who: str) -> int:
        return len({label.entity for label in ill('name = "dropout"', who=who)[2]})

    assert touched("entities = 1.0") == 4
    assert touched("entities = 3") == 3
    assert touched("entities = 1") == 1
    assert touched('entities = ["pump-0001", "pump-0004"]') == 2
    assert touched("entities = 0.0") == 0


def test_a_share_is_drawn_for_each_entity_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nname = "dropout"\nentities = 0.3\n')
    worlds = [
        simulation("water", entities=n, start_ms=MONDAY_MS, days=0.1, seed=1, faults=load(file))
        for n in (50, 200)
    ]
    few, many = ([e for e in w.world.names() if w.faults[0].touches(w.world, e)] for w in worlds)
    assert [e for e in many if e <= "pump-0050"] == few
    assert 40 <= len(many) <= 80


def test_a_start_may_be_a_moment(ill: Any) -> None:
    before, after, _ = ill('name = "dropout"', when="start = 2026-01-05T01:00:00+08:00\nduration = 7200")
    assert after == [r for r in before if not inside(r)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "ghost"', "fault[0].name = 'ghost': expected one of clock_offset"),
        ("", "fault[0].name = None: expected one of"),
        ('name = "scale"', "fault[0].channel = None: expected a text: the channel"),
        ('name = "scale"\nchannel = "ph"\nfactor = "x"', "factor = 'x': expected a number"),
        ('name = "dropout"\nshare = 2', "share = 2: expected a number of 0..1, 0 to 1"),
        ('name = "dropout"\nshare = nan', "share = nan: expected a number"),
        ('name = "dropout"\nshares = 1', "fault[0].shares = 1: expected one of name, entities"),
        ('name = "dropout"\nentities = true', "entities = True: expected a list of names, a share"),
        ('name = "dropout"\nentities = []', "entities = []: expected a list of names"),
        ('name = "dropout"\nstart = "soon"', "start = 'soon': expected seconds or '6 h'"),
        ('name = "dropout"\nstart = -5', "start = -5: expected seconds"),
        ('name = "dropout"\nduration = 0', "duration = 0: expected more than 0"),
        ('name = "dropout"\ndevice = 5', "device = 5: expected a text"),
        ('name = "dropout"\nstart = 2026-01-05T01:00:00', "a time with an offset"),
    ],
)
def test_a_wrong_fault_names_file_key_value_and_what_would_be_right(
    tmp_path: Path, text: str, expected: str
) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(f"[[fault]]\n{text}\n")
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert expected in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("text", ["x = 1", "fault = 3", "[fault]\nname = 1", "= ="])
def test_what_is_no_faults_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file)
    with pytest.raises(ConfigError):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "stuck_person"', "name = 'stuck_person': expected a fault of water"),
        (
            'name = "dropout"\nentities = ["lift-0001"]',
            "entities = 'lift-0001': expected one of pump-0001 … pump-0003",
        ),
        ('name = "dropout"\nentities = 4', "entities = 4: expected at most the 3"),
        ('name = "dropout"\nstart = "5 d"', "expected a time within the world"),
    ],
)
def test_a_fault_that_does_not_fit_the_world_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(f"[[fault]]\n{text}\n")
    with pytest.raises(ConfigError) as refused:
        simulation("water", entities=3, start_ms=MONDAY_MS, days=1, seed=1, faults=load(file))
    assert expected in str(refused.value)


def test_faults_of_another_scenario_may_stand_in_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nname = "stuck_person"\nscenario = "elevator"\n')
    world = simulation("water", entities=3, start_ms=MONDAY_MS, days=0.01, seed=1, faults=load(file))
    assert list(world.reports())
    assert world.truth.labels() == []


def test_the_list_of_faults_names_each_with_parameters_and_units() -> None:
    text = "\n".join(listing())
    assert "outage: the gateway has no connection" in text
    assert "    rate (1/s): how fast it sends them afterwards; default 20" in text
    assert "    channel: the channel; required" in text
    for name, kind in KINDS.items():
        assert f"\n{name}" in f"\n{text}"
        for parameter in kind.parameters:
            assert f"    {parameter.name}" in text
