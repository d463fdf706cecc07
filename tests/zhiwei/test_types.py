"""The types that flow: what is written is read again, and what is impossible is not read."""

from datetime import UTC, datetime

import msgspec
import pytest

from zhiwei.types import (
    QUALITY_LETTERS,
    Control,
    ControlRecord,
    Coordinates,
    Drill,
    Evidence,
    Finding,
    FindingRecord,
    Flag,
    Observation,
    Phase,
    Reading,
    Reason,
    Rejection,
    Severity,
    Tick,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
FINDING = Finding(
    id="f1",
    rev=2,
    site="local",
    scenario="water",
    entity="泵房-1",
    kind="water.chlorine_low",
    rule="limit.low.free_chlorine",
    phase=Phase.RAISED,
    onset=NOON,
    at=NOON,
    score=0.75,
    severity=Severity.MAJOR,
    evidence=Evidence(
        observations=(
            Observation(name="free_chlorine", observed=0.01, expected=None, limit="≥ 0.05", unit="mg/L"),
            Observation(name="hatch_open", observed=True),
            Observation(name="door_state", observed="open", expected="closed"),
        ),
        start=NOON,
        samples=3,
        note="returned",
    ),
    versions={"policy": "1", "rules": "2"},
    coordinates=Coordinates(topic="readings.water", partition=0, offset=17),
    historical=True,
)
TICK = Tick(clock="live", time=NOON)
CONTROL = Control(kind="policy", version="2", body='a = "1"\n')
DRILL = Drill(topic="readings.water", partition=3, sent=NOON)
REJECTION = Rejection(
    reason=Reason.OUT_OF_RANGE,
    scope="cell",
    topic="zw/v1/water/e/d",
    detail="ph",
    payload=b"\x00\xff",
    arrived=NOON,
)
READING = Reading(
    scenario="water",
    entity="e",
    device="d",
    ts=NOON,
    arrived=NOON,
    values={"ph": 7.0, "x": None, "b": True, "s": "1"},
)


@pytest.mark.parametrize(
    "value", [FINDING, TICK, CONTROL, DRILL, REJECTION, READING], ids=lambda value: type(value).__name__
)
def test_what_is_written_is_read_again(value: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


@pytest.mark.parametrize(
    ("records", "values"), [(FindingRecord, [FINDING, TICK, DRILL]), (ControlRecord, [TICK, CONTROL, DRILL])]
)
def test_a_record_says_by_itself_what_it_is(records: type, values: list[msgspec.Struct]) -> None:
    assert [msgspec.json.decode(msgspec.json.encode(value), type=records) for value in values] == values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score", 1.01),
        ("score", -0.01),
        ("score", None),
        ("phase", "begun"),
        ("severity", "bad"),
        ("rev", 1.5),
    ],
)
def test_a_finding_that_cannot_be_is_not_read(key: str, value: object) -> None:
    plain = msgspec.to_builtins(FINDING)
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert({**plain, key: value}, Finding)


def test_a_record_of_an_unknown_type_is_not_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="type"):
        msgspec.json.decode(b'{"type": "rumour"}', type=FindingRecord)


@pytest.mark.parametrize(
    "value", [FINDING, TICK, CONTROL, DRILL, REJECTION, READING], ids=lambda value: type(value).__name__
)
def test_what_has_been_made_does_not_change(value: msgspec.Struct) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], None)


def test_severities_stand_from_the_least_to_the_most() -> None:
    assert [severity.value for severity in sorted(Severity, key=lambda s: s.rank)] == [
        "info", "minor", "major", "critical",
    ]  # fmt: skip


def test_flags_are_single_bits_of_a_uint16_and_keep_their_place() -> None:
    assert {flag.name: flag.value for flag in Flag} == {
        "CLOCK": 1,
        "NO_TS": 2,
        "LATE": 4,
        "HISTORICAL": 8,
        "CONFLICT": 16,
        "STOPPED": 32,
        "MAINTENANCE": 64,
        "MANUAL": 128,
        "FAULT": 256,
        "CALIBRATION": 512,
        "OVER_RANGE": 1024,
        "COMMUNICATION": 2048,
    }


def test_quality_letters_are_those_of_hj_212() -> None:
    assert "".join(QUALITY_LETTERS) == "NFMSDCTB"
    assert QUALITY_LETTERS["N"] == 0
    assert len(set(QUALITY_LETTERS.values())) == len(QUALITY_LETTERS)


def test_reasons_stay_the_words_that_other_programs_count_by() -> None:
    released = {
        "not_json", "truncated", "not_utf8", "too_deep", "too_large", "empty", "wrong_type", "not_finite",
        "out_of_range", "bad_timestamp", "no_timestamp", "unknown_channel", "unknown_flag", "bad_topic",
        "unknown_scenario", "unknown_device", "unknown_entity", "too_many_entities", "bad_frame",
        "unknown_version", "rule_error",
    }  # fmt: skip
    assert released <= {reason.value for reason in Reason}
