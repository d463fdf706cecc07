"""MVNN and BED together reproduce CANARY's published event, and nothing else, on Station B."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models.binomial import Binomial
from models.mvnn import Mvnn
from zhiwei.contracts import Floats


@dataclass
class Course:
    """What became of each step, in the letters of the golden file, and the events."""

    letters: str
    events: list[tuple[int, int, str]]
    """First step, steps, termination."""


def canary(golden: dict[str, Any], blank: Any, rows: Floats, history: int) -> Course:
    parameters = golden["parameters"]
    detector = Mvnn(
        channels=tuple(channel["name"] for channel in golden["channels"]),
        settings={
            "history": history,
            "threshold": parameters["outlier_threshold"],
            "precision": {channel["name"]: channel["precision"] for channel in golden["channels"]}
            | {"default": 1.0},
        },
        file="golden",
    )
    discriminator = Binomial(
        settings={
            "window": parameters["bed"]["window"],
            "probability": parameters["bed"]["outlier_probability"],
            "threshold": parameters["event_threshold"],
            "timeout": parameters["event_timeout_steps"],
        },
        file="golden",
    )
    state = blank((*detector.fields, *discriminator.fields), 1, rows.shape[1])
    entity = np.array([0])
    letters, events, first, length = "", [], 0, 0
    for step in range(len(rows)):
        x = rows[step : step + 1]
        score = detector.score(state, entity, x)
        outlier = score >= 0.5
        if np.isnan(score[0]):
            letters += "M" if np.isnan(x).all() else "U"
            detector.learn(state, entity, x, outlier)
            continue
        judgement = discriminator.judge(state, entity, outlier)
        detector.learn(state, entity, x, outlier)
        if judgement.began[0]:
            first, length = step, 0
        length += int(judgement.event[0])
        if judgement.timed_out[0]:
            detector.rebase(state, entity)
            events.append((first, length, "ETO"))
        elif judgement.returned[0]:
            events.append((first, length, "RET"))
        letters += (
            "T" if judgement.timed_out[0] else "E" if judgement.event[0] else "O" if outlier[0] else "N"
        )
    return Course(letters, events)


def test_the_published_event_and_no_other(golden: dict[str, Any], blank: Any, station_b: Floats) -> None:
    first, last = golden["golden"]["steps"]
    course = canary(golden, blank, station_b[first : last + 1], golden["parameters"]["history_window"])
    event = golden["golden"]["event"]
    assert course.events == [(event["first_step"], event["duration_steps"], event["termination"])]
    assert course.letters[370:400] == golden["trace"]["steps_370_399"]
    counts = Counter(course.letters)
    assert {letter: counts[letter] for letter in "UNOETM"} == golden["trace"]["counts_0_1007"]


def test_history_72_gives_the_events_of_the_reference(
    golden: dict[str, Any], blank: Any, station_b: Floats
) -> None:
    course = canary(golden, blank, station_b[:1008], 72)
    expected = [
        (step, steps, end) for step, _, steps, end in golden["regression_only"]["events"]["MVNN H=72"]
    ]
    assert course.events == expected


@pytest.mark.parametrize("history", [144, 108])
def test_as_many_events_in_100_days_as_the_reference(
    golden: dict[str, Any], blank: Any, station_b: Floats, history: int
) -> None:
    course = canary(golden, blank, station_b, history)
    assert len(course.events) == golden["regression_only"]["events_on_all_7200_steps"][f"MVNN H={history}"]
    assert course.letters.count("M") == int(np.isnan(station_b).all(axis=1).sum()) > 0
