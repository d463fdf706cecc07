"""Scoring: cases worked by hand, and a slow second implementation over random ones."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluate import EARLY_US, LATE_US, Card, Delays, Episode, Extent, Label, Share, episodes, score
from zhiwei.clock import MICROS
from zhiwei.types import Coordinates, Evidence, Finding, Phase, Severity

T0 = datetime(2026, 1, 5, tzinfo=UTC)
LIFTS = {"lift": Extent(10, 7.0)}
CRITICAL = ("lift.stuck",)


def finding(
    id_: str, rev: int, phase: Phase, at_s: int, *, onset_s: int = 0, historical: bool = False
) -> Finding:
    return Finding(
        id=id_, rev=rev, site="s", scenario="lift", entity="a", kind="lift.stuck", rule="r", phase=phase,
        onset=T0 + timedelta(seconds=onset_s), at=T0 + timedelta(seconds=at_s), score=1.0,
        severity=Severity.MAJOR, evidence=Evidence(), versions={}, historical=historical,
        coordinates=Coordinates(topic="t", partition=0, offset=0),
    )  # fmt: skip


def us(seconds: float) -> int:
    return int(seconds * MICROS)


def label(onset: float, end: float, kind: str = "lift.stuck", entity: str = "a", **more: object) -> Label:
    return Label(entity=entity, kind=kind, onset=us(onset), end=us(end), **more)  # type: ignore[arg-type]


def episode(
    first: float,
    kind: str = "lift.stuck",
    entity: str = "a",
    *,
    raised: float | None = -1,
    historical: bool = False,
) -> Episode:
    """raised: as ``first`` unless given."""
    when = us(first) if raised == -1 else None if raised is None else us(raised)
    return Episode(
        id=f"{entity}-{kind}-{first}", entity=entity, kind=kind, onset=us(first), first=us(first),
        raised=when, historical=historical,
    )  # fmt: skip


def judged(found: list[Episode], labels: list[Label]) -> Card:
    return score(found, labels, extents=LIFTS, life_safety=CRITICAL)


def test_revisions_in_any_order_are_one_episode() -> None:
    revisions = [
        finding("x", 2, Phase.CLEARED, 90, onset_s=5),
        finding("x", 0, Phase.SUSPECTED, 10, onset_s=8),
        finding("x", 1, Phase.RAISED, 40, onset_s=5),
    ]
    [one] = episodes(revisions)
    origin = int(T0.timestamp()) * MICROS
    assert (one.first - origin, one.raised, one.onset - origin) == (us(10), origin + us(40), us(5))


def test_a_suspicion_that_is_cleared_was_never_raised_and_an_update_was() -> None:
    suspected = [finding("x", 0, Phase.SUSPECTED, 10), finding("x", 1, Phase.CLEARED, 20)]
    assert episodes(suspected)[0].raised is None
    assert episodes([finding("x", 3, Phase.UPDATED, 50)])[0].raised is not None


def test_what_is_found_missed_doubled_and_false() -> None:
    labels = [label(100, 200), label(5000, 5100), label(100, 200, entity="b")]
    found = [episode(145), episode(160), episode(9000), episode(150, entity="c")]
    card = judged(found, labels)
    [kind] = card.kinds
    assert kind.found == Share(1, 3)
    assert kind.duplicates == 1
    assert kind.first == Delays(45.0, 45.0, 1)
    assert kind.false.count == 2
    assert kind.false.entity_days == 70
    assert kind.false.per_year == pytest.approx(2 / 70 * 365.25)
    assert kind.false.interval == pytest.approx((0.2422 / 70, 7.2247 / 70), rel=1e-3)
    assert card.missed == (label(100, 200, entity="b"), label(5000, 5100))
    assert [one.first for one in card.false] == [us(9000), us(150)]
    assert card.life_safety.found == card.all.found == kind.found
    assert kind.life_safety


@pytest.mark.parametrize(
    ("first_us", "found"),
    [
        (us(100) - EARLY_US, 1), (us(100) - EARLY_US - 1, 0),
        (us(200) + LATE_US, 1), (us(200) + LATE_US + 1, 0),
    ],
)  # fmt: skip
def test_the_window_is_a_minute_before_to_half_an_hour_after(first_us: int, found: int) -> None:
    assert judged([episode(first_us / MICROS)], [label(100, 200)]).all.found.hits == found


def test_suspected_and_raised_are_told_apart() -> None:
    labels = [label(100, 200), label(100, 200, entity="b")]
    card = judged([episode(110, raised=None), episode(110, entity="b", raised=170)], labels)
    assert card.all.found == Share(2, 2)
    assert card.all.raised == Share(1, 2)
    assert card.all.raise_ == Delays(70.0, 70.0, 1)


def test_a_suspicion_alone_is_no_false_alarm() -> None:
    card = judged([episode(110, raised=None)], [])
    assert (card.all.false.count, card.all.suspected) == (0, 1)


def test_what_paged_nobody_is_no_false_alarm() -> None:
    card = judged([episode(110, historical=True)], [])
    assert (card.all.false.count, card.all.historical) == (0, 1)


def test_another_kind_meanwhile_accompanies_unless_it_is_life_safety() -> None:
    labels = [label(100, 200, "lift.door")]
    card = judged([episode(120, "lift.power"), episode(120)], labels)
    assert card.all.accompanying == 1
    assert [one.kind for one in card.false] == ["lift.stuck"]
    allowed = [label(100, 200, "lift.door", also=("lift.stuck",))]
    assert judged([episode(120)], allowed).all.accompanying == 1


def test_an_alternative_kind_may_suspect_and_never_raise() -> None:
    labels = [label(100, 200, "lift.alarm", suspected_as=("lift.stuck",), life_safety=True)]
    assert judged([episode(110, raised=None)], labels).all.found == Share(1, 1)
    card = judged([episode(110)], labels)
    assert (card.all.found, card.all.false.count) == (Share(0, 1), 1)


def test_an_episode_between_two_labels_answers_the_one_that_began_last() -> None:
    labels = [label(100, 200), label(1000, 1100)]
    card = judged([episode(1010), episode(120)], labels)
    assert card.all.found == Share(2, 2)
    assert judged([episode(1010)], labels).missed == (labels[0],)


def test_findings_of_field_faults_are_counted_apart() -> None:
    labels = [
        label(0, 5000, "lift.sensor_fault", fault="stuck_person"),
        label(0, 5000, "lift.sensor_fault", entity="b", fault="stuck_person"),
        label(0, 5000, "", entity="b", fault="duplicate"),
    ]
    card = judged(
        [episode(3000, "lift.sensor_fault"), episode(100, entity="b"), episode(100, entity="c")], labels
    )
    faults = {fault.name: (fault.entities, fault.found, fault.false) for fault in card.faults}
    assert faults == {"stuck_person": (2, Share(1, 2), 1), "duplicate": (1, Share(0, 0), 1)}
    assert (card.all.false.count, card.all.false_in_fault) == (2, 1)
    assert card.all.found == Share(0, 0)


def test_delays_are_median_and_nearest_rank() -> None:
    assert Delays.of([us(n) for n in range(1, 11)]) == Delays(5.5, 9.0, 10)
    none = Delays.of([])
    assert none.count == 0
    assert math.isnan(none.median_s)


def test_nothing_at_all_is_no_division_by_nothing() -> None:
    card = score([], [], extents=LIFTS)
    assert math.isnan(card.all.found.value)
    assert card.all.found.interval == (0.0, 1.0)
    assert card.all.false.interval[0] == 0


def test_a_kind_of_which_nothing_says_how_much_was_watched_is_refused() -> None:
    with pytest.raises(ValueError, match="how much of pump was watched"):
        score([episode(1, "pump.x")], [], extents=LIFTS)


# ------------------------------------------------------------------ a slow second implementation

KINDS = ("lift.stuck", "lift.door", "lift.alarm")
times = st.integers(0, 40).map(lambda n: n * 400.0)


@st.composite
def some_labels(draw: st.DrawFn) -> Label:
    onset = draw(times)
    return label(
        onset,
        onset + draw(st.sampled_from([0, 100, 3000])),
        draw(st.sampled_from(KINDS)),
        draw(st.sampled_from("ab")),
        fault=draw(st.sampled_from([None, None, None, "spike"])),
        suspected_as=draw(st.sampled_from([(), ("lift.stuck",)])),
        also=draw(st.sampled_from([(), ("lift.stuck",)])),
    )


@st.composite
def some_episodes(draw: st.DrawFn) -> Episode:
    first = draw(times)
    return episode(
        first,
        draw(st.sampled_from(KINDS)),
        draw(st.sampled_from("ab")),
        raised=draw(st.sampled_from([None, first, first + 50])),
        historical=draw(st.booleans()),
    )


def slowly(found: list[Episode], labels: list[Label]) -> dict[str, object]:
    """By the words of docs/simulate.md, one question after the other, without any index."""
    ranked = sorted(labels, key=lambda x: (x.onset, x.end, x.entity, x.kind))
    events = [x for x in ranked if x.fault is None]
    critical = set(CRITICAL)
    answers: list[list[Episode]] = [[] for _ in events]
    false, suspected, accompanying, historical = [], 0, 0, 0
    fault_hits = set()
    for e in found:
        mine = [
            n for n, x in enumerate(ranked)
            if x.entity == e.entity and x.onset - 60_000_000 <= e.first and e.first - 1_800_000_000 <= x.end
        ]  # fmt: skip
        true = [ranked[n] for n in mine if ranked[n].fault is None]
        faults = [n for n in mine if ranked[n].fault is not None]
        said = [x for x in true if x.kind == e.kind or (e.kind in x.suspected_as and e.raised is None)]
        right = [n for n in faults if ranked[n].kind == e.kind]
        if said:
            place = max(n for n, x in enumerate(events) if any(x is y for y in said))
            answers[place].append(e)
        elif right:
            fault_hits.add(right[-1])
        elif true and (e.kind not in critical or any(e.kind in x.also for x in true)):
            accompanying += 1
        elif e.historical:
            historical += 1
        elif e.raised is None:
            suspected += 1
        else:
            false.append(e)
    raised = [min(r) for a in answers if (r := [e.raised for e in a if e.raised is not None])]
    return {
        "found": sum(bool(a) for a in answers),
        "raised": len(raised),
        "duplicates": sum(
            max(0, sum(e.kind == x.kind for e in a) - 1) for x, a in zip(events, answers, strict=True)
        ),
        "missed": [x for x, a in zip(events, answers, strict=True) if not a],
        "false": false,
        "suspected": suspected,
        "accompanying": accompanying,
        "historical": historical,
        "delays": sorted(a[0].first - x.onset for x, a in zip(events, answers, strict=True) if a),
        "faults": len(fault_hits),
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(some_episodes(), max_size=12), st.lists(some_labels(), max_size=8))
def test_the_score_is_that_of_the_slow_implementation(found: list[Episode], labels: list[Label]) -> None:
    ranked = sorted(found, key=lambda e: (e.first, e.id))
    card = judged(ranked, labels)
    slow = slowly(ranked, labels)
    delays = [d / MICROS for d in slow["delays"]]  # type: ignore[attr-defined]
    middle = len(delays) // 2
    assert slow == {
        "found": card.all.found.hits,
        "raised": card.all.raised.hits,
        "duplicates": card.all.duplicates,
        "missed": list(card.missed),
        "false": list(card.false),
        "suspected": card.all.suspected,
        "accompanying": card.all.accompanying,
        "historical": card.all.historical,
        "delays": slow["delays"],
        "faults": sum(fault.found.hits for fault in card.faults),
    }
    if delays:
        assert card.all.first.median_s == (delays[middle] + delays[-1 - middle]) / 2
    else:
        assert card.all.first.count == 0
    per_kind = card.kinds
    assert sum(one.found.hits for one in per_kind) == card.all.found.hits
    assert sum(one.false.count for one in per_kind) == card.all.false.count
