"""Rows → scores → outliers → events. One finding kind, ``generic.event``, from one rule, ``event``.

A row is judged by the detector before it is learned from; outliers are not learned from; an event that
times out becomes the new usual. Rows without a verdict (warm-up, no values, quality left out by
the policy) change no event.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from scenarios.generic.policy import GenericPolicy, parse
from scenarios.generic.schema import SCHEMA
from scenarios.generic.signals import as_sent, deviating, estimated
from zhiwei.clock import to_datetime
from zhiwei.contracts import Bools, Claim, Field, Floats, Ints, Judgement, Kind, Out, Policy, Round, State
from zhiwei.schema import Schema
from zhiwei.types import Evidence, Observation, Phase

KIND = "generic.event"
RULE = "event"
OUTLIER = 0.5
"""Score of a detector's own threshold (contract of Detector)."""
_NO_RUN = -1


class GenericRules:
    """The steps under one policy over a fixed list of channels."""

    timers: tuple[str, ...] = ()

    def __init__(self, policy: GenericPolicy, channels: tuple[str, ...]) -> None:
        """channels: of the rounds' values; those that the policy leaves out are not looked at."""
        self._policy = policy
        self._watched = [i for i, name in enumerate(channels) if name not in policy.left_out_channels]
        self._names = tuple(channels[i] for i in self._watched)
        self._detector = policy.detector(self._names)
        self._discriminator = policy.discriminator()
        self.fields: tuple[Field, ...] = (
            *self._detector.fields,
            *self._discriminator.fields,
            Field("generic.open", "bool"),  # a finding is raised and not cleared
            Field("generic.onset", "int64"),  # µs: the row that raised it
            Field("generic.end", "int64"),  # µs: the last row of the event so far
            Field("generic.highest", "float64"),  # score
            Field("generic.deviates", "bool", ("channel",), channels=self._names),
            Field("generic.run_start", "int64"),  # µs: the first outlier of the run
            Field("generic.run_outliers", "int32"),
            Field("generic.run_gap", "int16", fill=_NO_RUN),  # usual rows since the run's last outlier
        )

    def step(self, state: State, rows: Round, out: Out) -> None:
        """Score every row, raise where an event begins, clear where it ends. Sets ``out.scores``."""
        taken = np.flatnonzero(~rows.flagged(self._policy.left_out_quality))
        entity, x = rows.entity[taken], rows.values[taken][:, self._watched]
        score = self._detector.score(state, entity, x)
        out.scores = np.full(len(rows.entity), np.nan)
        out.scores[taken] = score
        judged = np.flatnonzero(~np.isnan(score))
        lasting = np.zeros(0, np.int64)
        if len(judged):
            lasting = self._judge(
                state, entity[judged], rows.at[taken[judged]], x[judged], score[judged], out.claims
            )
        self._detector.learn(state, entity, x, score >= OUTLIER)
        if len(lasting):
            self._detector.rebase(state, lasting)

    def fire(self, state: State, timer: str, entity: Ints, at: Ints, out: Out) -> None:
        """Never called: this scenario sets no deadlines."""

    def _judge(
        self, state: State, entity: Ints, at: Ints, x: Floats, score: Floats, claims: list[Claim]
    ) -> Ints:
        """Rows with a score to claims. Returns the entities whose event timed out.

        Whether an event is open is this rule's own state: a policy that changes the discriminator
        must not leave a finding open for ever.
        """
        outlier = score >= OUTLIER
        judgement = self._discriminator.judge(state, entity, outlier)
        was_open = state["generic.open"][entity]
        self._follow_run(state, entity, at, outlier, was_open)
        began = judgement.event & ~was_open
        over = judgement.timed_out | (was_open & ~judgement.event)
        self._follow_event(state, entity, at, score, judgement, began)
        edge = np.flatnonzero(began | over)
        if len(edge):
            expected = self._detector.expected(state, entity[edge], x[edge])
            first = np.flatnonzero(began[edge])
            start = edge[first]
            state["generic.deviates"][entity[start]] = deviating(
                self._detector, state, entity[start], x[start], expected[first], outlier=OUTLIER
            )
            for row, usual in zip(edge.tolist(), expected, strict=True):
                one = state, int(entity[row]), int(at[row]), x[row], usual
                if began[row]:
                    claims.append(self._claim(*one, Phase.RAISED))
                if over[row]:
                    claims.append(self._claim(*one, Phase.CLEARED, timed_out=bool(judgement.timed_out[row])))
        state["generic.open"][entity] = judgement.event & ~judgement.timed_out
        state["generic.run_gap"][entity[over]] = _NO_RUN
        return entity[judgement.timed_out]

    def _follow_run(self, state: State, entity: Ints, at: Ints, outlier: Bools, was_open: Bools) -> None:
        """A run begins with an outlier; more usual rows than allowed end it, unless an event is open."""
        gap = state["generic.run_gap"][entity]
        new = outlier & (gap == _NO_RUN)
        outliers = np.where(new, 0, state["generic.run_outliers"][entity]) + outlier
        state["generic.run_start"][entity] = np.where(new, at, state["generic.run_start"][entity])
        state["generic.run_outliers"][entity] = outliers
        most = self._policy.run_gap
        longer = np.where(gap == _NO_RUN, _NO_RUN, np.minimum(gap + 1, most + 1))
        broken = (longer > most) & ~was_open
        state["generic.run_gap"][entity] = np.where(outlier, 0, np.where(broken, _NO_RUN, longer))

    @staticmethod
    def _follow_event(
        state: State, entity: Ints, at: Ints, score: Floats, judgement: Judgement, began: Bools
    ) -> None:
        state["generic.onset"][entity] = np.where(began, at, state["generic.onset"][entity])
        state["generic.end"][entity] = np.where(judgement.event, at, state["generic.end"][entity])
        before = np.where(began, 0.0, state["generic.highest"][entity])
        state["generic.highest"][entity] = np.maximum(before, np.where(judgement.event, score, 0.0))

    def _claim(
        self,
        state: State,
        entity: int,
        at: int,
        x: Floats,
        expected: Floats,
        phase: Phase,
        *,
        timed_out: bool = False,
    ) -> Claim:
        """x, expected: (channels,) of the row. The channels shown at the end are those of the beginning."""
        note = "" if phase is Phase.RAISED else "timeout" if timed_out else "returned"
        return Claim(
            entity=entity,
            kind=KIND,
            rule=RULE,
            phase=phase,
            at=at,
            onset=int(state["generic.onset"][entity]),
            score=float(state["generic.highest"][entity]),
            severity=self._policy.severity,
            evidence=Evidence(
                observations=tuple(
                    Observation(
                        name=self._names[channel],
                        observed=as_sent(float(x[channel])),
                        expected=estimated(float(expected[channel])),
                    )
                    for channel in np.flatnonzero(state["generic.deviates"][entity])
                ),
                start=to_datetime(int(state["generic.run_start"][entity])),
                end=to_datetime(int(state["generic.end"][entity])),
                samples=int(state["generic.run_outliers"][entity]),
                note=note,
            ),
            through=timed_out,
        )


class GenericScenario:
    """The scenario as the registry knows it."""

    name: str = "generic"
    schema: Schema = SCHEMA
    main_kind: str = KIND
    kinds: tuple[Kind, ...] = (Kind(KIND, ((),), "any numeric channel that the map names"),)
    life_safety: frozenset[str] = frozenset()

    def policy(self, text: str | None, *, file: str = "") -> GenericPolicy:
        """Parse and validate; None gives the shipped policy. Raises ConfigError."""
        return parse(text, file=file)

    def rules(
        self,
        policy: Policy,
        channels: tuple[str, ...],
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002 - all entities are treated alike
        entities: Sequence[str],  # noqa: ARG002
    ) -> GenericRules:
        """Raises TypeError for a policy of another scenario."""
        if not isinstance(policy, GenericPolicy):
            raise TypeError(f"not a policy of generic: {type(policy).__name__}")
        return GenericRules(policy, channels)

    def urgent(
        self,
        policy: Policy,  # noqa: ARG002 - the contract's signature
        channels: tuple[str, ...],  # noqa: ARG002
        attributes: Mapping[str, Mapping[str, str]],  # noqa: ARG002
        entities: Sequence[str],  # noqa: ARG002
    ) -> None:
        """A column of any CSV calls for nobody's help."""
        return


SCENARIO = GenericScenario()
