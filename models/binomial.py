"""Binomial event discriminator (BED): outliers become an event when so many are no chance."""

from collections.abc import Mapping
from math import comb, fsum
from typing import Annotated

import msgspec
import numpy as np

from models.history import each_once
from models.parameters import Parameters, parse
from zhiwei.contracts import Bools, Field, Ints, Judgement, State

_RESET = 0.5
"""At or below this probability the count of event rows starts again (CANARY)."""

Probability = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class BinomialParameters(Parameters, frozen=True):
    """What must be chosen."""

    window: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    """Rows looked back on."""
    probability: Probability
    """That a row is an outlier by chance."""
    threshold: Annotated[float, msgspec.Meta(gt=_RESET, le=1.0)]
    """Event while the probability is at least this."""
    timeout: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    """Event rows after which the change counts as lasting."""


class Binomial:
    """P = binomial CDF at the number of outliers among the last ``window`` rows; event while P >= threshold.

    A count grows on each event row and starts again when P <= 0.5; so an event that was interrupted
    for a moment does not begin its time anew. At ``timeout`` event rows the event has timed out: that row
    is its last, the outliers are forgotten, and the caller rebases the detector.

    Source: CANARY (US EPA and Sandia), "BED". With 6 rows and 0.5, the threshold 0.85 means 4 outliers.
    """

    name = "binomial"

    def __init__(self, *, settings: Mapping[str, object], file: str) -> None:
        chosen = parse(BinomialParameters, settings, file=file, part=self.name)
        n, p = chosen.window, chosen.probability
        mass = [comb(n, k) * p**k * (1.0 - p) ** (n - k) for k in range(n + 1)]
        # cdf[outliers]; the last is 1 whatever the rounding, so that a threshold of 1 can be reached.
        self._cdf = np.array([*(min(fsum(mass[: k + 1]), 1.0) for k in range(n)), 1.0])
        self._threshold, self._timeout = chosen.threshold, chosen.timeout
        self.fields: tuple[Field, ...] = (
            Field("binomial.recent", "bool", (n,)),
            Field("binomial.event_rows", "int16"),
            Field("binomial.active", "bool"),
        )

    def judge(self, state: State, entity: Ints, outlier: Bools) -> Judgement:
        """One more row of each entity; rows without a verdict of the detector are not given at all.

        entity: (n,) each once. Raises ValueError if an entity occurs twice.
        """
        each_once(entity)
        recent = state["binomial.recent"][entity]
        recent = np.concatenate([recent[:, 1:], outlier[:, None]], axis=1)
        probability = self._cdf[np.count_nonzero(recent, axis=1)]
        event = probability >= self._threshold
        before = state["binomial.active"][entity]
        count = np.where(probability <= _RESET, 0, state["binomial.event_rows"][entity] + event)
        timed_out = event & (count >= self._timeout)
        recent[timed_out] = False
        state["binomial.recent"][entity] = recent
        state["binomial.event_rows"][entity] = np.where(timed_out, 0, count)
        state["binomial.active"][entity] = event & ~timed_out
        return Judgement(
            event=event,
            probability=probability,
            began=event & ~before,
            returned=before & ~event,
            timed_out=timed_out,
        )
