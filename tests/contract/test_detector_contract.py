"""What every registered detector and discriminator must keep, in the tree or plugged in."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from zhiwei import registry
from zhiwei.contracts import Bools, Detector, Discriminator, Field, Floats, Ints, Judgement, State

ROWS = 48
"""Enough to warm up any detector under the settings below."""
CHANNELS = ("ph", "turbidity", "flow")
SETTINGS: dict[str, dict[str, object]] = {
    "mvnn": {"history": 24, "threshold": 0.8, "precision": {"default": 0.01}},
    "robust_z": {"window": 24, "warmup": 12, "threshold": 6.0},
    "isolation_forest": {"warmup": 40, "trees": 20, "quantile": 0.9, "seed": 1},
    "binomial": {"window": 6, "probability": 0.5, "threshold": 0.85, "timeout": 12},
}
"""Of every registered part: a new one enters its settings here, and is checked."""

detectors = pytest.mark.parametrize("name", sorted(registry.names("detectors")))
discriminators = pytest.mark.parametrize("name", sorted(registry.names("discriminators")))


@pytest.fixture(autouse=True)
def _numbers_that_go_wrong_are_errors() -> Iterator[None]:
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


def detector(name: str, channels: tuple[str, ...] = CHANNELS) -> Detector:
    return registry.detector(name)(channels=channels, settings=SETTINGS[name], file="test")


def discriminator(name: str) -> Discriminator:
    return registry.discriminator(name)(settings=SETTINGS[name], file="test")


def blank(fields: Sequence[Field], entities: int, channels: int = len(CHANNELS)) -> State:
    shapes = {
        field.name: [channels if axis == "channel" else axis for axis in field.axes] for field in fields
    }
    return State({f.name: np.full((entities, *shapes[f.name]), f.fill, f.dtype) for f in fields})


def copied(state: State, rows: Ints | slice = slice(None)) -> State:
    return State({name: array[rows].copy() for name, array in state.arrays.items()})


def same(one: State, other: State) -> bool:
    return all(one[name].tobytes() == other[name].tobytes() for name in one.arrays)


def readings(steps: int, entities: int, seed: int = 0, *, spikes: float = 0.03) -> Floats:
    """(steps, entities, channels) rounded noise with spikes, holes and empty rows; the first row whole."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(7.0, 0.3, (steps, entities, len(CHANNELS))), 2)
    values[rng.random(values.shape) < spikes] += 40.0
    holes = rng.random(values.shape) < 0.05
    holes |= (rng.random((steps, entities)) < 0.05)[..., None]
    holes[0] = False
    values[holes] = np.nan
    return values.astype(np.float32).astype(np.float64)


def run(part: Detector, state: State, values: Floats, *, from_step: int = 0) -> Floats:
    """(steps, entities) scores; outliers are flagged, every tenth row a rebase."""
    entity = np.arange(values.shape[1])
    scores = []
    for step, x in enumerate(values, from_step):
        score = part.score(state, entity, x)
        part.learn(state, entity, x, score >= 0.5)
        if step % 10 == 9:
            part.rebase(state, entity[::2])
        scores.append(score)
    return np.array(scores)


def warm(name: str, entities: int = 3) -> tuple[Detector, State]:
    part = detector(name)
    state = blank(part.fields, entities)
    values = readings(ROWS, entities, spikes=0.0)
    for x in values:
        part.learn(state, np.arange(entities), x, np.zeros(entities, bool))
    return part, state


EVERYONE = np.arange(3)
USUAL = np.tile([[7.01, 7.02, 6.99]], (3, 1))
FAR = np.tile([[90.0, 60.0, -50.0]], (3, 1))
NOBODY = np.zeros(3, bool)
ALL = np.ones(3, bool)
EMPTY = np.full((3, 3), np.nan)


@detectors
def test_a_detector_is_what_the_contract_says(name: str) -> None:
    part = detector(name)
    assert isinstance(part, Detector)
    assert part.name == name
    for field in part.fields:
        assert field.name.startswith(f"{name}.")
        assert field.channels == (CHANNELS if "channel" in field.axes else None)


@detectors
def test_not_ready_is_no_score_and_nothing_expected(name: str) -> None:
    part = detector(name)
    state = blank(part.fields, 3)
    assert np.isnan(part.score(state, EVERYONE, USUAL)).all()
    assert np.isnan(part.expected(state, EVERYONE, USUAL)).all()


@detectors
def test_scores_lie_between_0_and_1_and_the_wild_row_beyond_the_threshold(name: str) -> None:
    part, state = warm(name)
    scores = run(part, blank(part.fields, 9), readings(90, 9))
    ready = scores[~np.isnan(scores)]
    assert len(ready) > 300
    assert ((ready >= 0) & (ready <= 1)).all()
    assert (part.score(state, EVERYONE, FAR) >= 0.5).all()
    assert (part.score(state, EVERYONE, USUAL) < 0.5).all()


@detectors
def test_values_of_any_size_give_a_score(name: str) -> None:
    part, state = warm(name)
    x = np.array([[1e300, -1e300, 0.0], [3e38, 1e-300, -0.0], [-1e39, 5e-324, 7.0]])
    for _ in range(ROWS):
        score = part.score(state, EVERYONE, x)
        assert ((score >= 0) & (score <= 1)).all()
        part.learn(state, EVERYONE, x, NOBODY)
        x = -x


@detectors
def test_score_and_expected_change_nothing(name: str) -> None:
    part, state = warm(name)
    before, x = copied(state), FAR.copy()
    part.score(state, EVERYONE, x)
    part.expected(state, EVERYONE, x)
    assert same(before, state)
    assert x.tobytes() == FAR.tobytes()


@detectors
def test_learn_decides_nothing(name: str) -> None:
    """An unusual row that nobody flagged is learned from, whether it was scored or not."""
    part = detector(name)
    flagged, unflagged, scored = (blank(part.fields, 3) for _ in range(3))
    for state, flags in ((flagged, ALL), (unflagged, NOBODY), (scored, NOBODY)):
        for x in readings(5, 3):
            part.learn(state, EVERYONE, x, NOBODY)
        if state is scored:
            part.score(state, EVERYONE, FAR)
        part.learn(state, EVERYONE, FAR, flags)
    assert same(unflagged, scored)
    assert not same(unflagged, flagged)


@detectors
def test_what_was_flagged_is_not_learned_from(name: str) -> None:
    part, state = warm(name)
    points = [USUAL, FAR, USUAL + 0.5, USUAL * [1, 2, np.nan]]
    before = [(part.score(state, EVERYONE, x), part.expected(state, EVERYONE, x)) for x in points]
    for _ in range(5):
        part.learn(state, EVERYONE, FAR, ALL)
    after = [(part.score(state, EVERYONE, x), part.expected(state, EVERYONE, x)) for x in points]
    assert np.array_equal(np.array([s for s, _ in before]), np.array([s for s, _ in after]))
    assert np.array_equal(np.array([e for _, e in before]), np.array([e for _, e in after]), equal_nan=True)


@detectors
def test_a_row_without_values_changes_nothing(name: str) -> None:
    part, state = warm(name)
    before = copied(state)
    assert np.isnan(part.score(state, EVERYONE, EMPTY)).all()
    for _ in range(ROWS):
        part.learn(state, EVERYONE, EMPTY, NOBODY)
    assert same(before, state)


@detectors
def test_after_rebase_a_lasting_change_is_usual(name: str) -> None:
    part, state = warm(name)
    rng = np.random.default_rng(5)
    level = [FAR + np.round(rng.normal(0.0, 0.3, FAR.shape), 2) for _ in range(ROWS)]
    for x in level:
        part.learn(state, EVERYONE, x, ALL)
    assert (part.score(state, EVERYONE, FAR) >= 0.5).all()
    part.rebase(state, EVERYONE)
    assert (part.score(state, EVERYONE, FAR) < 0.5).all()


@detectors
def test_an_entity_may_not_occur_twice(name: str) -> None:
    part, state = warm(name)
    with pytest.raises(ValueError, match="twice"):
        part.learn(state, np.array([0, 1, 0]), USUAL, NOBODY)


@detectors
@pytest.mark.parametrize("entities", [2, 3, 8, 70])
def test_bits_are_the_same_alone_and_among_others(name: str, entities: int) -> None:
    part, values = detector(name), readings(60, entities, seed=entities)
    together = blank(part.fields, entities)
    scores = run(part, together, values)
    some = range(0, entities, 2 if entities < 10 else 18)  # run() rebases the even ones
    for one in some:
        alone = blank(part.fields, 1)
        assert (
            scores[:, one].tobytes() == run(detector(name), alone, values[:, one : one + 1])[:, 0].tobytes()
        )
        assert same(copied(together, slice(one, one + 1)), alone)
    order = np.random.default_rng(1).permutation(entities)
    x = values[-1]
    assert part.score(together, order, x[order]).tobytes() == part.score(
        together, np.arange(entities), x
    )[order].tobytes()  # fmt: skip


@detectors
def test_a_snapshot_of_the_state_continues_the_same(name: str) -> None:
    values = readings(80, 3)
    part = detector(name)
    state = blank(part.fields, 3)
    whole = run(part, state, values)
    again = blank(part.fields, 3)
    first = run(detector(name), again, values[:40])
    restored = copied(again)
    second = run(detector(name), restored, values[40:], from_step=40)
    assert np.concatenate([first, second]).tobytes() == whole.tobytes()
    assert same(state, restored)


@detectors
def test_no_channels_and_no_rows_are_no_error(name: str) -> None:
    none = detector(name, ())
    state = blank(none.fields, 3, 0)
    bare = np.empty((3, 0))
    assert np.isnan(none.score(state, EVERYONE, bare)).all()
    assert none.expected(state, EVERYONE, bare).shape == (3, 0)
    none.learn(state, EVERYONE, bare, NOBODY)
    none.rebase(state, EVERYONE)
    part, state = warm(name)
    nobody = np.empty(0, np.int64)
    assert part.score(state, nobody, np.empty((0, 3))).shape == (0,)
    part.learn(state, nobody, np.empty((0, 3)), np.empty(0, bool))
    part.rebase(state, nobody)


# ------------------------------------------------------------------ discriminators


def judged(part: Discriminator, state: State, outliers: Bools) -> list[Judgement]:
    """outliers: (steps, entities)."""
    return [part.judge(state, np.arange(outliers.shape[1]), row) for row in outliers]


def outliers(steps: int, entities: int, seed: int = 0) -> Bools:
    """Runs of outliers, long enough for events that return and for events that time out."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.random((steps // 5, entities)) < 0.6, 5, axis=0) ^ (
        rng.random((steps // 5 * 5, entities)) < 0.1
    )


def lane(judgements: list[Judgement], entity: int, of: Callable[[Judgement], Any]) -> list[Any]:
    return [of(judgement)[entity].item() for judgement in judgements]


@discriminators
def test_a_discriminator_is_what_the_contract_says(name: str) -> None:
    part = discriminator(name)
    assert isinstance(part, Discriminator)
    assert part.name == name
    assert all(field.name.startswith(f"{name}.") for field in part.fields)


@discriminators
def test_an_event_begins_once_and_ends_once(name: str) -> None:
    part = discriminator(name)
    course = judged(part, blank(part.fields, 5), outliers(400, 5))
    ends: set[str] = set()
    for entity in range(5):
        is_open = False
        for j in course:
            event, began = bool(j.event[entity]), bool(j.began[entity])
            returned, timed_out = bool(j.returned[entity]), bool(j.timed_out[entity])
            assert began == (event and not is_open)
            assert returned == (is_open and not event)
            assert not timed_out or event
            assert 0.0 <= j.probability[entity] <= 1.0
            is_open = event and not timed_out
            ends.update(["returned"] * returned + ["timed out"] * timed_out)
    assert ends == {"returned", "timed out"}


@discriminators
def test_without_outliers_there_is_no_event_and_one_outlier_is_none(name: str) -> None:
    part = discriminator(name)
    flags = np.zeros((50, 1), bool)
    flags[20] = True
    assert not any(j.event[0] for j in judged(part, blank(part.fields, 1), flags))


@discriminators
def test_a_discriminator_gives_the_same_alone_and_after_a_snapshot(name: str) -> None:
    flags = outliers(200, 7)
    part = discriminator(name)
    state = blank(part.fields, 7)
    course = judged(part, state, flags)
    alone = blank(part.fields, 1)
    first = judged(discriminator(name), alone, flags[:90, 3:4])
    restored = copied(alone)
    second = judged(discriminator(name), restored, flags[90:, 3:4])
    for of in (lambda j: j.event, lambda j: j.probability, lambda j: j.began, lambda j: j.timed_out):
        assert lane(course, 3, of) == lane(first + second, 0, of)
    assert same(copied(state, slice(3, 4)), restored)


@discriminators
def test_a_discriminator_takes_each_entity_once(name: str) -> None:
    part = discriminator(name)
    with pytest.raises(ValueError, match="twice"):
        part.judge(blank(part.fields, 3), np.array([1, 1]), np.zeros(2, bool))
