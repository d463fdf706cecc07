"""The book of findings: turns a rule's claims into findings with lasting ids and counted revisions.

An id is fixed when a finding is first emitted and kept here, so a replay gives the same (id, rev).
"""

from collections.abc import Mapping

import msgspec

from zhiwei.clock import to_datetime
from zhiwei.contracts import Claim
from zhiwei.ids import finding_id
from zhiwei.types import Coordinates, Finding, Phase


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """The latest finding of one rule on one entity, open or over."""

    id: str
    rev: int
    kind: str
    number: int
    """Which episode of this rule on this entity, from 0."""
    onset: int
    phase: Phase
    """Where it stands: suspected, raised or cleared; an update does not move it."""

    @property
    def open(self) -> bool:
        return self.phase is not Phase.CLEARED


Page = Mapping[str, Episode]
"""Episodes of one entity, by rule."""


class BrokenRule(Exception):  # noqa: N818
    """A rule claimed what cannot be, for example the end of what never began."""


def enter(
    page: Page,
    claim: Claim,
    *,
    site: str,
    scenario: str,
    entity: str,
    versions: dict[str, str],
    coordinates: Coordinates,
    clock: str,
    lane: str = "",
    historical: bool = False,
    late: bool = False,
) -> tuple[Page, Finding]:
    """The page with this claim in it, and the finding to send.

    lane: tells the ids and pages of one lane from those of another; empty for fresh readings.

    A claim of RAISED for what is raised already is an update. Raises BrokenRule for an end without a
    beginning.
    """
    name = f"{lane}:{claim.rule}" if lane else claim.rule
    last = page.get(name)
    phase: Phase = claim.phase
    if last is None or not last.open:
        if claim.phase in (Phase.CLEARED, Phase.UPDATED):
            raise BrokenRule(f"rule {claim.rule} says {claim.phase} of {entity} where nothing is open")
        number = 0 if last is None else last.number + 1
        episode = Episode(
            id=finding_id(
                site=site,
                scenario=scenario,
                entity=entity,
                kind=claim.kind,
                rule=name,
                first_onset_us=claim.onset,
                episode=number,
            ),
            rev=0,
            kind=claim.kind,
            number=number,
            onset=claim.onset,
            phase=claim.phase,
        )
    else:
        phase, standing = _next(last.phase, claim.phase)
        episode = msgspec.structs.replace(last, rev=last.rev + 1, onset=claim.onset, phase=standing)
    finding = Finding(
        id=episode.id,
        rev=episode.rev,
        site=site,
        scenario=scenario,
        entity=entity,
        kind=claim.kind,
        rule=claim.rule,
        phase=phase,
        onset=to_datetime(claim.onset),
        at=to_datetime(claim.at),
        score=min(max(claim.score, 0.0), 1.0),
        severity=claim.severity,
        evidence=claim.evidence,
        versions=versions,
        coordinates=coordinates,
        clock=clock,
        historical=historical,
        late=late,
    )
    return {**page, name: episode}, finding


def _next(standing: Phase, claimed: Phase) -> tuple[Phase, Phase]:
    """Phase of the finding to send, and where the episode stands after it."""
    if claimed is Phase.CLEARED:
        return Phase.CLEARED, Phase.CLEARED
    if claimed is Phase.RAISED and standing is Phase.SUSPECTED:
        return Phase.RAISED, Phase.RAISED
    return Phase.UPDATED, standing
