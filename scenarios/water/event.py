"""Multi-parameter events: a detector scores each row, a discriminator tells events from single outliers.

Both come by name from the policy. A channel that is judged stuck stays in: the reference keeps it too, and
taking it out turned one event of a real station into eighteen.
"""

from dataclasses import dataclass, replace

import numpy as np

from scenarios.water.policy import Event, WaterPolicy
from scenarios.water.signals import Samples
from scenarios.water.source_switch import Announced
from scenarios.water.words import EVENT, SOURCE_SWITCH, shown, unit_of
from zhiwei import registry
from zhiwei.clock import MICROS, NEVER, to_datetime
from zhiwei.contracts import Bools, Claim, Field, Floats, Ints, Judgement, Out, Round, State
from zhiwei.types import Evidence, Observation, Phase, Severity

_OUTLIER = 0.5
"""The detector's own threshold, by contract."""
_QUIET = 2
"""Usual rows in a row that end a run of outliers: an event's start is the first outlier of its run."""
_SOON = 0.75
"""Of ``learn_every``: rows jitter, and one that comes a little early is meant."""
_SHARE = 0.7
"""A channel contributes when it alone would be an outlier; where none would, when it alone scores at least
this share of the highest."""


class Events:
    """State: the detector's and the discriminator's, and the run of outliers at hand."""

    def __init__(
        self,
        channels: tuple[str, ...],
        policy: WaterPolicy,
        event: Event,
        severity: Severity,
        announced: Announced | None = None,
    ) -> None:
        """announced: what makes a mere note of an event. Raises ConfigError where detector or discriminator
        refuse their settings."""
        self._severity, self._announced = severity, announced
        self._channels = tuple(name for name in channels if name in event.channels)
        self._columns = np.array([channels.index(name) for name in self._channels], np.int64)
        settings: dict[str, object] = {k: number.value for k, number in event.detector_settings.items()}
        if event.pass_precision:
            precision = policy.sections.precision
            settings["precision"] = {name: float(number.value) for name, number in precision.items()}
        judging = {k: number.value for k, number in event.discriminator_settings.items()}
        self._detector = registry.detector(event.detector)(
            channels=self._channels, settings=settings, file=policy.file
        )
        self._discriminator = registry.discriminator(event.discriminator)(settings=judging, file=policy.file)
        self._learn_us = round(_SOON * event.learn_every.seconds * MICROS)
        self._lasting_us = np.inf if event.lasting is None else event.lasting.seconds * MICROS
        self.fields: tuple[Field, ...] = (
            # Their channel axis is that of the event channels: carried over by name when others come.
            *(replace(field, channels=self._channels) for field in self._detector.fields),
            *self._discriminator.fields,
            Field("event.learned_at", "int64", (), NEVER),
            Field("event.active", "bool"),
            Field("event.onset", "int64", (), NEVER),
            Field("event.start", "int64", (), NEVER),
            Field("event.outliers", "int32"),
            Field("event.quiet", "int8", (), _QUIET),
        )
        if announced is not None:
            self.fields += (Field("event.noted", "bool"), *announced.fields)

    def step(self, state: State, rows: Round, samples: Samples, out: Out) -> None:
        """One more row; gives ``out.scores``. Rows that are no samples are neither scored nor learned."""
        out.scores = np.full(len(rows.entity), np.nan)
        if self._announced is not None:
            self._announced.step(state, rows)
        x = np.where(samples.plausible, rows.values, np.nan)[:, self._columns]
        valid = ~np.isnan(x).all(axis=1)
        if not valid.any():
            return
        some = np.flatnonzero(valid)
        entity, at, x, settling = rows.entity[some], rows.at[some], x[some], samples.settling[some]
        score = self._detector.score(state, entity, x)
        out.scores[some] = score
        outlier = score >= _OUTLIER
        adjusted = np.zeros(len(entity), bool)
        after_service = np.flatnonzero(outlier & settling)
        if len(after_service):
            # A calibrated channel steps: not an outlier, and learned at once, so that it is the usual.
            adjusted[after_service] = self._single(state, entity[after_service], x[after_service])
            outlier &= ~adjusted
        ready = np.flatnonzero(~np.isnan(score))
        judged = _Judged(entity, at, samples.station[some], x, outlier).take(ready)
        timed_out = self._judge(state, judged, out)
        lasting = np.zeros(len(entity), bool)
        lasting[ready] = timed_out
        learned_at = state["event.learned_at"][entity]
        due = (learned_at == NEVER) | (at - learned_at >= self._learn_us)
        due |= np.isnan(score) | lasting | adjusted
        state["event.learned_at"][entity] = np.where(due, at, learned_at)
        self._detector.learn(state, entity[due], x[due], outlier[due])
        if lasting.any():
            self._detector.rebase(state, entity[lasting])

    def _judge(self, state: State, rows: "_Judged", out: Out) -> Bools:
        """Claims of these rows. (n,) whether the event has lasted so long that it is the new usual."""
        e = rows.entity
        verdict = self._discriminator.judge(state, e, rows.outlier)
        quiet = np.where(rows.outlier, 0, np.minimum(state["event.quiet"][e] + 1, _QUIET))
        first = rows.outlier & (state["event.quiet"][e] >= _QUIET)
        start = np.where(first, rows.at, state["event.start"][e])
        outliers = np.where(first, 0, state["event.outliers"][e]) + rows.outlier
        # What is open is kept here as well: under another policy the discriminator may begin anew.
        active, onset = state["event.active"][e], state["event.onset"][e]
        began, returned = verdict.event & ~active, active & ~verdict.event
        onset = np.where(began, rows.at, onset)
        timed_out = verdict.timed_out | self._lasting(state, rows, verdict.event, onset)
        state["event.quiet"][e], state["event.start"][e] = quiet, start
        state["event.outliers"][e], state["event.onset"][e] = outliers, onset
        state["event.active"][e] = verdict.event & ~timed_out
        self._open(state, rows, began, outliers, verdict, out)
        noted = self._noted(state, e)
        for row in np.flatnonzero(returned | timed_out).tolist():
            out.claims.append(
                self._claim(
                    int(e[row]),
                    Phase.CLEARED,
                    span=(int(start[row]), int(rows.at[row])),
                    onset=int(onset[row]),
                    score=float(verdict.probability[row]),
                    samples=int(outliers[row]),
                    note="timeout" if timed_out[row] else "returned",
                    noted=bool(noted[row]),
                )
            )
        return timed_out

    def _open(
        self, state: State, rows: "_Judged", began: Bools, outliers: Ints, verdict: Judgement, out: Out
    ) -> None:
        """Events that begin with these rows, or that a note has become."""
        e, noted = rows.entity, self._noted(state, rows.entity)
        more = noted & state["event.active"][e] & ~began & rows.outlier
        for row in np.flatnonzero(began | more).tolist():
            one, at, start = int(e[row]), int(rows.at[row]), int(state["event.start"][e[row]])
            score, samples = float(verdict.probability[row]), int(outliers[row])
            seen = self._contributing(state, rows.take(np.array([row])))
            names = tuple(observation.name for observation in seen)
            mere = False
            if self._announced is not None:
                if began[row]:
                    mere = self._announced.explains(state, one, names, start, at)
                else:
                    mere = self._announced.allows(names)
                state["event.noted"][one] = mere
            if not began[row]:
                if mere:
                    continue
                out.claims.append(
                    self._claim(
                        one,
                        Phase.CLEARED,
                        span=(start, at),
                        onset=int(state["event.onset"][one]),
                        score=score,
                        samples=samples,
                        note="superseded",
                        noted=True,
                    )
                )
                state["event.onset"][one] = at
            out.claims.append(
                self._claim(
                    one,
                    Phase.RAISED,
                    span=(start, at),
                    onset=int(state["event.onset"][one]),
                    score=score,
                    observations=seen,
                    samples=samples,
                    noted=mere,
                )
            )

    def _noted(self, state: State, entity: Ints) -> Bools:
        """(n,) events that are mere notes."""
        if self._announced is None:
            return np.zeros(len(entity), bool)
        return np.asarray(state["event.noted"][entity])

    def _lasting(self, state: State, rows: "_Judged", event: Bools, onset: Ints) -> Bools:
        """Events that have lasted as long as the policy allows, this row's own interval included.

        The discriminator counts rows and knows no time: it is set back to "nothing yet".
        """
        interval = np.where(np.isfinite(rows.station), rows.station, 0.0) * MICROS
        lasting = event & (rows.at - onset + 1.5 * interval >= self._lasting_us)
        if lasting.any():
            for field in self._discriminator.fields:
                state[field.name][rows.entity[lasting]] = field.fill
        return np.asarray(lasting)

    # -------------------------------------------------------------- which channels

    def _single(self, state: State, entity: Ints, x: Floats) -> Bools:
        """(n,) outliers that one channel explains: with its expected value instead, the row is usual."""
        expected = self._detector.expected(state, entity, x)
        single = np.zeros(len(entity), bool)
        for channel in range(x.shape[1]):
            without = x.copy()
            without[:, channel] = np.where(np.isnan(expected[:, channel]), np.nan, expected[:, channel])
            score = self._detector.score(state, entity, without)
            single |= ~np.isnan(x[:, channel]) & ~(score >= _OUTLIER)
        return single

    def _contributing(self, state: State, row: "_Judged") -> tuple[Observation, ...]:
        """Channels that make the row unusual: each alone in an otherwise expected row."""
        expected = self._detector.expected(state, row.entity, row.x)
        alone = np.full(row.x.shape[1], -1.0)
        for channel in np.flatnonzero(~np.isnan(row.x[0])).tolist():
            one = np.where(np.isnan(row.x), np.nan, expected)
            one[:, channel] = row.x[:, channel]
            alone[channel] = np.nan_to_num(self._detector.score(state, row.entity, one)[0], nan=-1.0)
        least = min(_OUTLIER, _SHARE * float(alone.max()))
        return tuple(
            Observation(
                name=self._channels[channel],
                observed=shown(float(row.x[0, channel])),
                expected=shown(float(expected[0, channel])),
                unit=unit_of(self._channels[channel]),
            )
            for channel in np.flatnonzero((alone >= least) & (alone >= 0)).tolist()
        )

    def _claim(
        self,
        entity: int,
        phase: Phase,
        *,
        span: tuple[int, int],
        onset: int,
        score: float,
        samples: int,
        observations: tuple[Observation, ...] = (),
        note: str = "",
        noted: bool = False,
    ) -> Claim:
        start, at = span
        severity = self._severity
        if noted and self._announced is not None:
            severity = self._announced.severity
        return Claim(
            entity=entity,
            kind=SOURCE_SWITCH if noted else EVENT,
            rule="source_switch" if noted else "event",
            phase=phase,
            at=at,
            onset=onset,
            score=score,
            severity=severity,
            evidence=Evidence(
                observations=observations,
                start=to_datetime(start),
                end=to_datetime(at),
                samples=samples,
                note=note,
            ),
            through=note == "timeout",
        )


@dataclass(slots=True)
class _Judged:
    """Rows that the detector has scored; x: (n, event channels)."""

    entity: Ints
    at: Ints
    station: Floats
    """(n,) usual interval, s; inf = not known."""
    x: Floats
    outlier: Bools

    def take(self, some: Ints) -> "_Judged":
        return _Judged(self.entity[some], self.at[some], self.station[some], self.x[some], self.outlier[some])
