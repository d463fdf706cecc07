"""What is said of those that came late."""

from bench.city.outage import spans


def test_late_ones_are_counted_by_when_they_were_published() -> None:
    said = spans([3.0, 14.9, 15.0, 100.0])
    assert said == "; published after ingest's start at 0-15 s: 2, 15-30 s: 1, 90-105 s: 1"
    assert spans([]) == ""
