"""What is drawn around an onset."""

# ruff: noqa: ARG002 - doubles take what their contract says

import msgspec
import numpy as np
import pytest

from alerts.api.sources import Interval, LastValue, Series
from alerts.console import evidence
from alerts.console.evidence import options, points, scene, window
from alerts.console.incident_parts import strips
from alerts.console.texts import Language
from alerts.console.words import Words
from alerts.incident import fold
from zhiwei.clock import to_us
from zhiwei.schema import Channel, Schema
from zhiwei.types import Evidence, Observation

SCHEMA = Schema(
    scenario="water",
    version=1,
    channels=(
        Channel(name="ph", unit="1", title_zh="pH"),
        Channel(name="hatch_open", dtype="bool", title_zh="人孔"),
    ),
)
WORDS = Words(Language.EN, {"water": SCHEMA})
S = 1_000_000


class Shelf:
    """A history over a dictionary."""

    def __init__(self, **series):
        self.kept, self.asked = series, []

    def series(self, scenario, entity, channel, start_us, end_us, step_us):
        self.asked.append((channel, step_us))
        return self.kept.get(channel, Series())


def numbers(times, values=None, gaps=()):
    times = np.asarray(times, np.int64)
    return Series(times, np.ones(len(times)) if values is None else np.asarray(values, float), gaps=gaps)


def of(finding, *observations, **other):
    one = msgspec.structs.replace(
        finding(**other), evidence=Evidence(observations=observations or finding().evidence.observations)
    )
    return fold(None, one, 1)[0], one


def test_a_line_is_broken_at_gaps_holes_and_missing_values():
    times = [0, 10 * S, 20 * S, 30 * S, 40 * S, 200 * S, 210 * S]
    series = numbers(times, [1, 2, np.nan, 4, 5, 6, 7], gaps=((31 * S, 39 * S),))
    assert points(series) == [
        [0.0, 1.0], [10_000.0, 2.0], [20_000.0, None], [30_000.0, 4.0], [35_000.0, None], [40_000.0, 5.0],
        [120_000.0, None], [200_000.0, 6.0], [210_000.0, 7.0],
    ]  # fmt: skip


def test_a_thinned_series_is_one_line():
    pairs = [t * 10 * S + half for t in range(30) for half in (0, S // 2)]
    assert None not in [value for _, value in points(numbers(pairs))]


def test_a_line_of_one_point_or_none_is_drawn_as_it_is():
    assert (points(numbers([])), points(numbers([5 * S]))) == ([], [[5000.0, 1.0]])


@pytest.mark.parametrize("lasted_s", [0, 45, 86_400 * 30])
def test_the_window_holds_onset_and_finding_with_room_before(finding, lasted_s):
    incident, one = of(finding, at=lasted_s)
    start, end = window(incident, one)
    assert end > to_us(one.at)
    assert end - start <= 9 * 86_400 * S
    if lasted_s < 86_400:
        assert to_us(incident.onset) - start >= max(lasted_s, 180) * S


def test_numbers_are_curves_with_their_limits_and_switches_are_strips(finding):
    seen = (
        Observation(name="ph", observed=9.9, expected=7.2, limit="6.5 ≤ pH ≤ 9.5", unit=""),
        Observation(name="held_s", observed=45.0),
    )
    incident, one = of(finding, *seen, at=45)
    onset = to_us(incident.onset)
    shelf = Shelf(
        ph=numbers([onset, onset + S]),
        hatch_open=Series(intervals=(Interval(onset, onset + 9 * S, True),)),
        door=Series(intervals=(Interval(onset, onset + S, "ajar"),)),
    )
    known = (LastValue("water", "station-1", "d", "door", "ajar", 0, 0),)
    shown = scene(incident, one, shelf, known, WORDS)
    assert [(curve.channel, [limit.value for limit in curve.limits]) for curve in shown.curves] == [
        ("ph", [9.5, 7.2])
    ]
    assert [strip.channel for strip in shown.strips] == ["door", "hatch_open"]
    assert len(shelf.asked) == len({channel for channel, _ in shelf.asked})


def test_a_limit_is_a_line_with_words_and_inside_the_picture(finding):
    low = Observation(name="ph", observed=9.0, limit="≥ 6.5")
    incident, one = of(finding, low)
    onset = to_us(incident.onset)
    shown = scene(incident, one, Shelf(ph=numbers([onset, onset + S], [9.0, 9.1])), (), WORDS)
    drawn = options(shown, WORDS, "title")
    (line,) = drawn["series"]
    limits = [mark for mark in line["markLine"]["data"] if "yAxis" in mark]
    assert [(mark["yAxis"], mark["label"]["formatter"]) for mark in limits] == [(6.5, "Limit ≥ 6.5")]
    (axis,) = drawn["yAxis"]
    assert axis["min"] < 6.5
    assert axis["max"] > 9.1
    assert msgspec.json.encode(drawn)


def test_a_gap_is_an_area_with_a_name_where_it_can_be_seen(finding):
    incident, one = of(finding, Observation(name="ph", observed=9.0))
    onset = to_us(incident.onset)
    gaps = ((onset - 60 * S, onset - 30 * S), (onset - 10**12, onset - 10**11))
    shown = scene(incident, one, Shelf(ph=numbers([onset], gaps=gaps)), (), WORDS)
    areas = options(shown, WORDS, "t")["series"][0]["markArea"]["data"]
    assert [area[0]["name"] for area in areas] == ["Not recorded"]


def test_strips_say_their_states_and_what_they_hold_is_no_html(finding):
    incident, one = of(finding)
    onset = to_us(incident.onset)
    text = Series(intervals=(Interval(onset - 100 * S, onset, "<b>"), Interval(onset, onset + 80 * S, "ok")))
    known = (LastValue("water", "s", "d", "note", "ok", 0, 0),)
    html = strips(WORDS, scene(incident, one, Shelf(note=text), known, WORDS))
    assert 'aria-label="note: &lt;b&gt; → ok"' in html
    assert "<b>" not in html


def test_no_more_is_asked_for_than_can_be_drawn(finding):
    incident, one = of(finding, Observation(name="ph", observed=1.0), at=86_400)
    shelf = Shelf()
    start, end = window(incident, one)
    scene(incident, one, shelf, (), WORDS)
    assert {step for _, step in shelf.asked} == {(end - start) // evidence.POINTS}
