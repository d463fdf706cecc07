"""What must hold for any rows: alone as among others, in any cut, without a word of complaint."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenarios.elderly import SCENARIO
from scenarios.elderly.words import KINDS
from zhiwei.types import Finding

CHANNELS: dict[str, Any] = {
    **dict.fromkeys(
        ("motion.hall", "motion.bathroom", "door.entrance", "door.fridge", "bed", "presence.bathroom"),
        st.booleans(),
    ),
    **dict.fromkeys(("sos", "smoke.kitchen", "fall.bathroom", "fall"), st.booleans()),
    "posture.living": st.sampled_from(["upright", "sitting", "lying"]),
    "operator_state": st.sampled_from(["home", "away", "visitor", "false_press"]),
    "water_m3": st.floats(0, 20) | st.sampled_from([-1.0, 1e12, 5.0, 5.01]),
    "temperature": st.sampled_from([-9999.0, 5.0, 20.0, 40.0]),
    "battery.hall": st.floats(0, 100, width=32),
}
STEPS = st.sampled_from([0, 1, 20, 65, 1200, 3600, 7200, 45_000, 100_000])  # s
HOMES = ("a", "b", "c")


@st.composite
def logs(draw: Any) -> list[dict[str, Any]]:
    """Rows of three homes with every combination of nulls; some come late."""
    time, items = 0, []
    for _ in range(draw(st.integers(1, 25))):
        time += draw(STEPS)
        names = draw(st.lists(st.sampled_from(list(CHANNELS)), max_size=5, unique=True))
        late = draw(st.sampled_from([0, 0, 0, 30, 4000, 90_000]))
        home = draw(st.sampled_from(HOMES))
        items.append(
            {
                "ts": stamp(max(time - late, 0)),
                "arrived": stamp(time),
                "entity": home,
                "device": draw(st.sampled_from(["x", "y"])),
                **{name: draw(CHANNELS[name]) for name in names},
            }
        )
    return [*items, {"tick": stamp(time + draw(STEPS))}]


def stamp(second: int) -> str:
    return f"{second // 86_400} {second % 86_400 // 3600:02d}:{second % 3600 // 60:02d}:{second % 60:02d}"


def keys(findings: list[Finding], home: str | None = None) -> list[Any]:
    """All but coordinates; the order between homes may change."""
    said = [
        (f.entity, f.id, f.rev, f.rule, f.phase, f.onset, f.at, f.evidence)
        for f in findings
        if home in (None, f.entity)
    ]
    return sorted(said, key=lambda k: k[0])


FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(logs(), st.integers(1, 30))
def test_cuts_change_nothing(make_home: Any, items: list[dict[str, Any]], cut: int) -> None:
    whole, parts = make_home(), make_home()
    whole.feed(items, cut=1000)
    for item in items:
        parts.feed([item])
    other = make_home()
    other.feed(items, cut)
    assert keys(whole.findings) == keys(parts.findings) == keys(other.findings)


@FEW
@given(logs())
def test_a_home_alone_is_judged_as_among_others(make_home: Any, items: list[dict[str, Any]]) -> None:
    together = make_home()
    together.feed(items, cut=1000)
    for name in HOMES:
        alone = make_home()
        # Others move the engine's time, as ticks do.
        alone.feed(
            [i if i.get("entity") == name else {"tick": i.get("arrived", i.get("tick"))} for i in items],
            cut=1000,
        )
        assert keys(alone.findings) == keys(together.findings, name)


@FEW
@given(logs())
def test_every_finding_is_of_a_known_kind_and_never_ends_before_it_begins(
    make_home: Any, items: list[dict[str, Any]]
) -> None:
    home = make_home()
    home.feed(items)
    assert {f.kind for f in home.findings} <= set(KINDS)
    assert all(f.onset <= f.at for f in home.findings)


def test_state_is_at_most_4_kib_a_home() -> None:
    rooms = ("hall", "kitchen", "living", "bedroom", "bathroom", "study")
    channels = [f"motion.{room}" for room in rooms] + [f"battery.{room}" for room in rooms]
    channels += ["door.entrance", "door.fridge", "bed", "presence.bathroom", "fall.bathroom", "fall.living"]
    channels += ["sos", "sos.bathroom", "smoke", "gas", "gas_valve", "water_m3", "power_w", "humidity"]
    channels += ["heart_rate", "breath_rate", "temperature.bedroom", "temperature.outdoor"]
    rules = SCENARIO.rules(SCENARIO.policy(None), tuple(channels), {}, ())
    total = 8 * len(rules.timers)
    for field in rules.fields:
        along = channels if field.channels is None else field.channels
        axes = [len(along) if axis == "channel" else axis for axis in field.axes]
        total += np.dtype(field.dtype).itemsize * int(np.prod(axes, dtype=int))
    print(f"{total} bytes of state a home with {len(channels)} channels")
    assert total <= 4096
