"""What an entity keeps stays within what a city was told to plan for."""

import pytest

from bench.state import KINDS, Kind, snapshot_bytes

KIB = 1024
MOST = {"elevator": 1 * KIB, "water": 8 * KIB, "elderly": 4 * KIB}
COMMON = [kind for kind in KINDS if kind.channels]


@pytest.mark.parametrize("kind", COMMON, ids=lambda kind: kind.what)
def test_an_entity_that_reports_what_most_do_keeps_within_its_bound(kind: Kind) -> None:
    assert 0 < snapshot_bytes(kind) <= MOST[kind.scenario]
