"""Replay: what a file says, what is refused of it, and the golden cases through the whole engine."""

import csv
import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zhiwei import recording, registry
from zhiwei.errors import ConfigError, ZhiweiError
from zhiwei.wiring.replay import Summary, replay

ROOT = Path(__file__).parents[3]
STATION_B = ROOT / "simulators" / "recorded" / "station_b.csv.gz"
MAP = recording.load_map(ROOT / "simulators" / "recorded" / "station_b.toml")
CANARY = ROOT / "scenarios" / "water" / "canary.toml"


def findings(out: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]


def scores(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(tmp_path: Path, text: str, table: str = "", name: str = "in.csv") -> tuple[Summary, Path, Path]:
    source, out, score = tmp_path / name, tmp_path / "out.jsonl", tmp_path / "scores.csv"
    source.write_text(text)
    mapped = None
    if table:
        (tmp_path / "map.toml").write_text(table)
        mapped = recording.load_map(tmp_path / "map.toml")
    return replay(source, scenario="water", table=mapped, out=out, scores=score), out, score


# ------------------------------------------------------------------ golden


def first_rows(tmp_path: Path, count: int) -> Path:
    with gzip.open(STATION_B, "rt") as stream:
        lines = stream.readlines()[: count + 1]
    file = tmp_path / "first.csv"
    file.write_text("".join(lines))
    return file


def test_the_reference_policy_gives_exactly_the_reference_event(tmp_path: Path) -> None:
    out, score = tmp_path / "out.jsonl", tmp_path / "scores.csv"
    replay(first_rows(tmp_path, 1008), scenario="water", table=MAP, policy=CANARY, out=out, scores=score)
    events = [f for f in findings(out) if f["kind"] == "water.event"]
    assert [(f["phase"], f["at"], f["evidence"]["note"]) for f in events] == [
        ("raised", "2006-02-26T07:40:00Z", ""),
        ("cleared", "2006-02-26T11:20:00Z", "timeout"),
    ]
    assert events[0]["onset"] == "2006-02-26T07:40:00Z"
    lines = scores(score)
    assert len(lines) == 1008
    assert [place for place, line in enumerate(lines) if line["alarm"] == "1"] == list(range(383, 395))


def test_the_default_policy_finds_the_event_with_few_rows_in_alarm(tmp_path: Path) -> None:
    out, score = tmp_path / "out.jsonl", tmp_path / "scores.csv"
    done = replay(first_rows(tmp_path, 1008), scenario="water", table=MAP, out=out, scores=score)
    alarms = [place for place, line in enumerate(scores(score)) if line["alarm"] == "1"]
    assert 383 <= alarms[0] <= 395
    assert done.alarm_rows == len(alarms) <= 60


# ------------------------------------------------------------------ what a file may say


def test_every_row_has_a_line_also_an_empty_and_a_refused_one(tmp_path: Path) -> None:
    done, _, score = run(
        tmp_path,
        "timestamp,turbidity\n2026-01-01T00:00:00,0.3\n2026-01-01T00:01:00,\nyesterday,0.3\n"
        "2026-01-01T00:03:00,18. Jan\n2026-01-01T00:03:00,18. Jan\n",
    )
    assert [line["timestamp"] for line in scores(score)] == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:01:00Z",
        "yesterday",
        "2026-01-01T00:03:00Z",
        "2026-01-01T00:03:00Z",
    ]
    assert (done.rows, done.refused_rows, done.duplicate) == (5, 1, 1)
    assert done.refused == [
        "line 4: timestamp = 'yesterday': expected an ISO 8601 time",
        "line 5: turbidity (turbidity) = '18. Jan': expected a number",
        "line 6: turbidity (turbidity) = '18. Jan': expected a number",
    ]


def test_scale_offset_zone_and_entities_are_those_of_the_map(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("t,who,F\n2026-01-01 08:00,a,50\n2026-01-01 08:00,b,32\n")
    (tmp_path / "map.toml").write_text(
        'timestamp = { column = "t", format = "%Y-%m-%d %H:%M", zone = "Asia/Shanghai" }\n'
        'entity = { column = "who" }\n[channels]\n'
        'temperature = { column = "F", scale = 0.5555555555555556, offset = -17.77777777777778 }\n'
        "[entity_attributes]\nlimit = 3\n[entity_attributes.b]\nlimit = 4\n"
    )
    table = recording.load_map(tmp_path / "map.toml")
    rows = list(recording.rows(source, registry.scenario("water").schema, table))
    assert [(r.entity, r.ts, round(float(r.values["temperature"]), 9)) for r in rows] == [
        ("a", 1_767_225_600_000_000, 10.0),
        ("b", 1_767_225_600_000_000, 0.0),
    ]
    assert table.attributes(("a", "b")) == {
        "a": {"limit": "3", "zone": "Asia/Shanghai"},
        "b": {"limit": "4", "zone": "Asia/Shanghai"},
    }


def test_json_lines_are_native_readings_and_bad_ones_are_refused_by_line(tmp_path: Path) -> None:
    done, _, score = run(
        tmp_path,
        '{"ts": "2026-01-01T08:00:00+08:00", "turbidity": 0.3, "entity": "x", "flags": "C"}\n'
        '{"ts": 1767225660000, "turbidity": true, "nonsense": 1}\n[]\n{"ts":\n',
        name="in.jsonl",
    )
    assert [line["entity"] for line in scores(score)] == ["x", "in", "in", "in"]
    assert done.refused_rows == 2
    assert [reason.split(":")[1].strip().split(" ")[0] for reason in done.refused] == [
        "turbidity",
        "nonsense",
        "expected",
        "not",
    ]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[channels]\nturbidityy = "turbidity"\n', "channels.turbidityy"),
        ('[channels]\nturbidity = "column_x"\n', "a column of"),
        ('timestamp = { column = "t" }\n[channels]\nturbidity = "turbidity"\n', "a column of"),
        (
            'timestamp = { column = "timestamp", zone = "Mars" }\n[channels]\nturbidity = "turbidity"\n',
            "zone",
        ),
        ("channels = 3\n", "map"),
        ("[channels\n", "TOML"),
        ('nonsense = 1\n[channels]\nturbidity = "turbidity"\n', "nonsense"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_by_key(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(tmp_path, "timestamp,turbidity\n2026-01-01T00:00:00,0.3\n", table)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x1f\x8b broken"])
def test_a_file_that_is_no_text_is_refused_in_plain_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ("x.csv.gz" if content[:1] == b"\x1f" else "x.csv")
    file.write_bytes(content)
    with pytest.raises(ZhiweiError):
        replay(file, scenario="water", table=None, out=tmp_path / "o.jsonl")


def test_alarm_on_another_kind_and_channel(tmp_path: Path) -> None:
    case = ROOT / "tests" / "cases" / "water" / "w2_turbidity" / "input.jsonl"
    counts = {}
    for alarm in ("water.turbidity_high", "water.turbidity_high:turbidity", "water.turbidity_high:ph"):
        done = replay(case, scenario="water", alarm_on=alarm, out=tmp_path / "o.jsonl")
        counts[alarm.removeprefix("water.turbidity_high")] = done.alarm_rows
    assert counts == {"": 28, ":turbidity": 28, ":ph": 0}


# ------------------------------------------------------------------ rows that came at another time


TURBID = ROOT / "tests" / "cases" / "water" / "w2_turbidity" / "input.jsonl"


def shifted(file: Path, *, ts_s: int = 0, arrived_s: int = 0, **more: str) -> Path:
    """The turbid water with other times: of the device's clock, and of the arrival."""
    lines = []
    for line in TURBID.read_bytes().splitlines():
        said = msgspec.json.decode(line)
        true = datetime.fromisoformat(said["ts"]).timestamp()
        lines.append({**said, "ts": (true + ts_s) * 1000, "arrived": (true + arrived_s) * 1000, **more})
    file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return file


def told(file: Path, source: Path) -> list[tuple[str, str, str, bool]]:
    replay(source, scenario="water", out=file)
    return [(f["kind"], f["phase"], f["onset"], f["historical"]) for f in findings(file)]


def test_rows_that_came_hours_late_are_judged_as_history(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    on_time = told(out, shifted(tmp_path / "in.jsonl"))
    assert on_time == told(out, TURBID)
    assert "water.turbidity_high" in [kind for kind, *_ in on_time]
    late = told(out, shifted(tmp_path / "in.jsonl", arrived_s=10_800))
    rows = [said for said in late if said[0] == "water.turbidity_high"]
    assert rows == [(*said[:3], True) for said in on_time if said[0] == "water.turbidity_high"]


def test_a_clock_that_is_hours_ahead_is_not_believed(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    assert told(out, shifted(tmp_path / "in.jsonl", ts_s=28_800)) == told(out, TURBID)


def test_the_clock_of_one_device_makes_no_row_of_another_late(tmp_path: Path) -> None:
    """The second device's rows are older, but in order among themselves."""
    source = tmp_path / "in.jsonl"
    lines = []
    for arrived in range(1_767_225_600_000, 1_767_225_900_000, 60_000):
        for device, lag in (("a", 0), ("b", 30_000)):
            said = {"ts": arrived - lag, "arrived": arrived, "entity": "x", "device": device}
            lines.append({**said, "turbidity": 0.3})
    source.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    assert replay(source, scenario="water", out=tmp_path / "o.jsonl").late == 0
    source.write_bytes(source.read_bytes().replace(b'"device":"b"', b'"device":"a"'))
    assert replay(source, scenario="water", out=tmp_path / "o.jsonl").late == 5


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('"arrived": "soon"', "line 1: arrived = 'soon': expected ISO 8601 or Unix milliseconds"),
        ('"device": "a/b"', "line 1: device = 'a/b': expected a name without blanks or '/'"),
    ],
)
def test_an_arrival_or_a_device_that_cannot_be_is_refused(tmp_path: Path, said: str, reason: str) -> None:
    done, _, _ = run(tmp_path, f'{{"ts": 1767225660000, "turbidity": 0.3, {said}}}\n', name="in.jsonl")
    assert (done.refused_rows, done.refused) == (1, [reason])


def test_a_number_is_taken_as_the_text_of_it_would_be(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(
        '{"ts": 1767225660000, "turbidity": 1, "ph": "7.5", "toc": null, "hatch_open": true}\n'
        '{"ts": 1767225720000, "turbidity": 1e300, "ph": NaN, "toc": "", "hatch_open": 0}\n'
        '{"ts": 1767225780000, "turbidity": false, "ph": [1], "hatch_open": 0.5}\n'
    )
    first, second, third = recording.rows(source, registry.scenario("water").schema, None)
    assert first.values == {"turbidity": 1.0, "ph": 7.5, "hatch_open": True}
    assert second.values == {"hatch_open": False}
    assert third.values == {}
    assert [len(row.refused) for row in (first, second, third)] == [0, 1, 3]


def test_a_json_line_may_name_its_device_and_is_late_by_that_device_alone(tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    line = '{{"ts": {ts}, "entity": "room", "device": "{device}", "turbidity": 0.3}}\n'
    said = [(2_000_000, "a"), (1_000_000, "b"), (1_500_000, "a"), (1_600_000, "no name")]
    file.write_text("".join(line.format(ts=ts, device=device) for ts, device in said))
    summary = replay(file, scenario="water", out=tmp_path / "out.jsonl")
    assert (summary.late, summary.refused_rows) == (1, 1)
    assert summary.refused == ["line 4: device = 'no name': expected a name without blanks or '/'"]
