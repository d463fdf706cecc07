"""Metrics go through a file and come back."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from zhiwei import metrics


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are unique within a process: each test gets a registry of its own."""
    monkeypatch.setattr(metrics, "REGISTRY", CollectorRegistry())


def test_what_is_counted_is_read_from_the_file(tmp_path: Path) -> None:
    rejected = metrics.counter("zhiwei_rejected", "Rejected.", "reason")
    rejected.labels("not_json").inc(2)
    rejected.labels('泵房 "x"\n').inc()
    metrics.gauge("zhiwei_lag", "Lag.").set(-1.5)
    metrics.write(tmp_path / "run" / "ingest.prom")
    samples = metrics.read(tmp_path / "run" / "ingest.prom")
    assert samples["zhiwei_rejected_total", (("reason", "not_json"),)] == 2
    assert samples["zhiwei_rejected_total", (("reason", '泵房 "x"\n'),)] == 1
    assert samples["zhiwei_lag", ()] == -1.5


def test_a_total_is_over_all_labels_that_are_not_named(tmp_path: Path) -> None:
    rows = metrics.counter("zhiwei_rows", "Rows.", "scenario", "partition")
    rows.labels("water", "0").inc(1)
    rows.labels("water", "1").inc(2)
    rows.labels("generic", "0").inc(4)
    metrics.write(tmp_path / "a.prom")
    samples = metrics.read(tmp_path / "a.prom")
    assert metrics.total(samples, "zhiwei_rows_total") == 7
    assert metrics.total(samples, "zhiwei_rows_total", scenario="water") == 3
    assert metrics.total(samples, "zhiwei_rows_total", scenario="water", partition="1") == 2
    assert metrics.total(samples, "zhiwei_rows_total", scenario="none") == 0
    assert metrics.total(samples, "zhiwei_rows") == 0


def test_a_histogram_counts_into_its_buckets(tmp_path: Path) -> None:
    delay = metrics.histogram("zhiwei_delay", "Delay.", (0.1, 1.0))
    for seconds in (0.05, 0.5, 5.0):
        delay.observe(seconds)
    metrics.write(tmp_path / "a.prom")
    samples = metrics.read(tmp_path / "a.prom")
    buckets = {
        labels[0][1]: value for (name, labels), value in samples.items() if name == "zhiwei_delay_bucket"
    }
    assert buckets == {"0.1": 1, "1.0": 2, "+Inf": 3}


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    lag = metrics.gauge("zhiwei_lag", "Lag.")
    for value in (1, 2):
        lag.set(value)
        metrics.write(tmp_path / "a.prom")
    assert metrics.read(tmp_path / "a.prom") == {("zhiwei_lag", ()): 2.0}
    assert [file.name for file in tmp_path.iterdir()] == ["a.prom"]


def test_two_roles_write_beside_each_other(tmp_path: Path) -> None:
    metrics.gauge("zhiwei_lag", "Lag.").set(1)
    for role in ("alerts", "alerts.urgent"):
        metrics.write(tmp_path / f"{role}.prom")
    assert {file.name for file in tmp_path.iterdir()} == {"alerts.prom", "alerts.urgent.prom"}


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 64, b"zhiwei_lag 1.0 nonsense {", b"\xff\xfe"])
def test_a_file_that_is_not_there_or_broken_has_no_samples(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "a.prom"
    if content is not None:
        file.write_bytes(content)
    assert metrics.read(file) == {}


def test_the_same_name_cannot_be_counted_twice() -> None:
    metrics.counter("zhiwei_x", "X.")
    with pytest.raises(ValueError, match="zhiwei_x"):
        metrics.gauge("zhiwei_x_total", "X again.")
