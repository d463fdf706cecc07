"""One rule: a bay that is taken for too long. Onset at the first row that says so; a deadline raises it."""

from dataclasses import dataclass

import numpy as np

from zhiwei.clock import NEVER
from zhiwei.contracts import Claim, Field, Ints, Out, Round, State
from zhiwei.types import Evidence, Observation, Phase, Severity

KIND = "parking.overstay"


@dataclass(frozen=True, slots=True)
class ParkingRules:
    """See the head of this file."""

    channels: tuple[str, ...]
    overstay_us: int
    limit: str
    source: str
    fields: tuple[Field, ...] = (Field("since", "int64", (), NEVER), Field("raised", "bool"))
    timers: tuple[str, ...] = ("overstay",)

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Rows of bays; a row without ``occupied`` says nothing."""
        if "occupied" not in self.channels:
            return
        said = rows.values[:, self.channels.index("occupied")]
        came = (said == 1) & (state["since"][rows.entity] == NEVER)
        state["since"][rows.entity[came]] = rows.at[came]
        state["timer"][rows.entity[came], 0] = rows.at[came] + self.overstay_us
        left = (said == 0) & (state["since"][rows.entity] != NEVER)
        for place in np.flatnonzero(left & state["raised"][rows.entity]).tolist():
            entity, at = int(rows.entity[place]), int(rows.at[place])
            out.claims.append(self._claim(entity, Phase.CLEARED, at, int(state["since"][entity])))
        state["raised"][rows.entity[left]] = False
        state["since"][rows.entity[left]] = NEVER
        state["timer"][rows.entity[left], 0] = NEVER

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:  # noqa: ARG002
        """Taken for so long, whether a row says so again or not."""
        state["raised"][entity] = True
        for one, when in zip(entity.tolist(), at.tolist(), strict=True):
            out.claims.append(self._claim(one, Phase.RAISED, when, int(state["since"][one])))

    def _claim(self, entity: int, phase: Phase, at: int, onset: int) -> Claim:
        seen = Observation(name="occupied", observed=True, limit=self.limit, source=self.source)
        return Claim(
            entity=entity,
            kind=KIND,
            rule="overstay",
            phase=phase,
            at=at,
            onset=onset,
            score=1.0,
            severity=Severity.MINOR,
            evidence=Evidence(observations=(seen,)),
        )
