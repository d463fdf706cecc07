"""Answers are those of a plain loop over all rows ever written, wherever these are just now."""

import os
import threading
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.telemetry import history, segments
from streams.telemetry.history import SegmentHistory
from zhiwei.errors import ZhiweiError
from zhiwei.history import Gap, HistoryRefused, Interval, Samples
from zhiwei.schema import Channel
from zhiwei.types import Flag

# ------------------------------------------------------------------ the oracle


def kept(frames: list[list[Any]], entity: str, channel: str, start: int, end: int) -> list[tuple[Any, ...]]:
    """(at, arrived, offset, row, device, flags, value), in order of time; redeliveries once."""
    rows = []
    for offset, one in enumerate(frames):
        for number, row in enumerate(one):
            at = row.at_arrival if row.flags & Flag.CLOCK else row.ts
            value = row.values.get(channel)
            if row.entity == entity and value is not None and start <= at < end:
                rows.append((at, row.at_arrival, offset, number, row, value))
    seen, once = set(), []
    for at, arrived, offset, number, row, value in sorted(rows, key=lambda each: each[:4]):
        no_ts = bool(row.flags & Flag.NO_TS)
        key = row.device, row.ts, value, no_ts
        if no_ts or key not in seen:
            once.append((at, arrived, offset, number, row.device, row.flags, value))
            seen.add(key)
    return once


FLAGS = st.sampled_from([0, 0, 0, int(Flag.CLOCK), int(Flag.NO_TS), int(Flag.OVER_RANGE)])
ROWS = st.lists(
    st.tuples(
        st.integers(-20, 100),
        st.sampled_from(["a", "a", "b"]),
        st.sampled_from(["d", "e"]),
        FLAGS,
        st.integers(0, 60),
        st.fixed_dictionaries(
            {},
            optional={
                "level": st.sampled_from([0.0, 1.5, -2.25, 1e30]),
                "floor": st.integers(-3, 3),
                "open": st.booleans(),
                "mode": st.sampled_from(["auto", "manual", ""]),
                "codes": st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
            },
        ),
    ),
    min_size=1,
    max_size=6,
)
ACTS = st.lists(st.one_of(ROWS, st.just("close"), st.just("record"), st.just("die")), min_size=1, max_size=10)


def played(bed: Any, acts: list[Any]) -> list[list[Any]]:
    """Frames written, with segments closed, merged and recorders dying in between."""
    frames = []
    for act in acts:
        if act == "close":
            bed.close_segment()
        elif act == "record":
            bed.record()
        elif act == "die":
            bed.begin()
        else:
            rows = [
                bed.row(
                    bed.at(ts), values, entity=entity, device=device, flags=flags, arrived=bed.at(arrived)
                )
                for ts, entity, device, flags, arrived, values in act
            ]
            bed.write(bed.frame(rows))
            frames.append(rows)
    return frames


@settings(max_examples=50, deadline=None)
@given(
    acts=ACTS,
    start=st.integers(-30, 40),
    length=st.integers(1, 90),
    channel=st.sampled_from(["level", "floor"]),
)
def test_samples_are_those_of_a_loop_over_all_rows(beds, acts, start, length, channel) -> None:
    bed = beds()
    frames = played(bed, acts)
    answer = bed.ask(channel, start=start, end=start + length).values
    assert isinstance(answer, Samples)
    assert list(
        zip(
            answer.at.tolist(),
            [answer.devices[number] for number in answer.device],
            answer.flags.tolist(),
            answer.value.tolist(),
            strict=True,
        )
    ) == [
        (at, device, flags, float(np.float32(value)))
        for at, _, _, _, device, flags, value in kept(
            frames, "a", channel, bed.at(start), bed.at(start + length)
        )
    ]
    bed.log.close()


@settings(max_examples=50, deadline=None)
@given(
    acts=ACTS, start=st.integers(-30, 40), length=st.integers(1, 90), step=st.sampled_from([0.5, 1, 7, 3600])
)
def test_steps_are_those_of_a_loop_over_all_rows(beds, acts, start, length, step) -> None:
    bed = beds()
    frames = played(bed, acts)
    answer = bed.ask("level", start=start, end=start + length, step=step).values
    buckets: dict[int, list[float]] = defaultdict(list)
    width = round(step * 1_000_000)
    for at, *_, value in kept(frames, "a", "level", bed.at(start), bed.at(start + length)):
        buckets[at // width * width].append(float(np.float32(value)))
    for got, of in (
        (answer.low, min),
        (answer.high, max),
        (answer.last, lambda each: each[-1]),
        (answer.count, len),
    ):
        assert got.tolist() == [of(buckets[at]) for at in sorted(buckets)]
    assert answer.at.tolist() == sorted(buckets)
    assert answer.mean.tolist() == pytest.approx([np.mean(buckets[at]) for at in sorted(buckets)])
    bed.log.close()


@settings(max_examples=50, deadline=None)
@given(
    acts=ACTS,
    channel=st.sampled_from(["open", "mode", "codes"]),
    start=st.integers(-30, 40),
    length=st.integers(1, 90),
)
def test_strips_are_those_of_a_loop_over_all_rows(beds, acts, channel, start, length) -> None:
    bed = beds()
    frames = played(bed, acts)
    begin, end = bed.at(start), bed.at(start + length)
    expected: list[Interval] = []
    for device in ("d", "e"):
        runs: list[Interval] = []
        for at, *_, of, _, state in kept(frames, "a", channel, begin - history.CARRY_US, end):
            if of != device:
                continue
            if runs and runs[-1].state == state:
                runs[-1] = replace(runs[-1], seen_us=at)
                continue
            if runs:
                runs[-1] = replace(runs[-1], end_us=at)
            runs.append(Interval(device, state, at, at, None))
        expected += [
            replace(run, start_us=max(run.start_us, begin))
            for run in runs
            if run.end_us is None or run.end_us > begin or run.start_us >= begin
        ]
    assert list(bed.ask(channel, start=start, end=start + length).values) == expected
    bed.log.close()


# ------------------------------------------------------------------ where rows are


def test_the_newest_rows_are_there_before_they_are_in_a_segment(bed) -> None:
    bed.write(bed.level(1, 1.0))
    assert bed.ask().values.value.tolist() == [1.0]  # nothing was recorded yet
    bed.close_segment()
    bed.write(bed.level(2, 2.0))
    bed.record()
    bed.write(bed.level(3, 3.0))
    assert bed.ask().values.value.tolist() == [1.0, 2.0, 3.0]
    assert [(each.first, each.following) for each in bed.segments()] == [(0, 1)]


def test_a_row_on_the_backlog_stands_at_its_own_time(bed) -> None:
    bed.log.create_topic("backlog.test", 1)
    bed.write(bed.level(1, 1.0), bed.level(3, 3.0))
    bed.write(bed.level(2, 2.0, arrived=bed.at(50)), topic="backlog.test")
    assert bed.ask().values.value.tolist() == [1.0, 2.0, 3.0]
    bed.close_segment()
    bed.close_segment()
    assert len(bed.segments()) == 2
    assert bed.ask().values.value.tolist() == [1.0, 2.0, 3.0]


def test_an_entity_is_looked_for_in_its_own_partition(beds) -> None:
    bed = beds(partitions=4)
    for partition in range(4):
        bed.write(bed.level(partition), partition=partition)
    bed.close_segment()
    bed.write(*(bed.level(10),), partition=3)
    assert len(bed.ask().values.at) == 1 + (history.partition_of("a", 4) == 3)
    bed.log.close()


def test_an_entity_whose_name_is_part_of_anothers_keeps_to_itself(bed) -> None:
    bed.write(bed.level(1, entity="lift-10"), bed.level(2, entity="lift-1"))
    assert bed.ask(entity="lift-1").values.at.tolist() == [bed.at(2)]
    bed.close_segment()
    assert bed.ask(entity="lift-1").values.at.tolist() == [bed.at(2)]


def test_conflicting_rows_of_one_time_stand_beside_each_other_and_a_redelivery_counts_once(bed) -> None:
    bed.write(bed.level(1, 5.0))
    bed.close_segment()
    bed.write(bed.level(1, 6.0, arrived=bed.at(2)), bed.level(1, 5.0, arrived=bed.at(3)))
    answer = bed.ask().values
    assert (answer.at.tolist(), answer.value.tolist()) == ([bed.at(1)] * 2, [5.0, 6.0])
    assert bed.ask(step=10).values.count.tolist() == [2]


def test_rows_without_a_time_of_their_own_are_never_taken_for_redeliveries(bed) -> None:
    row = bed.row(bed.at(1), {"level": 5.0}, flags=int(Flag.NO_TS))
    bed.write(bed.frame([row, row]))
    assert bed.ask().values.value.tolist() == [5.0, 5.0]


def test_an_implausible_clock_is_replaced_by_our_own(bed) -> None:
    bed.write(bed.level(1_000_000_000, flags=int(Flag.CLOCK), arrived=bed.at(7)))
    assert bed.ask().values.at.tolist() == [bed.at(7)]
    bed.close_segment()
    assert bed.ask().values.at.tolist() == [bed.at(7)]
    assert bed.ask(start=999_999_000, end=1_000_001_000).values.at.tolist() == []


def test_a_channel_that_became_a_number_leaves_its_texts_out_and_a_wider_number_keeps_its_values(bed) -> None:
    bed.write(bed.frame([bed.row(bed.at(1), {"old": 1.0})]))
    bed.close_segment()

    def asked(dtype: str) -> Any:
        channel = Channel(name="old", dtype=dtype)
        schema = bed.schema.__class__(scenario="test", version=1, channels=(channel,))
        bed.history = SegmentHistory(bed.data, log=bed.log, schema_of=lambda _: schema)
        return bed.ask("old").values

    assert asked("utf8") == ()
    assert asked("float32").value.tolist() == [1.0]


def test_an_entity_or_a_channel_without_rows_has_an_empty_series(bed) -> None:
    bed.write(bed.level(1))
    bed.close_segment()
    assert len(bed.ask(entity="nobody").values.at) == 0
    assert len(bed.ask("floor", step=60).values.at) == 0
    assert bed.ask("mode").values == ()


# ------------------------------------------------------------------ what is not known


def test_a_gap_cuts_a_strip_and_what_held_in_it_is_not_claimed(bed) -> None:
    def said(second: float, state: bool) -> bytes:
        return bed.frame([bed.row(bed.at(second), {"open": state})])

    bed.write(said(10, True), said(20, True))
    bed.close_segment()
    bed.write(said(30, False), said(40, True), said(50, True))
    bed.trim(4)
    bed.close_segment()
    assert bed.ask("open").values == (
        Interval("d", True, bed.at(10), bed.at(20), bed.at(20)),
        Interval("d", True, bed.at(50), bed.at(50), None),
    )


def test_the_state_before_the_range_is_carried_into_it(bed) -> None:
    bed.write(bed.frame([bed.row(bed.at(10), {"mode": "auto"})]))
    assert bed.ask("mode", start=100).values == (Interval("d", "auto", bed.at(100), bed.at(10), None),)
    beyond = history.CARRY_US / 1e6 + 11
    assert bed.ask("mode", start=beyond, end=beyond + 1).values == ()


def test_what_the_log_lost_before_anybody_recorded_it_is_named_by_the_answer_itself(bed) -> None:
    bed.write(bed.level(10))
    bed.close_segment()
    bed.write(bed.level(20), bed.level(30))
    bed.trim(2)
    assert bed.ask().gaps == (Gap(bed.at(10), bed.at(30), "overtaken", 1),)
    assert bed.ask(entity="b").gaps == bed.ask().gaps
    bed.write(*(bed.level(second) for second in (40, 50)))
    assert bed.ask(start=31).gaps == ()


def test_far_behind_the_newest_rows_are_shown_and_the_rest_is_named(bed, monkeypatch) -> None:
    bed.write(bed.level(10))
    bed.close_segment()
    bed.write(*(bed.level(second) for second in (20, 30, 40, 50)))
    monkeypatch.setattr(history, "TAIL_RECORDS", 2)
    assert bed.ask().values.at.tolist() == [bed.at(10), bed.at(40), bed.at(50)]
    assert bed.ask().gaps == (Gap(bed.at(10), bed.at(40), "unrecorded", 2),)
    bed.close_segment()
    assert len(bed.ask().values.at) == 5
    assert bed.ask().gaps == ()


# ------------------------------------------------------------------ while others work


def test_a_file_that_retention_removes_under_our_hands_is_not_asked_for_again(bed, monkeypatch) -> None:
    for second in (1, 2):
        bed.write(bed.level(second))
        bed.close_segment()
    real = segments.listed

    def listed(folder: Any) -> Any:
        found = real(folder)
        if len(found[0]) == 2:
            os.unlink(found[0][0].file)  # noqa: PTH108
        return found

    monkeypatch.setattr(segments, "listed", listed)
    assert bed.ask().values.at.tolist() == [bed.at(2)]


def test_files_that_stay_unreadable_are_an_error_that_names_the_place(bed) -> None:
    bed.write(bed.level(1))
    bed.close_segment()
    bed.segments()[0].file.write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(ZhiweiError, match=r"telemetry: cannot be read: .*parquet"):
        bed.ask()


def test_a_segment_closed_between_two_looks_counts_once(bed, monkeypatch) -> None:
    bed.write(bed.level(1), bed.level(2))
    bed.record()
    real = segments.listed

    def listed(folder: Any) -> Any:
        found = real(folder)
        monkeypatch.setattr(segments, "listed", real)
        bed.close_segment()
        return found

    monkeypatch.setattr(segments, "listed", listed)
    assert bed.ask().values.at.tolist() == [bed.at(1), bed.at(2)]
    assert len(bed.segments()) == 1


def test_many_may_ask_at_once(bed) -> None:
    for second in range(3):
        bed.write(bed.level(second, entity="a"), bed.level(second, entity="b"))
        if second < 2:
            bed.close_segment()
    answers: dict[tuple[str, int], int] = {}

    def ask(entity: str, number: int) -> None:
        answers[entity, number] = sum(
            len(bed.ask(entity=entity, end=1 + number % 3).values.at) for _ in range(5)
        )

    threads = [threading.Thread(target=ask, args=(entity, number)) for entity in "ab" for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {(entity, number): 5 * (1 + number % 3) for entity in "ab" for number in range(6)}


# ------------------------------------------------------------------ questions that cannot be answered


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"start": 5, "end": 5}, "start_us = 1750000005000000: expected a time before end_us"),
        ({"step": 0}, "step_us = 0: expected at least 180000: 20000 steps in this range"),
        ({"step": 0.1}, "step_us = 100000: expected at least 180000"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(bed, question, said) -> None:
    with pytest.raises(HistoryRefused, match=said):
        bed.ask(**question)


def test_more_values_than_a_screen_can_show_are_refused_with_what_to_do(bed, monkeypatch) -> None:
    monkeypatch.setattr(history, "MOST_VALUES", 2)
    bed.write(*(bed.level(second) for second in range(3)))
    with pytest.raises(
        HistoryRefused, match="more than 2 values in this range: ask for a shorter one, or for"
    ):
        bed.ask()
    assert bed.ask(step=3600).values.count.tolist() == [3]


def test_a_channel_or_scenario_that_does_not_exist_is_refused_by_name(bed) -> None:
    real = SegmentHistory(bed.data, log=bed.log)
    with pytest.raises(HistoryRefused, match=r"channel 'turbid': scenario 'water' has none .* turbidity"):
        real.history("water", "a", "turbid", start_us=0, end_us=1)
    with pytest.raises(ZhiweiError, match=r"no scenario '\.\./x'"):
        real.history("../x", "a", "level", start_us=0, end_us=1)
