"""The water meter: a cumulative register that is often uploaded once a day. Use, no use, and leaks.

Verdicts come with readings, never with the passing of time: a silent meter is not a dry home.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scenarios.elderly.episodes import Episodes, Rule
from scenarios.elderly.homes import ALWAYS, NOTHING, Homes
from scenarios.elderly.localtime import DAY
from scenarios.elderly.policy import Leak, NoWater
from scenarios.elderly.presence import Presence
from scenarios.elderly.signals import Layout, Look, at_least
from scenarios.elderly.standing import Told
from scenarios.elderly.words import HOUR, LATE_DATA, LEAK, NO_WATER, clock_time, duration, hours
from zhiwei.clock import NEVER
from zhiwei.contracts import Bools, Field, Floats, Ints, Out, Standing, State
from zhiwei.types import Observation

RULE = Rule("no_water", NO_WATER)
_STEADY, _VOLUME = "leak.steady", "leak.volume"
_FLOW = 1e-6  # m³: a millilitre; less is the last bit of a register
_DAILY = 12 * HOUR  # readings that come so late come once a day


def leak_rules(layout: Layout) -> list[Rule]:
    """Two for each meter."""
    return [
        Rule(f"{rule}.{name}", LEAK)
        for name in layout.names(layout.of("water_m3"))
        for rule in (_STEADY, _VOLUME)
    ]


@dataclass(slots=True)
class _Reading:
    """Readings of one meter, one row each; (n,)."""

    row: Ints
    entity: Ints
    at: Ints
    arrived: Ints
    register: Floats
    before: Floats
    """NaN at the first reading and after a replacement."""
    before_at: Ints
    flows: Bools
    """The register has risen since the reading before."""

    @property
    def measured(self) -> Bools:
        """There is a reading before it."""
        return ~np.isnan(self.before)


class Meter:
    """State, by meter: last reading, last pulse, steady flow; for the home: when water was last used."""

    def __init__(
        self,
        layout: Layout,
        homes: Homes,
        episodes: Episodes,
        presence: Presence,
        no_water: NoWater | None,
        leak: Leak | None,
    ) -> None:
        self._homes, self._episodes, self._presence = homes, episodes, presence
        self._settings, self._leak = no_water, leak
        self._columns = np.flatnonzero(layout.of("water_m3")).tolist()
        self.names = [layout.channels[column] for column in self._columns]
        self._pulse = 0.01 if no_water is None else float(no_water.pulse.value)
        self._most_flow = np.inf if leak is None else float(leak.most_flow.value)
        self._leaks = episodes.places([rule.name for rule in leak_rules(layout)] if leak is not None else [])
        by_meter = (
            Field(f"meter.{name}", dtype, ("channel",), fill, channels=tuple(self.names))
            for name, dtype, fill in (
                ("register", "float64", np.nan),
                ("at", "int64", ALWAYS),
                ("pulse_register", "float64", np.nan),
                ("pulse_at", "int64", ALWAYS),
                ("delay", "int64", 0),
                ("last_delay", "int64", 0),
                ("day_register", "float64", np.nan),
                ("day", "int32", -1),
                ("flow_since", "int64", NEVER),
                ("flow_slot", "int64", ALWAYS),
            )
        )
        self.fields: tuple[Field, ...] = (*by_meter, Field("meter.raised_at", "int64", (), NEVER))

    def step(self, state: State, look: Look, out: Out) -> None:
        """Fill ``look.used``, then judge."""
        for place, column in enumerate(self._columns):
            row = np.flatnonzero(look.seen[:, column])
            row = row[look.at[row] > state["meter.at"][look.entity[row], place]]
            if not len(row):
                continue
            reading = self._read(state, look, place, column, row)
            pulse = self._count(state, reading, place)
            if self._leak is not None:
                self._steady(state, reading, place, out)
                self._volume(state, look, reading, place, out)
            leaking = (state["open"][reading.entity][:, self._leaks] != NEVER).any(axis=1)
            used = row[pulse & ~leaking]
            look.used[used] = True
            if self._settings is not None:
                self._wet(state, look, used, out)
                self._dry(state, look, reading, leaking, out)
        if look.used.any():
            self._presence.use_water(state, look)

    # -------------------------------------------------------------- readings

    def _read(self, state: State, look: Look, place: int, column: int, row: Ints) -> _Reading:
        e, at, arrived = look.entity[row], look.at[row], look.rows.arrived[row]
        register = look.rows.values[row, column]
        before, before_at = state["meter.register"][e, place], state["meter.at"][e, place]
        rise = register - before
        # A register that falls, or rises faster than the pipe allows, is another meter.
        took_h = np.where(np.isnan(before), 0, at - np.where(np.isnan(before), at, before_at)) / HOUR
        replaced = (rise < -_FLOW) | (rise > self._most_flow * np.maximum(took_h, 1.0))
        before = np.where(replaced, np.nan, before)
        state["meter.register"][e, place] = register
        state["meter.at"][e, place] = at
        delay = np.maximum(arrived - at, 0)
        state["meter.delay"][e, place] = np.maximum(state["meter.delay"][e, place], delay)
        state["meter.last_delay"][e, place] = delay
        return _Reading(row, e, at, arrived, register, before, before_at, rise_above(register, before))

    def _count(self, state: State, reading: _Reading, place: int) -> Bools:
        """(n,) at least one pulse since the last that was counted. A first reading only begins to count."""
        e = reading.entity
        last = state["meter.pulse_register"][e, place]
        pulse = reading.measured & at_least(reading.register - last, self._pulse)
        begins = ~reading.measured
        state["meter.pulse_register"][e, place] = np.where(pulse | begins, reading.register, last)
        since = state["meter.pulse_at"][e, place]
        state["meter.pulse_at"][e, place] = np.where(pulse | begins, reading.at, since)
        return np.asarray(pulse)

    # -------------------------------------------------------------- no water

    def _wet(self, state: State, look: Look, used: Ints, out: Out) -> None:
        e = look.entity[used]
        for row in np.flatnonzero(self._episodes.is_open(state, e, RULE.name)).tolist():
            raised_at = int(state["meter.raised_at"][e[row]])
            at = int(look.at[used[row]])
            self._episodes.clear(
                state,
                out,
                int(e[row]),
                RULE.name,
                at=int(look.rows.arrived[used[row]]),
                cause=LATE_DATA if at < raised_at else "water_used",
            )

    def _dry(self, state: State, look: Look, reading: _Reading, leaking: Bools, out: Out) -> None:
        s = self._settings
        assert s is not None
        e = reading.entity
        declared = look.declared[reading.row] != NOTHING
        # Time that was declared away, or shared with a visitor, is not time alone at home without water.
        floor = np.where(declared | look.returned[reading.row], reading.at, ALWAYS)
        state["presence.home_since"][e] = np.maximum(state["presence.home_since"][e], floor)
        since = self._dry_since(state, e)
        known = ~np.isnan(state["meter.register"][e])
        until = np.where(known, state["meter.at"][e], NEVER).min(axis=1)
        dry = (until - np.where(since == ALWAYS, until, since) >= s.dry.us) & ~leaking & ~declared
        dry &= reading.arrived - reading.at <= s.fresh.us
        dry &= ~self._episodes.is_open(state, e, RULE.name)
        if not dry.any():
            return
        dry &= ~self._presence.away(state, e, reading.arrived)
        local_since = self._homes.local(look.home[reading.row], np.where(dry, since, 0))
        for n in np.flatnonzero(dry).tolist():
            entity = int(e[n])
            state["meter.raised_at"][entity] = reading.arrived[n]
            delay = int(state["meter.delay"][entity].max())
            late = int(reading.arrived[n]) - int(since[n]) - s.dry.us
            used = float(
                (state["meter.register"][entity] - state["meter.pulse_register"][entity])[known[n]].sum()
            )
            self._episodes.open(
                state,
                out,
                entity,
                RULE.name,
                at=int(reading.arrived[n]),
                onset=int(since[n]),
                observations=(
                    Observation(
                        name="water_use",
                        observed=round(used, 6),
                        expected=self._pulse,
                        limit=f"≥ {self._pulse:g} m³ in {duration(s.dry.us)}",
                        unit="m³",
                        source=s.dry.source,
                    ),
                    Observation(name="last_use", observed=clock_time(int(local_since[n]))),
                    Observation(
                        name="found_late_by", observed=hours(max(late, 0)), unit="h", source="upload"
                    ),
                ),
                note="upload once a day" if delay >= _DAILY else "",
            )

    def standing(self, state: State, entity: int, at: int) -> Iterator[Standing]:
        """A meter that is read, no leak, home and alone, and no pulse for too long.

        Verdicts come with readings: ``dry`` goes up to the last one.
        """
        s = self._settings
        if s is None:
            return
        told, e = Told(NO_WATER, RULE.name), np.array([entity])
        known = ~np.isnan(state["meter.register"][entity])
        if not known.any():
            yield told.term("meter_read", None, observed=False, needs=True)
            return
        until = int(state["meter.at"][entity][known].min())
        yield told.term("meter_read", True, observed=True, needs=True, since=until)
        newest = int(np.where(known, state["meter.at"][entity], ALWAYS).argmax())
        late = int(state["meter.last_delay"][entity, newest])
        yield told.term("reading_too_old", late <= s.fresh.us, observed=late > s.fresh.us, needs=False)
        leaking = bool((state["open"][entity][self._leaks] != NEVER).any())
        yield told.term("leak", not leaking, observed=leaking, needs=False)
        yield from self._presence.terms(state, entity, at, told)
        since = int(self._dry_since(state, e)[0])
        dry_since = until if since == ALWAYS else since
        yield told.lasted("dry", dry_since, until, s.dry.us, s.dry.source)

    @staticmethod
    def _dry_since(state: State, entity: Ints) -> Ints:
        """(n,) the last pulse at home; ALWAYS before the first reading."""
        return np.asarray(
            np.maximum(state["meter.pulse_at"][entity].max(axis=1), state["presence.home_since"][entity])
        )

    # -------------------------------------------------------------- leaks

    def _steady(self, state: State, reading: _Reading, place: int, out: Out) -> None:
        """Flow in every slot for as long as the policy says."""
        leak = self._leak
        assert leak is not None
        e, at, slot = reading.entity, reading.at, leak.slot.us
        since, last = state["meter.flow_since"][e, place], state["meter.flow_slot"][e, place]
        took = np.where(reading.measured, at - np.where(reading.measured, reading.before_at, at), 0)
        # A reading at 10:30 speaks of the slot that ends then. One of a longer interval speaks of all its
        # slots, up to the coarsest: beyond it, flow somewhere proves nothing of a slot.
        newest = (at - 1) // slot
        oldest = np.where(took > slot, np.where(reading.measured, reading.before_at, at) // slot, newest)
        flows = reading.flows & (took <= leak.coarsest.us)
        goes_on = (since != NEVER) & (oldest <= last + 1)
        begins = np.where(reading.measured, reading.before_at, at)
        since = np.where(flows, np.where(goes_on, since, begins), since)
        last = np.where(flows, newest, last)
        broken = (since != NEVER) & (newest > last + 1)
        since = np.where(broken | ~reading.measured | (reading.flows & ~flows), NEVER, since)
        state["meter.flow_since"][e, place], state["meter.flow_slot"][e, place] = since, last
        rule = f"{_STEADY}.{self.names[place]}"
        is_open = self._episodes.is_open(state, e, rule)
        lasted = np.where(since == NEVER, 0, at - np.where(since == NEVER, at, since))
        for n in np.flatnonzero(~is_open & (lasted >= leak.steady.us)).tolist():
            seen = Observation(
                name=self.names[place],
                observed=hours(int(lasted[n])),
                limit=f"no flow in some {duration(slot)} of {duration(leak.steady.us)}",
                unit="h",
                source=leak.steady.source,
            )
            self._open_leak(state, out, int(e[n]), rule, int(reading.arrived[n]), int(since[n]), seen)
        stopped = is_open & ~reading.flows & (at - (last + 1) * slot >= leak.stopped.us)
        self._episodes.clear_where(state, out, e[stopped], rule, reading.arrived[stopped], "stopped")

    def _volume(self, state: State, look: Look, reading: _Reading, place: int, out: Out) -> None:
        """More than the policy's volume in one local day."""
        leak = self._leak
        assert leak is not None
        e, limit = reading.entity, float(leak.volume.value)
        local = look.local[reading.row]
        day = ((local - 1) // DAY).astype(np.int64)
        base, before_day = state["meter.day_register"][e, place], state["meter.day"][e, place]
        rule = f"{_VOLUME}.{self.names[place]}"
        turned = day > before_day
        usual = turned & (before_day >= 0) & (reading.before - base <= limit)
        self._episodes.clear_where(state, out, e[usual], rule, reading.arrived[usual], "usual_again")
        base = np.where(turned, reading.before, base)
        base = np.where(np.isnan(base) | ~reading.measured, reading.register, base)
        state["meter.day_register"][e, place] = base
        state["meter.day"][e, place] = np.maximum(day, before_day)
        volume = reading.register - base
        over = (volume > limit) & ~self._episodes.is_open(state, e, rule)
        for n in np.flatnonzero(over).tolist():
            seen = Observation(
                name=self.names[place],
                observed=round(float(volume[n]), 4),
                expected=limit,
                limit=f"≤ {limit:g} m³ a day",
                unit="m³",
                source=leak.volume.source,
            )
            midnight = int(reading.at[n] - (local[n] - day[n] * DAY))
            self._open_leak(state, out, int(e[n]), rule, int(reading.arrived[n]), midnight, seen)

    def _open_leak(
        self, state: State, out: Out, entity: int, rule: str, at: int, onset: int, seen: Observation
    ) -> None:
        unreliable = Observation(name="no_water", observed="unreliable", limit="until the leak is closed")
        self._episodes.open(state, out, entity, rule, at=at, onset=onset, observations=(seen, unreliable))


def rise_above(register: Floats, before: Floats) -> Bools:
    """(n,) whether the register has risen; a first reading has not."""
    return np.asarray(register - before > _FLOW)
