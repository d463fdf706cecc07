"""A role's health is judged by its progress: every reason, at its limit and beyond."""

from typing import Any

import pytest

from zhiwei.health import ROLES, judge
from zhiwei.metrics import Samples
from zhiwei.settings import Health

NOW_S = 1_750_000_000.0
LIMITS = Health()

Figure = tuple[str, dict[str, str], float]


def samples(*figures: Figure) -> Samples:
    return {(name, tuple(sorted(labels.items()))): value for name, labels, value in figures}


def water(name: str, value: float, topic: str = "readings.water") -> Figure:
    return name, {"topic": topic, "partition": "0"}, value


GOOD: dict[str, tuple[Figure, ...]] = {
    "ingest": (
        ("zhiwei_ingest_turn_timestamp_seconds", {}, NOW_S),
        ("zhiwei_ingest_live", {}, 1),
        ("zhiwei_ingest_withheld", {}, 0),
        ("zhiwei_ingest_append_timestamp_seconds", {}, NOW_S - 1),
    ),
    "stream": (
        ("zhiwei_stream_turn_timestamp_seconds", {}, NOW_S - 1),
        water("zhiwei_lag_records", 3),
        water("zhiwei_stalled_seconds", 0),
        water("zhiwei_unsaved_seconds", 30),
        water("zhiwei_applied_timestamp_seconds", NOW_S - 1),
    ),
    "alerts": (
        ("zhiwei_alerts_turn_timestamp_seconds", {}, NOW_S),
        ("zhiwei_alerts_folded_timestamp_seconds", {}, NOW_S - 60),
        water("zhiwei_alerts_lag_records", 1, "findings"),
        water("zhiwei_alerts_stalled_seconds", 0, "findings"),
        water("zhiwei_drill_sent_timestamp_seconds", NOW_S - 30),
        ("zhiwei_dispatch_oldest_pending_seconds", {"sink": "duty", "lane": "urgent"}, 1),
        ("zhiwei_dispatch_oldest_pending_seconds", {"sink": "duty", "lane": "ordinary"}, 1),
    ),
    "telemetry": (
        ("zhiwei_telemetry_turn_timestamp_seconds", {}, NOW_S - 1),
        ("zhiwei_influx_sent_timestamp_seconds", {}, NOW_S - 10),
        water("zhiwei_influx_lag_records", 3),
    ),
    "console": (
        ("zhiwei_console_turn_timestamp_seconds", {}, NOW_S - 1),
        ("zhiwei_console_read_timestamp_seconds", {}, NOW_S - 1),
        ("zhiwei_console_served", {}, 1),
    ),
}
URGENT = {"sink": "duty", "lane": "urgent"}
ORDINARY = {"sink": "duty", "lane": "ordinary"}

BAD: list[tuple[str, Figure, str]] = [
    ("ingest", ("zhiwei_ingest_turn_timestamp_seconds", {}, NOW_S - 16), "it hangs: its last turn is 16 s"),
    ("ingest", ("zhiwei_ingest_live", {}, 0), "not proven live"),
    ("ingest", ("zhiwei_ingest_withheld", {}, 1), "the log takes nothing"),
    ("ingest", ("zhiwei_ingest_append_timestamp_seconds", {}, 0), "nothing was appended"),
    ("ingest", ("zhiwei_ingest_append_timestamp_seconds", {}, NOW_S - 11), "append to the log is 11 s old"),
    ("stream", ("zhiwei_stream_turn_timestamp_seconds", {}, NOW_S - 16), "it hangs"),
    ("stream", water("zhiwei_lag_records", 3001), "readings.water/0: 3001 records wait, limit 3000"),
    ("stream", water("zhiwei_stalled_seconds", 16), "3 records wait and none was applied for 16 s"),
    ("stream", water("zhiwei_unsaved_seconds", 121), "no snapshot for 121 s, limit 120 s"),
    ("stream", water("zhiwei_applied_timestamp_seconds", NOW_S - 11), "no record came for 11 s"),
    ("alerts", ("zhiwei_alerts_turn_timestamp_seconds", {}, NOW_S - 16), "it hangs"),
    ("alerts", ("zhiwei_alerts_folded_timestamp_seconds", {}, 0), "nothing was folded yet"),
    ("alerts", ("zhiwei_alerts_folded_timestamp_seconds", {}, NOW_S - 181), "nothing came from streams"),
    ("alerts", water("zhiwei_alerts_stalled_seconds", 16, "findings"), "findings/0: 1 records wait and none"),
    ("alerts", water("zhiwei_drill_sent_timestamp_seconds", NOW_S - 91), "readings.water/0: no drill"),
    ("alerts", ("zhiwei_dispatch_oldest_pending_seconds", URGENT, 61), "duty, urgent: the oldest event"),
    ("alerts", ("zhiwei_dispatch_oldest_pending_seconds", ORDINARY, 901), "duty, ordinary: the oldest"),
    ("telemetry", ("zhiwei_telemetry_turn_timestamp_seconds", {}, NOW_S - 16), "it hangs"),
    ("telemetry", ("zhiwei_influx_sent_timestamp_seconds", {}, 0), "nothing was written to InfluxDB yet"),
    ("telemetry", ("zhiwei_influx_sent_timestamp_seconds", {}, NOW_S - 121), "for 121 s, limit 120 s"),
    ("telemetry", water("zhiwei_influx_lag_records", 3001), "3001 records wait, limit 3000"),
    ("console", ("zhiwei_console_turn_timestamp_seconds", {}, NOW_S - 16), "it hangs"),
    ("console", ("zhiwei_console_read_timestamp_seconds", {}, NOW_S - 16), "not read for 16 s, limit 15 s"),
    ("console", ("zhiwei_console_served", {}, 0), "the console is not served"),
]
AT_THE_LIMIT: list[tuple[str, Figure]] = [
    ("ingest", ("zhiwei_ingest_turn_timestamp_seconds", {}, NOW_S - 15)),
    ("ingest", ("zhiwei_ingest_append_timestamp_seconds", {}, NOW_S - 10)),
    ("alerts", ("zhiwei_alerts_folded_timestamp_seconds", {}, NOW_S - 180)),
    ("alerts", water("zhiwei_drill_sent_timestamp_seconds", NOW_S - 90)),
    ("stream", water("zhiwei_lag_records", 3000)),
    ("stream", water("zhiwei_lag_records", 9_000_000, "backlog.water")),
    ("stream", water("zhiwei_stalled_seconds", 15)),
    ("stream", water("zhiwei_unsaved_seconds", 120)),
    ("telemetry", ("zhiwei_influx_sent_timestamp_seconds", {}, NOW_S - 120)),
    ("telemetry", water("zhiwei_influx_lag_records", 3000)),
    ("console", ("zhiwei_console_read_timestamp_seconds", {}, NOW_S - 15)),
    ("telemetry", water("zhiwei_influx_lag_records", 9_000_000, "backlog.water")),
    ("alerts", ("zhiwei_dispatch_oldest_pending_seconds", URGENT, 60)),
    ("alerts", ("zhiwei_dispatch_oldest_pending_seconds", ORDINARY, 900)),
]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_makes_progress_is_good(role: str) -> None:
    assert judge(role, samples(*GOOD[role]), NOW_S, LIMITS).reasons == ()


@pytest.mark.parametrize(("role", "figure", "reason"), BAD)
def test_a_figure_beyond_its_limit_is_the_one_reason(role: str, figure: Figure, reason: str) -> None:
    found = judge(role, samples(*GOOD[role], figure), NOW_S, LIMITS)
    assert found.verdict == "bad"
    assert len(found.reasons) == 1
    assert reason in found.reasons[0]


@pytest.mark.parametrize(("role", "figure"), AT_THE_LIMIT)
def test_a_figure_at_its_limit_is_good(role: str, figure: Figure) -> None:
    assert judge(role, samples(*GOOD[role], figure), NOW_S, LIMITS).good


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_has_not_begun_is_not_good(role: str) -> None:
    assert "it has not begun to work yet" in judge(role, {}, NOW_S, LIMITS).reasons


def test_one_partition_that_moves_is_enough_to_say_that_records_come() -> None:
    idle = water("zhiwei_applied_timestamp_seconds", NOW_S - 500, "urgent.water")
    assert judge("stream", samples(*GOOD["stream"], idle), NOW_S, LIMITS).good


def test_a_worker_without_a_partition_waits_for_nothing() -> None:
    turn = samples(("zhiwei_stream_turn_timestamp_seconds", {}, NOW_S))
    assert judge("stream", turn, NOW_S, LIMITS).good


def test_drills_that_are_overdue_everywhere_are_one_reason() -> None:
    places = [({"topic": "readings.water", "partition": str(n)}) for n in range(5)]
    old = [("zhiwei_drill_sent_timestamp_seconds", place, NOW_S - 100 - n) for n, place in enumerate(places)]
    (reason,) = judge("alerts", samples(*GOOD["alerts"], *old), NOW_S, LIMITS).reasons
    first = "readings.water/0, readings.water/1, readings.water/2 and 2 more"
    assert reason.startswith(f"{first}: no drill that came back is younger than 100 s, limit 90 s")


def test_limits_are_settings() -> None:
    figures: Any = samples(*GOOD["stream"])
    assert not judge("stream", figures, NOW_S, Health(lag_records=2)).good
