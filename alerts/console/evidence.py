"""What was measured around an onset, made ready to be drawn: pure but for the history that it is given.

What telemetry missed is a gap, never a straight line; a limit stands in the chart as a line with its words.
"""

import re
from dataclasses import dataclass

import numpy as np

from alerts.api.sources import History, Interval, LastValue, Series
from alerts.console.words import Words
from alerts.incident import Incident
from zhiwei.clock import to_us
from zhiwei.types import Finding

CHARTS_MOST = 4
STRIPS_MOST = 12
POINTS = 600
"""About so many points in a chart."""
_LEAST_US = 180_000_000
_MOST_US = 24 * 3600_000_000
_HOLE = 2.5
"""Times the usual span of three points, from which on two are not joined."""
_LIMIT = re.compile(r"(?P<side>[≤≥<>])\s*(?P<number>[-−]?\d+(?:\.\d+)?)")
_BLUE, _RED, _INK, _GREY = "#1657b8", "#b3261e", "#1a2433", "#5a6779"
_ROW, _TOP, _BETWEEN, _BELOW = 132, 46, 62, 26  # pixels: a chart, above the first, between, below
_FONTS = "Noto Sans SC, Noto Sans CJK SC, PingFang SC, Microsoft YaHei, system-ui, sans-serif"
MARGIN_LEFT, MARGIN_RIGHT = 58, 24
"""Pixels beside the plot; the strips below it have the same."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A line in a chart."""

    value: float
    words: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """A channel of numbers."""

    channel: str
    title: str
    unit: str
    series: Series
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """A channel of states."""

    channel: str
    title: str
    intervals: tuple[Interval, ...]
    gaps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn of an incident, µs."""

    start: int
    end: int
    onset: int
    raised: int
    curves: tuple[Curve, ...]
    strips: tuple[Strip, ...]


def window(incident: Incident, finding: Finding | None) -> tuple[int, int]:
    """[start, end) µs around what happened, with about as much before it as it lasted."""
    onset = to_us(incident.onset)
    last = max(onset, to_us(finding.at) if finding else onset, to_us(incident.opened_at))
    first = onset
    if finding is not None and finding.evidence.start is not None:
        first = min(first, to_us(finding.evidence.start))
    around = min(max(last - first, _LEAST_US), _MOST_US)
    return max(first, last - 7 * _MOST_US) - around, last + around // 2


def scene(
    incident: Incident, finding: Finding | None, history: History, known: tuple[LastValue, ...], words: Words
) -> Scene:
    """Read what can be drawn. known: the entity's last values, which tell what channels there are.

    Raises ZhiweiError where the history cannot answer.
    """
    start, end = window(incident, finding)
    observations = finding.evidence.observations if finding else ()
    names = list(dict.fromkeys(one.name for one in observations))
    names += [one.channel for one in known if one.channel not in names and isinstance(one.value, bool | str)]
    names += words.states(incident.scenario)
    step = max(1, (end - start) // POINTS)
    curves: list[Curve] = []
    strips: list[Strip] = []
    for name in dict.fromkeys(names):
        title = words.channel(incident.scenario, name)
        series = history.series(incident.scenario, incident.entity, name, start, end, step)
        if len(series.times) and len(curves) < CHARTS_MOST:
            described = words.channel_of(incident.scenario, name)
            unit = next((one.unit for one in observations if one.name == name and one.unit), None)
            unit = unit or (described.unit if described and described.unit != "1" else "")
            curves.append(Curve(name, title, unit, series, _limits(finding, name, words)))
        elif series.intervals and len(strips) < STRIPS_MOST:
            strips.append(Strip(name, title, series.intervals, series.gaps))
    raised = to_us(incident.opened_at)
    return Scene(start, end, to_us(incident.onset), raised, tuple(curves), tuple(strips))


def _limits(finding: Finding | None, channel: str, words: Words) -> tuple[Limit, ...]:
    found: dict[float, Limit] = {}
    for one in finding.evidence.observations if finding else ():
        if one.name != channel:
            continue
        for match in _LIMIT.finditer(one.limit):
            value = float(match["number"].replace("−", "-"))
            told = f"{words.say('incident.limit')} {match['side']} {match['number']}"
            found[value] = Limit(value, told, expected=False)
        if isinstance(one.expected, int | float) and not isinstance(one.expected, bool):
            told = f"{words.say('incident.expected')} {one.expected:.4g}"
            found.setdefault(float(one.expected), Limit(float(one.expected), told, expected=True))
    return tuple(found.values())


# ------------------------------------------------------------------ drawing


def points(series: Series) -> list[list[float | None]]:
    """[[ms, value or None]]: None breaks the line, at gaps, missing values and holes."""
    times, values = series.times, series.values
    if not len(times):
        return []
    # Over three points: a thinned series has its points in pairs, and half its intervals are inside a pair.
    usual = float(np.median(times[2:] - times[:-2])) if len(times) > 2 else np.inf
    told: list[list[float | None]] = []
    breaks = sorted(start for start, _ in series.gaps)
    for place, (at, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
        if place:
            before = int(times[place - 1])
            hole = at - before > _HOLE * usual
            if hole or any(before <= gap < at for gap in breaks):
                told.append([(before + at) / 2000, None])
        told.append([at / 1000, None if np.isnan(value) else round(value, 6)])
    return told


def height(shown: Scene) -> int:
    """Of the chart, pixels."""
    return _TOP + len(shown.curves) * (_ROW + _BETWEEN) - _BETWEEN + _BELOW


def options(shown: Scene, words: Words, title: str) -> dict[str, object]:
    """For ECharts: a plot for each curve, one above the other, on one time."""
    count = len(shown.curves)
    axis_label = {"color": _GREY, "fontSize": 11, "hideOverlap": True}
    return {
        "animation": False,
        "aria": {"enabled": True, "label": {"description": title}},
        "textStyle": {"fontFamily": _FONTS},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "line"}, "confine": True},
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "title": [
            {
                "text": _title(curve),
                "left": MARGIN_LEFT - 4,
                "top": _TOP + place * (_ROW + _BETWEEN) - 44,
                "textStyle": {"fontSize": 12, "fontWeight": 600, "color": _INK},
            }
            for place, curve in enumerate(shown.curves)
        ],
        "grid": [
            {
                "left": MARGIN_LEFT,
                "right": MARGIN_RIGHT,
                "top": _TOP + place * (_ROW + _BETWEEN),
                "height": _ROW,
            }
            for place in range(count)
        ],
        "xAxis": [
            {
                "type": "time",
                "gridIndex": place,
                "min": shown.start / 1000,
                "max": shown.end / 1000,
                "axisLabel": axis_label,
                "axisLine": {"lineStyle": {"color": "#aeb8c5"}},
                "splitLine": {"show": False},
            }
            for place in range(count)
        ],
        "yAxis": [
            {
                "type": "value",
                "gridIndex": place,
                "scale": True,
                "splitNumber": 3,
                "min": low,
                "max": high,
                "axisLabel": axis_label,
                "splitLine": {"lineStyle": {"color": "#e6eaef"}},
            }
            for place, (low, high) in enumerate(_range(curve) for curve in shown.curves)
        ],
        "series": [_line(place, curve, shown, words) for place, curve in enumerate(shown.curves)],
    }


def _title(curve: Curve) -> str:
    return f"{curve.title} ({curve.unit})" if curve.unit else curve.title


def _range(curve: Curve) -> tuple[float | None, float | None]:
    """Of the axis: all values and all limits, with a little room."""
    finite = curve.series.values[np.isfinite(curve.series.values)]
    every = [*finite.tolist(), *(limit.value for limit in curve.limits)]
    if not every:
        return None, None
    low, high = min(every), max(every)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    digits = max(0, -int(np.floor(np.log10(room))))
    least = 0.0 if 0 <= low < room else round(low - room, digits)
    return least, round(high + room, digits)


def _line(place: int, curve: Curve, shown: Scene, words: Words) -> dict[str, object]:
    label = {"fontSize": 11, "color": _INK}
    marks: list[dict[str, object]] = [
        {
            "xAxis": shown.onset / 1000,
            "lineStyle": {"color": _INK, "type": "solid", "width": 1.5},
            "label": {
                **label,
                "formatter": words.say("incident.onset_mark") if place == 0 else "",
                "position": "end",
                "align": "right",  # the two may stand close to each other
            },
        }
    ]
    if shown.raised - shown.onset > (shown.end - shown.start) // 40:
        marks.append(
            {
                "xAxis": shown.raised / 1000,
                "lineStyle": {"color": _GREY, "type": "dotted", "width": 1.5},
                "label": {
                    **label,
                    "formatter": words.say("incident.raised_mark") if place == 0 else "",
                    "position": "end",
                    "align": "left",
                },
            }
        )
    marks += [
        {
            "yAxis": limit.value,
            "lineStyle": {"color": _GREY if limit.expected else _RED, "type": "dashed", "width": 1.5},
            "label": {
                "formatter": limit.words,
                "position": "insideEndTop",
                "color": _GREY if limit.expected else _RED,
                "fontSize": 11,
            },
        }
        for limit in curve.limits
    ]
    gaps = [
        [
            {"xAxis": max(start, shown.start) / 1000, "name": words.say("incident.gap")},
            {"xAxis": min(end, shown.end) / 1000},
        ]
        for start, end in curve.series.gaps
        if start < shown.end and end > shown.start
    ]
    return {
        "type": "line",
        "name": curve.title,
        "xAxisIndex": place,
        "yAxisIndex": place,
        "data": points(curve.series),
        "showSymbol": len(curve.series.times) < 80,
        "symbol": "circle",
        "symbolSize": 4,
        "connectNulls": False,
        "lineStyle": {"color": _BLUE, "width": 1.8},
        "itemStyle": {"color": _BLUE},
        "markLine": {"silent": True, "symbol": "none", "data": marks},
        "markArea": {
            "silent": True,
            "itemStyle": {"color": "#dfe4ea", "opacity": 0.7},
            "label": {"color": _GREY, "fontSize": 11},
            "data": gaps,
        },
    }
