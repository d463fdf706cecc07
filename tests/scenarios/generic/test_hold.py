import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenarios.generic.hold import Hold
from zhiwei.contracts import State


def by_hand(outliers: list[bool], rows: int, clear_rows: int, timeout: int) -> str:
    text, is_open, outs, usual, length = "", False, 0, 0, 0
    for outlier in outliers:
        outs, usual = (outs + 1, 0) if outlier else (0, usual + 1)
        was_open = is_open
        is_open = usual < clear_rows if is_open else outs >= rows
        length = length + 1 if is_open else 0
        if is_open and length >= timeout:
            text, is_open, outs, length = text + ("t" if was_open else "x"), False, 0, 0
        else:
            text += "e" if was_open and is_open else "r" if was_open else "b" if is_open else "."
    return text


@given(
    outliers=st.lists(st.booleans(), max_size=60),
    rows=st.integers(1, 4),
    clear_rows=st.integers(1, 4),
    timeout=st.integers(1, 9),
)
def test_events_are_those_worked_by_hand(
    outliers: list[bool], rows: int, clear_rows: int, timeout: int
) -> None:
    hold = Hold(settings={"rows": rows, "clear_rows": clear_rows, "timeout": timeout}, file="test")
    state = State({field.name: np.zeros(1, field.dtype) for field in hold.fields})
    text = ""
    for outlier in outliers:
        j = hold.judge(state, np.array([0]), np.array([outlier]))
        began, timed_out = bool(j.began[0]), bool(j.timed_out[0])
        text += (
            "x" if began and timed_out else "b" if began else "t" if timed_out
            else "e" if j.event[0] else "r" if j.returned[0] else "."
        )  # fmt: skip
        assert 0.0 <= j.probability[0] <= 1.0
    assert text == by_hand(outliers, rows, clear_rows, timeout)
