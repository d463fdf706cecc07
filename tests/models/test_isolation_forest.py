import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Reference

from models.isolation_forest import IsolationForest, IsolationForestParameters, _fit
from zhiwei.contracts import Floats

ENTITY = np.array([0])
WARMUP = 64


def make(warmup: int = WARMUP, seed: int = 3, trees: int = 20) -> IsolationForest:
    return IsolationForest(
        channels=("a", "b"),
        settings={"warmup": warmup, "trees": trees, "quantile": 0.9, "seed": seed},
        file="test",
    )


def noise(rows: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32).astype(np.float64)


def learn(detector: IsolationForest, state: Any, rows: Floats, *, flagged: bool = False) -> None:
    for row in rows:
        detector.learn(state, ENTITY, row[None, :], np.array([flagged]))


@pytest.mark.parametrize("warmup", [64, 300])
def test_depths_are_those_of_scikit_learn(warmup: int) -> None:
    rows = noise(warmup)
    chosen = IsolationForestParameters(warmup=warmup, trees=25, quantile=0.9, seed=3)
    forest = _fit(rows.T.astype(np.float32), chosen)
    features = np.concatenate([rows, np.diff(rows, axis=0, prepend=rows[:1])], axis=1).astype(np.float32)
    reference = Reference(n_estimators=25, max_samples=min(256, warmup), random_state=3).fit(features)
    points = np.concatenate([features, 5 * features])
    # score = -2 ** (-depth / c), with c the mean depth of an unsplit sample.
    m = min(256, warmup)
    c = 2 * (np.log(m - 1) + np.euler_gamma) - 2 * (m - 1) / m
    expected = -np.log2(-reference.score_samples(points)) * c
    assert forest.depth(points.astype(np.float64)) == pytest.approx(expected, rel=1e-12)


def test_the_quantile_of_the_warmup_is_left_below_the_threshold(blank: Any) -> None:
    rows = noise(WARMUP)
    chosen = IsolationForestParameters(warmup=WARMUP, trees=25, quantile=0.9, seed=3)
    forest = _fit(rows.T.astype(np.float32), chosen)
    features = np.concatenate([rows, np.diff(rows, axis=0, prepend=rows[:1])], axis=1)
    beyond = forest.depth(features.astype(np.float32).astype(np.float64)) < forest.limit
    assert 0.05 < beyond.mean() <= 0.1


def test_not_ready_before_the_warmup_is_complete(blank: Any) -> None:
    detector = make()
    state = blank(detector.fields, 1, 2)
    learn(detector, state, noise(WARMUP - 1))
    far = np.array([[90.0, 90.0]])
    assert np.isnan(detector.score(state, ENTITY, far)[0])
    learn(detector, state, noise(1))
    assert detector.score(state, ENTITY, far)[0] >= 0.5 > detector.score(state, ENTITY, np.zeros((1, 2)))[0]


def test_a_restart_makes_the_same_forest_again(blank: Any) -> None:
    first, points = make(), noise(40, seed=9)
    state = blank(first.fields, 1, 2)
    learn(first, state, noise(WARMUP + 7))
    again = make()
    scores = [
        [float(detector.score(state, ENTITY, x[None, :])[0]) for x in points] for detector in (first, again)
    ]
    assert scores[0] == scores[1]


def test_rows_after_the_warmup_do_not_move_the_forest(blank: Any) -> None:
    detector, point = make(), np.array([[2.0, 2.0]])
    state = blank(detector.fields, 1, 2)
    learn(detector, state, noise(WARMUP))
    learn(detector, state, np.zeros((1, 2)))
    before = detector.score(state, ENTITY, point)[0]
    learn(detector, state, np.concatenate([noise(50, seed=5) + 4, np.zeros((1, 2))]))
    assert detector.score(state, ENTITY, point)[0] == before


def test_a_missing_value_is_the_previous_one(blank: Any) -> None:
    detector = make()
    state = blank(detector.fields, 1, 2)
    learn(detector, state, noise(WARMUP))
    last = noise(WARMUP)[-1]
    hole, whole = np.array([[9.0, np.nan]]), np.array([[9.0, last[1]]])
    assert detector.score(state, ENTITY, hole)[0] == detector.score(state, ENTITY, whole)[0]
    assert np.isnan(detector.score(state, ENTITY, np.array([[np.nan, np.nan]]))[0])


def test_a_constant_warmup_flags_nothing(blank: Any) -> None:
    detector = make()
    state = blank(detector.fields, 1, 2)
    learn(detector, state, np.ones((WARMUP, 2)))
    assert detector.score(state, ENTITY, np.ones((1, 2)))[0] < 0.5


def test_rebase_takes_the_last_rows_for_the_warmup(blank: Any) -> None:
    detector = make()
    state = blank(detector.fields, 1, 2)
    learn(detector, state, noise(WARMUP))
    level = noise(WARMUP, seed=4) + 30
    assert detector.score(state, ENTITY, level[:1])[0] >= 0.5
    learn(detector, state, level, flagged=True)
    detector.rebase(state, ENTITY)
    assert detector.score(state, ENTITY, np.array([[30.0, 30.0]]))[0] < 0.5
    assert detector.expected(state, ENTITY, level[:1])[0] == pytest.approx([30, 30], abs=1)


def test_a_channel_that_comes_later_is_taken_up_by_a_new_warmup(blank: Any) -> None:
    detector = make()
    state = blank(detector.fields, 1, 2)
    rows = noise(3 * WARMUP)
    alone = rows.copy()
    alone[:, 1] = np.nan
    learn(detector, state, alone[:WARMUP])
    calm, wild = np.array([[0.0, 0.0]]), np.array([[0.0, 99.0]])
    assert detector.score(state, ENTITY, wild)[0] == detector.score(state, ENTITY, calm)[0]
    learn(detector, state, rows[: WARMUP - 1])
    assert not np.isnan(detector.score(state, ENTITY, wild)[0])
    learn(detector, state, rows[WARMUP:])
    assert detector.score(state, ENTITY, wild)[0] >= 0.5 > detector.score(state, ENTITY, calm)[0]


def test_scikit_learn_is_not_imported_before_the_first_fit() -> None:
    program = "import sys, models.isolation_forest; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
