from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binomial import Binomial

ENTITY = np.array([0])


def make(window: int = 6, probability: float = 0.5, threshold: float = 0.85, timeout: int = 12) -> Binomial:
    return Binomial(
        settings={
            "window": window,
            "probability": probability,
            "threshold": threshold,
            "timeout": timeout,
        },
        file="test",
    )


def letters(bed: Binomial, blank: Any, outliers: list[bool]) -> str:
    """b began, e event, t timed out (bt on one row: x), r returned, . none."""
    state = blank(bed.fields, 1, 0)
    text = ""
    for outlier in outliers:
        j = bed.judge(state, ENTITY, np.array([outlier]))
        began, timed_out = bool(j.began[0]), bool(j.timed_out[0])
        assert j.event[0] or not (began or timed_out)
        text += (
            "x" if began and timed_out else "b" if began else "t" if timed_out
            else "e" if j.event[0] else "r" if j.returned[0] else "."
        )  # fmt: skip
    return text


def by_hand(outliers: list[bool], window: int, p: float, threshold: float, timeout: int) -> str:
    """The rule of the golden file, step by step."""
    recent: list[bool] = []
    count, active, text = 0, False, ""
    for outlier in outliers:
        recent = [*recent, outlier][-window:]
        probability = sum(comb(window, k) * p**k * (1 - p) ** (window - k) for k in range(sum(recent) + 1))
        event = probability >= threshold
        count = 0 if probability <= 0.5 else count + event
        if event and count == timeout:
            text += "t" if active else "x"
            recent, count, active = [], 0, False
        else:
            text += "r" if active and not event else "." if not event else "e" if active else "b"
            active = event
    return text


@pytest.mark.parametrize(("key", "window"), [("n=6,p=0.5", 6), ("n=12,p=0.5", 12)])
def test_probabilities_are_those_of_the_reference(
    golden: dict[str, Any], blank: Any, key: str, window: int
) -> None:
    bed = make(window=window, threshold=1.0, timeout=1000)
    state = blank(bed.fields, 1, 0)
    found = {"0": bed.judge(state, ENTITY, np.array([False])).probability[0]}
    for k in range(1, window + 1):
        found[str(k)] = bed.judge(state, ENTITY, np.array([True])).probability[0]
    assert {k: round(float(p), 4) for k, p in found.items()} == golden["bed_cdf"][key]


def test_four_of_six_raise_and_a_lasting_change_times_out(blank: Any) -> None:
    assert letters(make(), blank, [True] * 20) == "..." + "b" + "e" * 10 + "t" + "...be"


def test_three_of_six_neither_raise_nor_start_the_count_anew(blank: Any) -> None:
    pattern = [True] * 4 + [False] * 3 + [True] * 12
    # 3 event rows before the interruption and 9 after it are the 12 of the time-out.
    assert letters(make(), blank, pattern) == "...bee" + "r" + "..." + "b" + "e" * 7 + "t"


def test_two_of_six_start_the_count_anew(blank: Any) -> None:
    pattern = [True] * 4 + [False] * 4 + [True] * 16
    assert letters(make(), blank, pattern) == "...beer" + "." + "..." + "b" + "e" * 10 + "t" + "."


def test_an_event_may_begin_and_time_out_on_one_row(blank: Any) -> None:
    assert letters(make(timeout=1), blank, [True] * 8) == "...x...x"


@given(
    outliers=st.lists(st.booleans(), max_size=80),
    window=st.integers(1, 8),
    p=st.sampled_from([0.3, 0.5, 0.7]),
    threshold=st.sampled_from([0.6, 0.85, 0.99]),
    timeout=st.integers(1, 6),
)
def test_events_are_those_of_the_rule_worked_by_hand(
    blank: Any, outliers: list[bool], window: int, p: float, threshold: float, timeout: int
) -> None:
    bed = make(window, p, threshold, timeout)
    assert letters(bed, blank, outliers) == by_hand(outliers, window, p, threshold, timeout)


def test_a_threshold_of_one_needs_every_row(blank: Any) -> None:
    assert letters(make(window=3, probability=0.3, threshold=1.0), blank, [True] * 4) == "..be"
