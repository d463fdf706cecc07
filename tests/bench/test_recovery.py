"""What a recovery is counted from."""

from types import SimpleNamespace
from typing import Any

from bench.city.recovery import PARTITIONS, Recovery, first_told, say
from bench.urgent import KINDS
from zhiwei.clock import MICROS, to_datetime
from zhiwei.ids import partition_of

KILLED_US = 1_714_528_800 * MICROS
COUNTED_US = KILLED_US + 10 * MICROS
LIFTS = {partition_of(name, PARTITIONS): name for name in (f"lift-{n}" for n in range(50))}


def told(partition: int, published_s: float, told_s: float, kind: str = KINDS[0]) -> tuple[Any, int]:
    """A finding of a reading so long after the kill, told so long after it."""
    at = to_datetime(KILLED_US + int(published_s * MICROS))
    finding = SimpleNamespace(kind=kind, entity=LIFTS[partition], at=at)
    return finding, KILLED_US + int(told_s * MICROS)


def test_the_first_webhook_of_each_partition_counts_of_what_was_published_after_the_kill() -> None:
    came = [
        told(0, published_s=-1, told_s=10.5),
        told(0, published_s=1, told_s=13),
        told(0, published_s=12, told_s=12.5),
        told(3, published_s=2, told_s=14),
        told(3, published_s=2, told_s=11, kind="elevator.offline"),
        told(1, published_s=0, told_s=9, kind=KINDS[1]),
    ]
    assert first_told(came, KILLED_US, COUNTED_US) == {KINDS[0]: {0: 2.5, 3: 4.0}, KINDS[1]: {1: -1.0}}


def test_it_says_when_the_first_and_the_last_partition_told_again(capsys: Any) -> None:
    say(Recovery(100_000, 1, {KINDS[0]: {0: 2.5, 3: 4.0}, KINDS[1]: {}}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [f"{KINDS[0]}: first 2.5, in the last of 2 partitions 4.0", f"{KINDS[1]}: none"]
