"""What is kept is what a plain loop over the cells keeps, however frames are cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.telemetry.keep import Keep, check
from zhiwei import frames
from zhiwei.clock import MICROS
from zhiwei.errors import ConfigError
from zhiwei.settings import DeadBand, Telemetry

BAND = {"level": DeadBand(value=0.5, unit="m")}
POLICIES = st.sampled_from(
    [
        Telemetry(),
        Telemetry(keep="on_change", dead_band=BAND, heartbeat_s=30),
        Telemetry(keep="every", every_s=10),
    ]
)
CELLS = st.tuples(
    st.integers(0, 90),
    st.sampled_from("ab"),
    st.sampled_from("de"),
    st.fixed_dictionaries(
        {},
        optional={
            "level": st.sampled_from([0.0, 0.5, 0.75, 1.0, 1.25]),
            "floor": st.integers(0, 2),
            "open": st.booleans(),
            "mode": st.sampled_from(["auto", "off"]),
        },
    ),
)


def loop(policy: Telemetry, rows: list[tuple[int, str, str, dict[str, Any]]]) -> list[set[str]]:
    last: dict[tuple[str, str, str], tuple[int, Any]] = {}
    found = []
    for at, entity, device, values in rows:
        kept = set()
        for name, value in values.items():
            then, was = last.get((entity, device, name), (None, None))
            is_state = name in ("open", "mode")
            band = policy.dead_band[name].value if name in policy.dead_band else 0.0
            changed = then is None or (value != was if is_state else abs(value - was) > band)
            due = policy.keep == "all" or then is None
            if not due and policy.keep == "every":
                due = at // policy.every_s != then // policy.every_s or (is_state and changed)
            elif not due:
                due = changed or abs(at - then) >= policy.heartbeat_s
            if due:
                kept.add(name)
                last[entity, device, name] = at, value
        found.append(kept)
    return found


@given(policy=POLICIES, cut=st.lists(st.lists(CELLS, min_size=1, max_size=8), min_size=1, max_size=4))
def test_cells_kept_are_those_of_a_loop(beds, policy, cut) -> None:
    bed, keep = beds_of(beds), Keep(policy)
    got = []
    for rows in cut:
        frame = bed.frame([bed.row(at * MICROS, values, entity=e, device=d) for at, e, d, values in rows])
        cells = keep.cells(frames.decode(bed.schema, frame))
        got += [{name for name, kept in cells.items() if kept[row]} for row in range(len(rows))]
    assert got == loop(policy, [row for rows in cut for row in rows])


_BED: list[Any] = []


def beds_of(beds: Any) -> Any:
    """One for all examples: nothing is written to it."""
    if not _BED:
        _BED.append(beds())
    return _BED[0]


def test_a_silent_probe_leaves_a_hole_and_a_constant_one_does_not(bed) -> None:
    keep = Keep(Telemetry(keep="on_change", heartbeat_s=60))

    def kept(second: int) -> bool:
        frame = bed.frame([bed.row(second * MICROS, {"level": 1.0})])
        return bool(keep.cells(frames.decode(bed.schema, frame))["level"][0])

    assert [second for second in range(0, 300, 20) if kept(second)] == [0, 60, 120, 180, 240]
    assert kept(3600)


@pytest.mark.parametrize(
    ("band", "said"),
    [
        ({"lvl_": DeadBand(value=1)}, "lvl_ = 1: expected a channel of test that is a number"),
        ({"open": DeadBand(value=1)}, "open = 1: expected a channel of test that is a number"),
        ({"level": DeadBand(value=1, unit="mm")}, "level.unit = 'mm': expected the channel's own: 'm'"),
    ],
)
def test_a_dead_band_that_means_nothing_is_refused_by_name(bed, band, said) -> None:
    closed = bed.schema.__class__(scenario="test", version=1, channels=bed.schema.channels)
    with pytest.raises(ConfigError, match=f"telemetry.test.dead_band.{said}"):
        check(Telemetry(dead_band=band), closed)
    check(Telemetry(dead_band=BAND), closed)
