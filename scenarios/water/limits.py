"""Limits of the standards and pre-alarms: k of the last n accepted samples beyond, hysteresis to end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenarios.water.policy import Decision, Sections
from scenarios.water.profiles import HIGH, LOW, PREALARM, SIDES, SIGN, Profiles
from scenarios.water.signals import RECENT, Samples, Values, samples_needed, taken
from scenarios.water.words import limit_kind, shown, unit_of
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Floats, Ints, Out, Round, Standing, State
from zhiwei.types import Evidence, Observation, Phase, Severity

_STALE = 3
"""A sample older than so many times the span of n usual intervals no longer counts among the last n:
what was before an outage is not evidence for what is after it."""

HOLD = "prealarm_hold"
"""Timer, event time: a pre-alarm has lasted through the night's hold."""


@dataclass(slots=True)
class _Look:
    """What is known of the rows at hand; (rows, channels, sides) unless said otherwise."""

    profile: Ints
    """(rows,)"""
    recent: Values
    """(rows, channels, RECENT) the last accepted samples, the newest last."""
    times: Ints
    """As ``recent``."""
    beyond: Bools
    """(rows, channels, sides, RECENT) samples that count and are beyond."""
    enough: Bools
    back: Bools
    """As many consecutive samples as it takes are beyond the hysteresis."""
    active: Bools
    onset: Ints
    worst: Values


class Limits:
    """All limits of a policy over the channels at hand."""

    def __init__(
        self,
        channels: tuple[str, ...],
        decision: Decision,
        sections: Sections,
        profiles: Profiles,
        timer: int,
    ) -> None:
        """timer: place of HOLD among the timers."""
        self._channels, self._decision, self._profiles, self._timer = channels, decision, profiles, timer
        night = sections.site.night
        self._night = None if night is None else night.minutes
        self._hold_us = round(decision.night_hold.seconds * MICROS)
        axes: tuple[int | Literal["channel"], ...] = ("channel", len(SIDES))
        self.fields: tuple[Field, ...] = (
            Field("limit.active", "bool", axes),
            Field("limit.onset", "int64", axes, NEVER),
            Field("limit.worst", "float32", axes, np.nan),
            Field("limit.held_until", "int64", ("channel",), NEVER),
        )

    # -------------------------------------------------------------- rows

    def step(self, state: State, rows: Round, samples: Samples, profile: Ints, out: Out) -> None:
        """Judge the rows. profile: (rows,) number in ``profiles``."""
        e = rows.entity
        beyond = self._beyond(state, e, profile)
        open_ = state["limit.active"][e].any(axis=2) | (state["limit.held_until"][e] != NEVER)
        some = np.flatnonzero((open_ | (samples.pushed & beyond.any(axis=(2, 3)))).any(axis=1))
        if len(some):
            self._judge(state, taken(rows, some), samples.take(some), profile[some], beyond[some], out)

    def _judge(
        self, state: State, rows: Round, samples: Samples, profile: Ints, beyond: Bools, out: Out
    ) -> None:
        look = self._look(state, rows, samples.interval, profile, beyond)
        pushed = samples.pushed[:, :, None]
        raised = pushed & look.enough & ~look.active
        raised[:, :, PREALARM] = self._held(state, rows, samples, look, raised[:, :, PREALARM])
        withdrawn = look.active & np.isnan(self._profiles.level[profile])
        cleared = (pushed & look.active & look.back) | withdrawn
        self._remember(state, rows, samples, look, raised, cleared)
        for row, channel, side in np.argwhere(raised).tolist():
            out.claims.append(
                self._claim(
                    (int(rows.entity[row]), channel, side),
                    Phase.RAISED,
                    profile=int(profile[row]),
                    at=int(rows.at[row]),
                    onset=int(look.onset[row, channel, side]),
                    observed=float(look.worst[row, channel, side]),
                    samples=int(np.count_nonzero(look.beyond[row, channel, side])),
                )
            )
        for row, channel, side in np.argwhere(cleared).tolist():
            out.claims.append(
                self._claim(
                    (int(rows.entity[row]), channel, side),
                    Phase.CLEARED,
                    profile=int(profile[row]),
                    at=int(rows.at[row]),
                    onset=int(look.onset[row, channel, side]),
                    observed=float(look.worst[row, channel, side]),
                    note="withdrawn" if withdrawn[row, channel, side] else "returned",
                )
            )

    def _beyond(self, state: State, entity: Ints, profile: Ints) -> Bools:
        """(rows, channels, sides, RECENT) accepted samples that are beyond their limit."""
        recent = state["signal.values"][entity][:, :, -RECENT:]
        return np.asarray(
            recent[:, :, None, :] * SIGN[:, None] < (self._profiles.level[profile] * SIGN)[..., None]
        )

    def _look(self, state: State, rows: Round, interval: Floats, profile: Ints, beyond: Bools) -> _Look:
        """interval: (rows, channels) usual seconds between samples."""
        e = rows.entity
        recent = state["signal.values"][e][:, :, -RECENT:]
        times = state["signal.times"][e]
        k, n = samples_needed(self._decision, interval)
        place = np.arange(RECENT, 0, -1)  # 1 = the newest
        span = np.where(np.isnan(interval), np.inf, interval) * n * (_STALE * MICROS)
        fresh = rows.at[:, None, None] - times <= span[:, :, None]
        beyond = beyond & (fresh & (place <= n[:, :, None]))[:, :, None, :]
        clear = (self._profiles.clear[profile] * SIGN)[..., None]
        back = (recent[:, :, None, :] * SIGN[:, None] >= clear) | (place > k[:, :, None])[:, :, None, :]
        return _Look(
            profile=profile,
            recent=recent,
            times=times,
            beyond=beyond,
            enough=np.count_nonzero(beyond, axis=3) >= k[:, :, None],
            back=np.asarray(back.all(axis=3)),
            active=state["limit.active"][e],
            onset=state["limit.onset"][e],
            worst=state["limit.worst"][e],
        )

    def _remember(
        self, state: State, rows: Round, samples: Samples, look: _Look, raised: Bools, cleared: Bools
    ) -> None:
        """Keep onset and worst value of what is open."""
        e = rows.entity
        signed = np.where(look.beyond, look.recent[:, :, None, :] * SIGN[:, None], np.float32(np.inf))
        extreme = signed.min(axis=3) * SIGN
        newest = np.broadcast_to(samples.x[:, :, None], extreme.shape)
        further = look.active & samples.pushed[:, :, None] & (newest * SIGN < look.worst * SIGN)
        look.worst = np.where(raised, extreme, np.where(further, newest, look.worst))
        first = np.where(look.beyond, look.times[:, :, None, :], NEVER).min(axis=3)
        look.onset = np.where(raised & (look.onset == NEVER), first, look.onset)
        state["limit.active"][e] = (look.active | raised) & ~cleared
        state["limit.worst"][e] = look.worst
        state["limit.onset"][e] = np.where(cleared, NEVER, look.onset)

    # -------------------------------------------------------------- the night's hold

    def _held(self, state: State, rows: Round, samples: Samples, look: _Look, due: Bools) -> Bools:
        """(rows, channels) pre-alarms that may be raised now; the others are held, with a deadline.

        At night chlorine falls slowly in standing water, and a pre-alarm waits. It does not wait once a
        sample is below the limit itself: that is no longer the slow decay that the hold is for.
        """
        e = rows.entity
        until = state["limit.held_until"][e]
        counted = look.beyond[:, :, PREALARM]
        deep = (counted & look.beyond[:, :, LOW]).any(axis=2)
        hold = due & ~deep & self._at_night(rows.at, look.profile, np.asarray(due.any(axis=1)))[:, None]
        first = np.where(counted, look.times, NEVER).min(axis=2)
        begins = hold & (until == NEVER)
        deadline = np.where(begins, np.where(begins, first, 0) + self._hold_us, until)
        over = hold & (deadline <= rows.at[:, None])
        ended = (samples.pushed & ~hold) | samples.stuck | over
        onset = look.onset[:, :, PREALARM]
        onset = np.where(begins, first, np.where(ended & (until != NEVER) & ~due, NEVER, onset))
        look.onset[:, :, PREALARM] = onset
        state["limit.onset"][e] = look.onset
        deadline = np.where(ended, NEVER, deadline)
        state["limit.held_until"][e] = deadline
        state["timer"][e, self._timer] = deadline.min(axis=1)
        return due & (~hold | over)

    def _at_night(self, at: Ints, profile: Ints, wanted: Bools) -> Bools:
        """(rows,) whether the local time of day is in the night; False for rows not wanted."""
        night = np.zeros(len(at), bool)
        if self._night is None:
            return night
        start, end = self._night
        for row in np.flatnonzero(wanted).tolist():
            local = to_datetime(int(at[row])).astimezone(self._profiles.zone[profile[row]])
            minute = local.hour * 60 + local.minute
            night[row] = start <= minute < end if start <= end else minute >= start or minute < end
        return night

    def fire(self, state: State, entity: Ints, at: Ints, profile: Ints, out: Out) -> None:
        """The night's hold is over and nothing has ended it: raise. Arguments are (n,)."""
        until = state["limit.held_until"][entity]
        due = until <= at[:, None]
        recent = state["signal.values"][entity][:, :, -RECENT:]
        level = self._profiles.level[profile][:, :, PREALARM]
        for row, channel in np.argwhere(due).tolist():
            place = (int(entity[row]), channel, PREALARM)
            beyond = recent[row, channel][recent[row, channel] < level[row, channel]]
            worst = beyond.min(initial=level[row, channel])
            state["limit.worst"][place], state["limit.active"][place] = worst, True
            out.claims.append(
                self._claim(
                    place,
                    Phase.RAISED,
                    profile=int(profile[row]),
                    at=int(at[row]),
                    onset=int(state["limit.onset"][place]),
                    observed=float(worst),
                    samples=len(beyond),
                )
            )
        until = np.where(due, NEVER, until)
        state["limit.held_until"][entity] = until
        state["timer"][entity, self._timer] = until.min(axis=1)

    # -------------------------------------------------------------- what stands

    def standing(
        self, state: State, entity: int, profile: int, interval: Floats, stuck: Bools
    ) -> Iterator[Standing]:
        """Limit by limit: the zone's disinfectant, the probe, and k of the last n samples.

        interval: (channels,) as for ``_look``. stuck: (channels,) the probe is judged stuck.
        """
        count = len(self._channels)
        # A row for each channel, at the time of its newest sample: of that row its verdict was.
        e, profiles = np.full(count, entity), np.full(count, profile)
        newest = state["signal.times"][entity][:, -1]
        rows = Round(
            entity=e, at=newest, arrived=newest, flags=np.zeros(count, np.uint16), values=np.empty((count, 0))
        )
        look = self._look(
            state,
            rows,
            np.broadcast_to(interval, (count, count)),
            profiles,
            self._beyond(state, e, profiles),
        )
        needed, of = samples_needed(self._decision, interval)
        for (channel, side), limit in self._profiles.entry[profile].items():
            name = self._channels[channel]
            if newest[channel] == NEVER and not stuck[channel]:
                continue
            kind = limit_kind(name, SIDES[side])
            yield Standing(
                kind=kind, way=name, name="stuck", holds=not stuck[channel], observed=bool(stuck[channel]),
                needs=False,
            )  # fmt: skip
            yield Standing(
                kind=kind,
                way=name,
                name="newest_sample",
                holds=bool(look.beyond[channel, channel, side, -1]),
                observed=shown(float(look.recent[channel, channel, -1])),
                needs=limit.value,
                sign=">" if side == HIGH else "<",
                unit=unit_of(name),
                since=int(newest[channel]) if newest[channel] != NEVER else None,
                source=limit.source,
                decides=False,
            )
            yield Standing(
                kind=kind,
                way=name,
                name="samples_beyond",
                holds=bool(look.enough[channel, channel, side]),
                observed=float(np.count_nonzero(look.beyond[channel, channel, side])),
                needs=float(needed[channel]),
                sign="≥",
                unit=f"/ {int(of[channel])}",
                source=(
                    self._decision.slow_k
                    if interval[channel] >= 0.95 * self._decision.slow_from.seconds
                    else self._decision.fast_k
                ).source,
            )
            held = int(state["limit.held_until"][entity, channel])
            if side == PREALARM and held != NEVER:
                yield Standing(
                    kind=kind, way=name, name="night_hold", holds=False, observed=True, needs=False,
                    since=int(look.onset[channel, channel, side]), source=self._decision.night_hold.source,
                )  # fmt: skip
        for channel, side, limit in self._profiles.elsewhere(profile):
            yield Standing(
                kind=limit_kind(self._channels[channel], SIDES[side]),
                way=self._channels[channel],
                name="disinfectant",
                holds=False,
                observed=self._profiles.disinfectant[profile],
                needs=limit.disinfectant,
                source=limit.source,
            )

    # -------------------------------------------------------------- claims

    def _claim(
        self,
        place: tuple[int, int, int],
        phase: Phase,
        *,
        profile: int,
        at: int,
        onset: int,
        observed: float,
        samples: int = 0,
        note: str = "",
    ) -> Claim:
        """place: entity, channel, side."""
        entity, channel, side = place
        name = self._channels[channel]
        limit = self._profiles.entry[profile].get((channel, side))
        observation = Observation(name=name, observed=shown(observed), unit=unit_of(name))
        if limit is not None:  # None: withdrawn while it was open
            observation = Observation(
                name=name,
                observed=shown(observed),
                expected=limit.value,
                limit=f"{'≤' if side == HIGH else '≥'} {limit.value:g}",
                unit=unit_of(name),
                source=limit.source,
            )
        return Claim(
            entity=entity,
            kind=limit_kind(name, SIDES[side]),
            rule=f"limit.{SIDES[side]}.{name}",
            phase=phase,
            at=at,
            onset=onset,
            score=0.5 if side == PREALARM else 1.0,
            severity=Severity.INFO if limit is None else limit.severity,
            evidence=Evidence(
                observations=(observation,),
                start=to_datetime(onset),
                end=to_datetime(at),
                samples=samples,
                note=note,
            ),
        )
