"""A small scenario with every kind of step, for tests of the engine: a value held too high, and silence.

``test.high``: suspected at the first row with ``level`` ≥ 10, raised when it has held 30 s of event time,
cleared by a row below. ``test.silent``: no row for 60 s of engine time. ``level`` = 666 makes the rule raise.
``other`` amends: an old row that has it ends a ``test.high`` that began before.
``test.help``, on the urgent lane: raised by each row with ``help``, cleared when none has come for 600 s of
event time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zhiwei.clock import MICROS, NEVER
from zhiwei.contracts import Claim, Field, Ints, Kind, Out, Policy, Round, State
from zhiwei.schema import Channel, Schema
from zhiwei.types import Evidence, Observation, Phase, Severity

SCHEMA = Schema(
    scenario="hold",
    version=1,
    channels=(
        Channel(name="level"),
        Channel(name="other", amends=True),
        Channel(name="label", dtype="utf8"),
        Channel(name="help", dtype="bool", trigger=True),
    ),
)
HOLD_US = 30 * MICROS
SILENCE_US = 60 * MICROS
HELP_US = 600 * MICROS
HIGH = 10.0
POISON = 666.0


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """Has no threshold of its own. The text ``reorder N`` makes rows wait N seconds for earlier ones."""

    version: str = "1"
    latency_us: int = 5 * MICROS
    text: str = "1"
    reorder_us: int = 0

    def latency_of(self, channel: str) -> int:  # noqa: ARG002 - all alike
        return self.latency_us


class HoldRules:
    """See the head of this file."""

    fields = (
        Field("high.onset", "int64", (), NEVER),
        Field("high.worst", "float64", (), 0.0),
        Field("silent", "bool"),
        Field("seen", "int64", ("channel",)),
    )
    timers = ("hold", "silence")

    def __init__(self, channels: tuple[str, ...]) -> None:
        self.channels = channels

    def step(self, state: State, rows: Round, out: Out) -> None:
        level = (
            rows.values[:, self.channels.index("level")]
            if "level" in self.channels
            else np.full(len(rows.at), np.nan)
        )
        out.scores = np.where(np.isnan(level), np.nan, np.clip(level / 100, 0, 1))
        state["seen"][rows.entity] += ~np.isnan(rows.values)
        state["timer"][rows.entity, 1] = rows.arrived + SILENCE_US
        for place, entity in enumerate(rows.entity.tolist()):
            at, value = int(rows.at[place]), float(level[place])
            if value == POISON:
                raise ValueError("level is 666")
            if state["silent"][entity]:
                state["silent"][entity] = False
                out.claims.append(_claim(entity, "test.silent", Phase.CLEARED, at, at, 0.0))
            onset = int(state["high.onset"][entity])
            if value >= HIGH and onset == NEVER:
                state["high.onset"][entity] = at
                state["high.worst"][entity] = value
                state["timer"][entity, 0] = at + HOLD_US
                out.claims.append(_claim(entity, "test.high", Phase.SUSPECTED, at, at, value))
            elif value >= HIGH:
                state["high.worst"][entity] = max(value, float(state["high.worst"][entity]))
            elif value < HIGH and onset != NEVER:
                state["high.onset"][entity] = NEVER
                state["timer"][entity, 0] = NEVER
                worst = float(state["high.worst"][entity])
                out.claims.append(_claim(entity, "test.high", Phase.CLEARED, at, onset, worst))

    def amend(self, state: State, rows: Round, out: Out) -> None:
        other = self.channels.index("other") if "other" in self.channels else None
        for place, entity in enumerate(rows.entity.tolist()):
            value = np.nan if other is None else float(rows.values[place, other])
            if value == POISON:
                raise ValueError("other is 666")
            onset = int(state["high.onset"][entity])
            if not np.isnan(value) and onset < rows.at[place]:
                state["high.onset"][entity] = state["timer"][entity, 0] = NEVER
                when = max(onset, int(rows.arrived[place]))
                out.claims.append(_claim(entity, "test.high", Phase.CLEARED, when, onset, value))

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        for one, when in zip(entity.tolist(), at.tolist(), strict=True):
            if timer == "silence":
                state["silent"][one] = True
                out.claims.append(_claim(one, "test.silent", Phase.RAISED, when, when - SILENCE_US, 0.0))
            else:
                onset, worst = int(state["high.onset"][one]), float(state["high.worst"][one])
                out.claims.append(_claim(one, "test.high", Phase.RAISED, when, onset, worst))


class HelpRules:
    """What ``help`` calls for."""

    fields: tuple[Field, ...] = (Field("help.onset", "int64", (), NEVER),)
    timers: tuple[str, ...] = ("handed_over",)

    def __init__(self, channels: tuple[str, ...]) -> None:
        self._place = channels.index("help") if "help" in channels else None

    def step(self, state: State, rows: Round, out: Out) -> None:
        if self._place is None:
            return
        for place, entity in enumerate(rows.entity.tolist()):
            if rows.values[place, self._place] == 1.0:
                at = int(rows.at[place])
                onset = min(at, int(state["help.onset"][entity]))
                state["help.onset"][entity] = onset
                until = int(state["timer"][entity, 0])
                state["timer"][entity, 0] = at + HELP_US if until == NEVER else max(until, at + HELP_US)
                out.claims.append(_claim(entity, "test.help", Phase.RAISED, at, onset, 1.0))

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:  # noqa: ARG002 - has one
        for one, when in zip(entity.tolist(), at.tolist(), strict=True):
            onset = int(state["help.onset"][one])
            state["help.onset"][one] = NEVER
            out.claims.append(_claim(one, "test.help", Phase.CLEARED, when, onset, 0.0))


class HoldScenario:
    """Found under no name in the registry: tests hand it to the engine themselves."""

    name = "hold"
    schema = SCHEMA
    main_kind = "test.high"
    kinds = (
        Kind("test.high", (("level",),)),
        Kind("test.silent", ((),)),
        Kind("test.help", (("help",),)),
    )
    life_safety: frozenset[str] = frozenset({"test.high", "test.help"})

    def policy(self, text: str | None, *, file: str = "") -> Policy:  # noqa: ARG002 - nothing to refuse
        said = text or "1"
        wait_s = float(said.removeprefix("reorder ")) if said.startswith("reorder ") else 0.0
        return HoldPolicy(version=said, text=said, reorder_us=round(wait_s * MICROS))

    def rules(
        self,
        policy: Policy,  # noqa: ARG002 - has no threshold of its own
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002
        entities: Sequence[str],  # noqa: ARG002
    ) -> HoldRules:
        return HoldRules(channels)

    def urgent(
        self,
        policy: Policy,  # noqa: ARG002
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002
        entities: Sequence[str],  # noqa: ARG002
    ) -> HelpRules:
        return HelpRules(channels)


def _claim(entity: int, kind: str, phase: Phase, at: int, onset: int, worst: float) -> Claim:
    return Claim(
        entity=entity,
        kind=kind,
        rule=kind.removeprefix("test."),
        phase=phase,
        at=at,
        onset=onset,
        score=0.5,
        severity=Severity.MAJOR,
        evidence=Evidence(observations=(Observation(name="level", observed=worst, limit="< 10"),)),
    )
