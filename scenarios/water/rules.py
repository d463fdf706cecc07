"""The rules of the water scenario, composed: quality, probe faults, limits, events, silence, the pump room.

Pure steps over arrays. What a rule needs to remember is in its ``fields``; the engine owns the arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from scenarios.water.event import Events
from scenarios.water.faults.implausible import Implausible
from scenarios.water.faults.missing import Missing
from scenarios.water.faults.scale import Scale
from scenarios.water.faults.stuck import Stuck
from scenarios.water.limits import HOLD, Limits
from scenarios.water.policy import WaterPolicy
from scenarios.water.profiles import Profiles, numbers_of
from scenarios.water.room.rules import Room
from scenarios.water.signals import Signals
from scenarios.water.silence import SILENCE, Silence
from scenarios.water.source_switch import Announced
from zhiwei.clock import to_datetime
from zhiwei.contracts import Claim, Field, Ints, Out, Round, State


class WaterRules:
    """One policy over a fixed list of channels."""

    def __init__(
        self,
        policy: WaterPolicy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> None:
        """Raises ConfigError where a detector refuses its settings."""
        s = policy.sections
        timers = (*((HOLD,) if s.limit else ()), *((SILENCE,) if s.offline is not None else ()))
        self._room = Room(channels, s, attributes, entities, len(timers))
        self.timers: tuple[str, ...] = (*timers, *self._room.timers)
        self._profiles = Profiles(channels, s, attributes, entities)
        self._signals = Signals(channels, s)
        self._limits: Limits | None = None
        if s.decision is not None and s.limit:
            self._limits = Limits(channels, s.decision, s, self._profiles, timers.index(HOLD))
        self._stuck: Stuck | None = None
        self._scale: Scale | None = None
        self._further: tuple[Implausible | Missing, ...] = ()
        if s.faults is not None and s.decision is not None:
            severity = s.severity.sensor_fault
            self._stuck = Stuck(self._signals, s.faults, severity)
            self._scale = Scale(self._signals, s.faults, severity)
            self._further = (
                Implausible(self._signals, s.decision, severity),
                Missing(self._signals, s.faults, severity),
            )
        self._events: Events | None = None
        if s.event is not None:
            announced = None
            if s.source_switch is not None and set(channels).issuperset(s.source_switch.steps):
                announced = Announced(channels, s.source_switch)
            self._events = Events(channels, policy, s.event, s.severity.event, announced)
        self._silence: Silence | None = None
        if s.offline is not None:
            self._silence = Silence(s.offline, s.severity.offline, timers.index(SILENCE))
        parts = (self._signals, self._stuck, self._scale, *self._further)
        parts += (self._limits, self._events, self._silence, self._room)
        self.fields: tuple[Field, ...] = tuple(field for part in parts if part for field in part.fields)

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Rows of a round. Probe faults come first: what is stuck has no verdict on the water."""
        before = len(out.claims)
        profile = self._profiles.of(numbers_of(state, rows.entity))
        samples = self._signals.read(state, rows, self._profiles.upper[profile])
        for part in self._further:
            part.step(state, rows, samples, out)
        if self._stuck is not None and self._scale is not None:
            self._stuck.step(state, rows, samples, out)
            self._scale.step(state, rows, samples, out)
        self._signals.accept(state, rows, samples, samples.plausible & ~samples.stuck)
        if self._limits is not None:
            self._limits.step(state, rows, samples, profile, out)
        if self._events is not None:
            self._events.step(state, rows, samples, out)
        if self._silence is not None:
            self._silence.step(state, rows, samples, out)
        self._room.step(state, rows, samples, out, before)
        out.claims[before:] = [_in_order(claim) for claim in out.claims[before:]]

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """A deadline has passed."""
        if timer == HOLD and self._limits is not None:
            self._limits.fire(state, entity, at, self._profiles.of(numbers_of(state, entity)), out)
        elif timer == SILENCE and self._silence is not None:
            self._silence.fire(state, entity, at, out)
        else:
            self._room.fire(state, timer, entity, at, out)


def _in_order(claim: Claim) -> Claim:
    """Devices of one station have clocks of their own, so a row may be older than the one before it: a
    finding does not begin after it was made."""
    if claim.onset <= claim.at:
        return claim
    evidence = msgspec.structs.replace(claim.evidence, start=to_datetime(claim.at))
    return replace(claim, onset=claim.at, evidence=evidence)
