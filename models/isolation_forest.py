"""Isolation forest: rows that few random cuts set apart from the warm-up.

Fitted by scikit-learn, walked here: its own scoring takes milliseconds for one row and, being made for
whole data sets, promises nothing about a row's bits alone and among others. scikit-learn is imported at
the first fit, since it takes a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.history import History, stored
from models.parameters import Parameters, parse
from models.unit_score import unit_score
from zhiwei.contracts import Bools, Field, Floats, Ints, State

_SAMPLES = 256
"""Rows that a tree is grown from, at most (Liu, Ting, Zhou 2008: more gain nothing)."""
_FORESTS = 1024
"""Forests kept, the latest used; each takes about 0.5 MB."""
_BEYOND = float(np.nextafter(1.0, 2.0))
"""A row as deep as the limit is not beyond it: a constant warm-up would else flag every row."""


class IsolationForestParameters(Parameters, frozen=True):
    """What must be chosen."""

    warmup: Annotated[int, msgspec.Meta(ge=16, le=10_000)]
    """Rows that the forest is fitted to."""
    trees: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    quantile: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
    """Share of the warm-up rows that are no outliers."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    """Of the random cuts: the same rows and seed give the same forest, after a restart too."""


class IsolationForest:
    """Mean depth at which a row is isolated, against the shallowest of the warm-up.

    Features are the channels and their differences from the last accepted row. The first ``warmup``
    accepted rows are kept in the state; the forest is made from them when it is needed and cached outside
    the state, so that a restart makes the same one again. Score: ``unit_score`` of (limit / depth), where
    ``limit`` leaves the share ``quantile`` of the warm-up rows below 0.5.

    Missing values take the previous value, so their difference is 0; a row without any value of a fitted
    channel has no score. A channel is fitted if it had values in the warm-up; one that comes later is
    taken up by a new warm-up, after it has been there for ``warmup`` rows.

    Source: Liu, Ting, Zhou, "Isolation Forest" (2008). Weak against one wild channel among several (cuts are
    drawn over all: take ``robust_z``), against departures from a channel that was constant in the
    warm-up (it cannot be cut), against a warm-up that holds outliers, and against seasons longer than it.
    Each entity has its forest: some 0.1 s and 0.5 MB, for hundreds of entities rather than thousands.
    """

    name = "isolation_forest"

    def __init__(self, *, channels: tuple[str, ...], settings: Mapping[str, object], file: str) -> None:
        chosen = parse(IsolationForestParameters, settings, file=file, part=self.name)
        self._history = History(self.name, chosen.warmup, channels)
        self.fields: tuple[Field, ...] = (
            *self._history.fields,
            Field("isolation_forest.last", "float32", ("channel",), fill=np.nan, channels=channels),
        )

        def grow(rows: bytes, channels: int) -> "_Forest":
            values = np.frombuffer(rows, dtype=np.float32).reshape(channels, chosen.warmup)
            return _fit(values, chosen)

        self._grow = lru_cache(maxsize=_FORESTS)(grow)

    def score(self, state: State, entity: Ints, x: Floats) -> Floats:
        """(n,) see the class. x: (n, channels), NaN = missing."""
        x = stored(x)
        full = self._history.full(state, entity)
        ready = self._complete(state, entity) & (full & ~np.isnan(x)).any(axis=1)
        beyond = np.full(len(entity), np.nan)
        if ready.any():
            before = state["isolation_forest.last"][entity].astype(np.float64)
            value = np.where(np.isnan(x), before, x)
            for row in np.flatnonzero(ready):  # a forest of its own for each entity
                fitted = full[row]
                rows = self._history.in_order(state, entity[row : row + 1])[0, fitted].astype(np.float32)
                forest = self._grow(rows.tobytes(), int(np.count_nonzero(fitted)))
                point = np.concatenate([value[row, fitted], value[row, fitted] - before[row, fitted]])
                beyond[row] = forest.limit / forest.depth(stored(point[None, :]))[0]
        return unit_score(beyond, _BEYOND)

    def expected(self, state: State, entity: Ints, x: Floats) -> Floats:  # noqa: ARG002 - the median asks no row
        """(n, channels) the median of the warm-up; NaN for channels that are not fitted."""
        ranked = np.sort(self._history.values(state, entity), axis=2)
        ready = self._complete(state, entity)[:, None] & self._history.full(state, entity)
        return np.where(ready, ranked[:, :, ranked.shape[2] // 2], np.nan)

    def learn(self, state: State, entity: Ints, x: Floats, flagged: Bools) -> None:
        """Rows join the warm-up until it is complete; then they are kept for ``rebase`` only."""
        x = stored(x)
        self._history.learn(state, entity, x, flagged | self._complete(state, entity))
        last = state["isolation_forest.last"]
        last[entity] = np.where(np.isnan(x) | flagged[:, None], last[entity], x)

    def rebase(self, state: State, entity: Ints) -> None:
        """The last rows, flagged or not, become the warm-up."""
        self._history.rebase(state, entity)
        latest = self._history.latest(state, entity, self._history.raw)
        state["isolation_forest.last"][entity] = latest

    def _complete(self, state: State, entity: Ints) -> Bools:
        """(n,) whether every channel that counts has a full warm-up, and there is one."""
        full = self._history.full(state, entity)
        begun = self._history.begun(state, entity)
        return np.asarray(full.any(axis=1) & (full | ~begun).all(axis=1))


@dataclass(frozen=True, slots=True)
class _Forest:
    """Trees laid end to end; a leaf is its own child, so that all walks take ``levels`` steps."""

    roots: Ints
    feature: Ints
    """(nodes,) column that is cut; 0 at a leaf."""
    threshold: Floats
    """(nodes,) a value at or below it goes to child 0."""
    children: Ints
    """(nodes, 2)"""
    length: Floats
    """(nodes,) at a leaf: its depth, and what the rows left in it would add."""
    levels: int
    limit: float = np.nan
    """Mean depth under which a row is an outlier."""

    def depth(self, x: Floats) -> Floats:
        """(rows,) mean depth over the trees. x: (rows, features), values that are float32."""
        row = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        for _ in range(self.levels):
            right = x[row, self.feature[node]] > self.threshold[node]
            node = self.children[node, right.astype(np.int64)]
        return np.asarray(np.add.reduce(np.ascontiguousarray(self.length[node]), axis=1) / len(self.roots))


def _fit(values: npt.NDArray[np.float32], chosen: IsolationForestParameters) -> _Forest:
    """values: (channels, warmup rows), oldest first."""
    from sklearn.ensemble import IsolationForest as Fitter

    rows = values.T.astype(np.float64)
    change = np.diff(rows, axis=0, prepend=rows[:1])
    features = stored(np.concatenate([rows, change], axis=1))
    fitter = Fitter(
        n_estimators=chosen.trees, max_samples=min(_SAMPLES, len(rows)), random_state=chosen.seed
    ).fit(features.astype(np.float32))
    forest = _laid_out([estimator.tree_ for estimator in fitter.estimators_])
    depths = np.sort(forest.depth(features))
    return replace(forest, limit=float(depths[int((1.0 - chosen.quantile) * len(depths))]))


def _laid_out(trees: list[Any]) -> _Forest:
    """scikit-learn's trees (``sklearn.tree._tree.Tree``) as one set of arrays."""
    start = np.cumsum([0, *(tree.node_count for tree in trees)])
    feature, threshold, children, length = [], [], [], []
    for root, tree in zip(start[:-1], trees, strict=True):
        leaf = tree.children_left < 0
        itself = np.arange(tree.node_count)
        child = np.stack([np.where(leaf, itself, side) for side in (tree.children_left, tree.children_right)])
        level = np.zeros(tree.node_count)
        for node in np.flatnonzero(~leaf):  # parents come before their children
            level[child[:, node]] = level[node] + 1
        feature.append(np.where(leaf, 0, tree.feature))
        threshold.append(tree.threshold)
        children.append(child.T + root)
        length.append(level + _unsplit(tree.n_node_samples))
    return _Forest(
        roots=start[:-1],
        feature=np.concatenate(feature),
        threshold=np.concatenate(threshold),
        children=np.concatenate(children),
        length=np.concatenate(length),
        levels=max(int(tree.max_depth) for tree in trees),
    )


def _unsplit(samples: Ints) -> Floats:
    """Mean depth that so many rows would still take to isolate (Liu, Ting, Zhou 2008, equation 1)."""
    n = np.maximum(samples, 2).astype(np.float64)
    mean = np.where(
        n > 2, 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + np.euler_gamma) - 2.0 * (n - 1.0) / n, 1.0
    )
    return np.where(samples > 1, mean, 0.0)
