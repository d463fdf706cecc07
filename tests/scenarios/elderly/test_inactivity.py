"""No activity: caps from the first minute, the personal line later; what clears it."""

from typing import Any

import numpy as np
import pytest

from scenarios.elderly.episodes import Episodes
from scenarios.elderly.personal_line import DAYS, HOURS, PersonalLine
from scenarios.elderly.policy import parse


@pytest.mark.parametrize(
    ("last", "raised"),
    [
        ("0 08:00", "0 20:00"),
        ("0 14:00", "1 10:00"),  # 8 h until 22:00, 4 h from 06:00 on
        ("0 22:00", "1 18:00"),  # nothing of the night counts
        ("1 02:00", "1 18:00"),
    ],
)
def test_the_cap_is_12_h_of_awake_time(home: Any, last: str, raised: str) -> None:
    home.say(last, motion_hall=True)
    home.tick("3 00:00")
    assert home.said("no_activity") == [("no_activity", "raised", last, raised)]


def test_a_home_that_never_showed_a_sign_is_counted_from_its_first_row(home: Any) -> None:
    home.say("0 08:00", motion_hall=False)
    home.tick("0 21:00")
    assert home.said("no_activity") == [("no_activity", "raised", "0 08:00", "0 20:00")]


def test_a_home_without_a_device_that_shows_activity_is_never_inactive(home: Any) -> None:
    home.say("0 08:00", smoke=False, temperature=21.0, water_m3=5.0)
    home.tick("3 00:00")
    assert home.said("no_activity") == []


@pytest.mark.parametrize(
    "sign",
    [
        {"motion_hall": True},
        {"door_fridge": True},
        {"bed": True},
        {"presence_living": True},
        {"posture_living": "upright"},
        {"door_entrance": True},
    ],
)
def test_every_sign_of_activity_ends_it(home: Any, sign: dict[str, Any]) -> None:
    home.say("0 08:00", motion_hall=True)
    home.tick("0 20:30")
    home.say("0 21:00", device="other", **sign)
    assert home.said("no_activity")[-1] == ("no_activity", "cleared", "0 08:00", "0 21:00")
    assert home.findings[-1].evidence.note == "returned"


@pytest.mark.parametrize(
    "heartbeat",
    [
        {"motion_hall": False},
        {"door_fridge": False},
        {"bed": False},
        {"battery_hall": 80.0},
        {"presence_x": False},
    ],
)
def test_a_heartbeat_is_no_sign_of_activity(home: Any, heartbeat: dict[str, Any]) -> None:
    home.say("0 08:00", motion_hall=True)
    home.say("0 12:00", device="other", **heartbeat)
    home.tick("0 20:30")
    assert home.said("no_activity") == [("no_activity", "raised", "0 08:00", "0 20:00")]


def test_evidence_names_limit_and_the_last_sign_of_each_device(home: Any) -> None:
    home.say("0 07:00", motion_kitchen=True)
    home.say("0 08:00", motion_hall=True)
    home.tick("0 20:30")
    limit, *signs = home.findings[-1].evidence.observations
    assert (limit.observed, limit.expected, limit.limit) == (12.0, 12.0, "< 12 h of awake time")
    assert [(o.name, o.observed) for o in signs] == [
        ("motion.hall", "2026-03-02 08:00"),
        ("motion.kitchen", "2026-03-02 07:00"),
    ]


def test_the_line_is_learned_after_14_days_and_not_before(make_home: Any, usual: Any) -> None:
    for days, rule in ((13, "cap"), (14, "personal_line")):
        home = make_home()
        for day in range(days + 1):
            home.feed(usual(day)[: None if day < days else 4], cut=100)
        home.tick(f"{days} 20:00")
        assert [f.evidence.note for f in home.findings if f.kind.endswith("no_activity")] == [rule]


def test_a_day_with_a_finding_is_not_learned(make_home: Any, usual: Any) -> None:
    learned = {}
    for found in (False, True):
        home = make_home()
        for day in range(15):
            home.feed(usual(day), cut=100)
            if day < 12:
                home.feed([{"ts": f"{day} 23:00", "entity": "home-1", "sos": found, "device": "sos"}])
                home.feed([{"ts": f"{day} 23:01", "entity": "home-1", "sos": False, "device": "sos"}])
                home.tick(f"{day} 23:05")
        home.feed(usual(15)[:1])
        learned[found] = home.engine.entities.column("line.level")[0].any()
    assert learned == {False: True, True: False}


def test_time_away_is_not_learned(make_home: Any, usual: Any) -> None:
    levels = {}
    for out in (False, True):
        home = make_home()
        for day in range(16):
            rows = usual(day)
            if out:  # 07:21 to 09:59
                door = [{"ts": f"{day} {t}", "entity": "home-1", "door.entrance": True} for t in ("07:21",)]
                door += [{"ts": f"{day} 07:22", "entity": "home-1", "door.entrance": False}]
                door += [{"ts": f"{day} 09:59", "entity": "home-1", "door.entrance": True}]
                door += [{"ts": f"{day} 09:59:05", "entity": "home-1", "door.entrance": False}]
                rows = [*rows[:5], *door, *rows[5:]]
            home.feed(rows, cut=100)
        levels[out] = int(home.engine.entities.column("line.level")[0, 9]) - 1
    assert levels == {False: 190, True: 120}


def test_the_first_day_is_a_part_of_one_and_not_learned(home: Any, usual: Any) -> None:
    home.feed(usual(0)[8:] + usual(1) + usual(2)[:1], cut=100)
    samples = home.engine.entities.column("line.samples")[0]
    assert samples.any(axis=1).tolist() == [True] + [False] * (DAYS - 1)


def test_an_unseen_return_and_what_follows_is_not_learned(home: Any, usual: Any) -> None:
    home.feed(usual(0), cut=100)
    home.say("1 08:00", motion_hall=True)
    for time in ("1 08:10", "1 10:00", "1 13:30"):  # out, back unseen, out
        home.say(time, door_entrance=True, device="door")
        home.say(f"{time}:05", door_entrance=False, device="door")
    assert home.engine.entities.column("line.today")[0, 9:14].tolist() == [0, 0, 0, 0, 1]


def test_declared_days_are_not_learned(make_home: Any, usual: Any) -> None:
    home = make_home(attributes={"home-1": {"operator_state": "visitor"}})
    for day in range(16):
        home.feed(usual(day), cut=100)
    assert not home.engine.entities.column("line.level")[0].any()


@pytest.mark.parametrize("count", [7, 10, 20, 28])
def test_the_level_is_the_percentile_by_rank_of_each_hour_and_its_neighbours(
    count: int, default_text: str
) -> None:
    sections = parse(default_text, file="p").sections
    assert sections.no_activity is not None
    line = PersonalLine(Episodes([], sections.severity), sections.no_activity)
    samples = np.zeros((1, DAYS, HOURS), np.uint16)
    samples[0, :count] = np.random.default_rng(count).integers(1, 600, (count, HOURS))
    found = line._levels(samples)[0]
    for hour in range(HOURS):
        wide = sorted(
            int(max(day[hour - 1], day[hour], day[(hour + 1) % HOURS])) for day in samples[0, :count]
        )
        rank = -(-95 * count // 100)
        assert found[hour] == max(wide[rank - 1] - 1 + 30, 120) + 1


def test_too_few_days_make_no_line(default_text: str) -> None:
    sections = parse(default_text, file="p").sections
    assert sections.no_activity is not None
    line = PersonalLine(Episodes([], sections.severity), sections.no_activity)
    samples = np.zeros((1, DAYS, HOURS), np.uint16)
    samples[0, :6] = 200
    assert not line._levels(samples).any()


def test_late_data_that_shows_less_than_a_full_day_arms_the_rule_again(home: Any) -> None:
    home.say("0 08:00", motion_hall=True)
    home.tick("0 20:30")
    home.say("0 09:00", arrived="0 20:40", device="other", motion_hall=True)
    home.tick("0 21:30")
    assert home.said("no_activity") == [
        ("no_activity", "raised", "0 08:00", "0 20:00"),
        ("no_activity", "cleared", "0 08:00", "0 20:40"),
        ("no_activity", "raised", "0 09:00", "0 21:00"),
    ]
    assert [f.evidence.note for f in home.findings][1] == "late_data"


def test_local_hours_are_those_of_the_home(make_home: Any) -> None:
    home = make_home(attributes={"home-1": {"zone": "Asia/Urumqi"}})  # two hours behind
    home.say("0 16:00", motion_hall=True)
    home.tick("2 00:00")
    assert home.said("no_activity") == [("no_activity", "raised", "0 16:00", "1 12:00")]


def test_water_counts_as_a_sign_until_it_leaks(home: Any) -> None:
    home.say("0 08:00", motion_hall=True, water_m3=5.0)
    home.say("0 12:00", device="meter", water_m3=5.02)
    home.tick("1 09:00")
    assert home.said("no_activity") == [("no_activity", "raised", "0 12:00", "1 08:00")]
