"""The rules of a home, composed: life safety first, then who is there, then what is missing.

Pure steps over arrays. What a rule needs to remember is in its ``fields``; the engine owns the arrays. A home
whose consent is withdrawn is forgotten before anything is looked at.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from msgspec import structs

from scenarios.elderly import (
    battery,
    bed,
    climate,
    fall,
    inactivity,
    long_stay,
    meter,
    night_out,
    presence,
    silence,
    triggers,
)
from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS, Homes
from scenarios.elderly.localtime import Nights
from scenarios.elderly.policy import ElderlyPolicy, Sections
from scenarios.elderly.signals import Layout, Look, Signals
from scenarios.elderly.standing import Told
from scenarios.elderly.words import KINDS, LATE_DATA
from zhiwei.clock import NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Ints, Out, Round, Standing, State

Step = Callable[[State, Look, Out], None]
Fire = Callable[[State, Ints, Ints, Out], None]
Tell = Callable[[State, int, int], Iterable[Standing]]


class ElderlyRules:
    """One policy over a fixed list of channels."""

    def __init__(
        self,
        policy: ElderlyPolicy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],
        entities: Sequence[str],
    ) -> None:
        s = policy.sections
        layout = Layout(channels, s.rooms)
        self._homes = Homes(s, attributes, entities)
        self._episodes = Episodes(_rules(layout, s), s.severity)
        self._signals = Signals(layout, s.late)
        self._steps: list[Step] = []
        self._late_steps: list[Step] = []
        self._fires: dict[str, Fire] = {}
        self._tells: list[Tell] = []
        self.fields: tuple[Field, ...] = (*self._episodes.fields, *self._signals.fields)
        self._compose(layout, s)
        self.timers: tuple[str, ...] = tuple(self._fires)

    def _compose(self, layout: Layout, s: Sections) -> None:
        """In the order of a row: what calls for help, who is there, what was used, what is missing."""
        homes, episodes, nights = self._homes, self._episodes, Nights(s.site.night)
        if s.trigger is not None and triggers.rules_of(layout):
            part = triggers.Triggers(layout, episodes, s.trigger, len(self._fires))
            self._add(part.fields, part.step, {triggers.TIMER: part.fire})
        if s.fall is not None and layout.of("fall").any():
            falls = fall.Falls(layout, episodes, s.fall, len(self._fires))
            self._add(falls.fields, falls.step, {fall.TIMER: falls.fire})
        there = presence.Presence(layout, homes, episodes, s.away, len(self._fires))
        self._add(there.fields, there.step, {presence.TIMER: there.fire}, there.standing, late=True)
        devices = silence.Silence(layout, episodes, s.silence, len(self._fires))
        self._add(devices.fields, devices.step, {silence.TIMER: devices.fire})
        if layout.of("water_m3").any():
            water = meter.Meter(layout, homes, episodes, there, s.no_water, s.leak)
            self._add(water.fields, water.step, {}, water.standing)
        if s.no_activity is not None:
            inactive = inactivity.Inactivity(
                layout, homes, episodes, there, devices, nights, s.no_activity, len(self._fires)
            )
            timer = {inactivity.TIMER: inactive.fire}
            self._add(inactive.fields, inactive.step, timer, inactive.standing, late=True)
        if s.long_stay is not None:
            first = len(self._fires)
            stays = long_stay.LongStays(
                layout, homes, episodes, there, devices, nights, s.long_stay, (first, first + 1)
            )
            fires: dict[str, Fire] = {name: _of_room(stays, k) for k, name in enumerate(long_stay.TIMERS)}
            self._add(stays.fields, stays.step, fires, stays.standing, late=True)
        if s.night_out is not None:
            out = night_out.NightsOut(layout, episodes, there, devices, s.night_out, len(self._fires))
            self._add(out.fields, out.step, {night_out.TIMER: out.fire}, late=True)
        if s.bed_absent is not None and layout.bed.any():
            beds = bed.BedAbsences(
                layout, homes, episodes, there, devices, nights, s.bed_absent, len(self._fires)
            )
            self._add(beds.fields, beds.step, {bed.TIMER: beds.fire}, late=True)
        if s.climate is not None and climate.columns_of(layout):
            rooms = climate.Climates(layout, episodes, devices, s.climate, len(self._fires))
            self._add(rooms.fields, rooms.step, {climate.TIMER: rooms.fire})
        if s.battery is not None and layout.of("battery").any():
            batteries = battery.Batteries(layout, episodes, s.battery)
            self._add(batteries.fields, batteries.step, {})

    def _add(
        self,
        fields: tuple[Field, ...],
        step: Step,
        fires: Mapping[str, Fire],
        tell: Tell | None = None,
        *,
        late: bool = False,
    ) -> None:
        """late: the step also takes what ``amend`` lets through."""
        self.fields += fields
        self._steps.append(step)
        if late:
            self._late_steps.append(step)
        self._fires.update(fires)
        if tell is not None:
            self._tells.append(tell)

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Rows of a round."""
        home = self._homes.of(state, rows.entity)
        if self._homes.some_withdrawn:
            gone = rows.arrived >= self._homes.withdrawn_from(home)
            if gone.any():
                self._step_others(state, rows, out, gone)
                return
        look = self._signals.read(state, rows, home, self._homes.local(home, rows.at))
        for step in self._steps:
            step(state, look, out)

    def _step_others(self, state: State, rows: Round, out: Out, gone: Bools) -> None:
        """Homes without consent are forgotten; the other rows go on."""
        self._forget(state, rows.entity[gone], rows.arrived[gone], out)
        stay = np.flatnonzero(~gone)
        scores = np.full(len(gone), np.nan)
        if len(stay):
            before = out.scores
            self.step(state, _some(rows, stay, tuple(rows.text)), out)
            if out.scores is not before and out.scores is not None:
                scores[stay] = out.scores
        out.scores = scores

    def amend(self, state: State, rows: Round, out: Out) -> None:
        """A sign that came late is the last sign where no other is later, and taken as that: what it ends is
        over, what it begins is waited for. One before the last sign contradicts nothing that is judged now.

        Calls for help and falls do not end so, and what a device itself is, is not read of old rows. A home
        that was never heard in time is not judged.
        """
        home, e = self._homes.of(state, rows.entity), rows.entity
        last = (rows.at > state["presence.sign_at"][e]) & (state["silence.first"][e] != NEVER)
        some = np.flatnonzero(last & (rows.arrived < self._homes.withdrawn_from(home)))
        if not len(some):
            return
        postures = tuple(name for name in rows.text if name.partition(".")[0] == "posture")
        rows, home = _some(rows, some, postures), home[some]
        before = state["timer"][rows.entity]
        look = self._signals.read_late(state, rows, home, self._homes.local(home, rows.at))
        late = Out()
        for step in self._late_steps:
            step(state, look, late)
        # More may be on its way: no deadline that such a row sets passes before the burst is over.
        timer = state["timer"][rows.entity]
        moved = (timer != before) & (timer != NEVER)
        state["timer"][rows.entity] = np.where(moved, np.maximum(timer, look.settled_at[:, None]), timer)
        arrived = dict(zip(rows.entity.tolist(), rows.arrived.tolist(), strict=True))
        out.claims += [_ended_late(claim, arrived[claim.entity]) for claim in late.claims]

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """A deadline has passed."""
        gone = at >= self._homes.withdrawn_from(self._homes.of(state, entity))
        if gone.any():
            self._forget(state, entity[gone], at[gone], out)
            entity, at = entity[~gone], at[~gone]
        if len(entity):
            self._fires[timer](state, entity, at, out)

    def standing(self, state: State, entity: int, at: int, now: int) -> tuple[Standing, ...]:
        """The terms of no activity, no water, long stays, absence; of a home without consent, only that."""
        gone = int(self._homes.withdrawn_from(self._homes.of(state, np.array([entity])))[0])
        if now >= gone:
            since = None if gone == ALWAYS else gone
            return tuple(
                Told(kind, "consent").term("consent", False, observed=False, needs=True, since=since)
                for kind in KINDS
            )
        return tuple(term for tell in self._tells for term in tell(state, entity, at))

    def _forget(self, state: State, entity: Ints, at: Ints, out: Out) -> None:
        """End what is open, and keep nothing of the home."""
        for row in range(len(entity)):
            self._episodes.clear_all(state, out, int(entity[row]), int(at[row]), "consent_withdrawn")
        for field in self.fields:
            state[field.name][entity] = field.fill
        state["timer"][entity] = NEVER


def _of_room(stays: long_stay.LongStays, k: int) -> Fire:
    def fire(state: State, entity: Ints, at: Ints, out: Out) -> None:
        stays.fire(state, k, entity, at, out)

    return fire


def _some(rows: Round, places: Ints, texts: tuple[str, ...]) -> Round:
    """These rows, with these channels of text."""
    return Round(
        entity=rows.entity[places],
        at=rows.at[places],
        arrived=rows.arrived[places],
        flags=rows.flags[places],
        values=rows.values[places],
        text={name: rows.text[name][places] for name in texts},
    )


def _ended_late(claim: Claim, arrived: int) -> Claim:
    """People learn of it when the row comes."""
    at = max(claim.at, arrived)
    evidence = structs.replace(claim.evidence, end=to_datetime(at), note=LATE_DATA)
    return replace(claim, at=at, evidence=evidence)


def _rules(layout: Layout, s: Sections) -> list[Rule]:
    """Everything that may be open in a home."""
    rules: list[Rule] = [presence.RULE, *silence.rules_of(layout)]
    if s.trigger is not None:
        rules += triggers.rules_of(layout)
    if s.fall is not None:
        rules += fall.rules_of(layout)
    if s.no_activity is not None:
        rules.append(inactivity.RULE)
    if layout.of("water_m3").any():
        rules += [meter.RULE] if s.no_water is not None else []
        rules += meter.leak_rules(layout) if s.leak is not None else []
    if s.long_stay is not None:
        rules += long_stay.RULES
    if s.night_out is not None:
        rules.append(night_out.RULE)
    if s.bed_absent is not None and layout.bed.any():
        rules.append(bed.RULE)
    if s.climate is not None:
        rules += climate.rules_of(layout)
    if s.battery is not None:
        rules += battery.rules_of(layout)
    return rules
