"""Counters and gauges of one process, in Prometheus' terms.

Each role writes its metrics to ``<data>/run/<role>.prom`` once a second, for the terminal view and
for whoever scrapes files. Counted things are metrics, not log lines.
"""

import contextlib
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families

REGISTRY = CollectorRegistry()
"""Of this process. Our own, so that libraries do not write into it."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Sample name and sorted labels → value."""


def counter(name: str, text: str, *labels: str) -> Counter:
    """A count that only rises; the exposed name ends in ``_total``."""
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, *labels: str) -> Gauge:
    """A value that goes both ways."""
    return Gauge(name, text, labels, registry=REGISTRY)


def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    """A distribution over fixed buckets."""
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


def forget(metric: Counter | Gauge | Histogram, *labels: str) -> None:
    """Expose these labels no more; nothing happens where they were not."""
    with contextlib.suppress(KeyError):
        metric.remove(*labels)


def write(file: Path) -> None:
    """Replace the file by the present state, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".tmp")
    fresh.write_bytes(generate_latest(REGISTRY))
    fresh.replace(file)


def exposition() -> tuple[str, bytes]:
    """Content type and text of the present state, for a scraper."""
    return CONTENT_TYPE_LATEST, generate_latest(REGISTRY)


def samples() -> Samples:
    """The present state of this process."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
    }


def read(file: Path) -> Samples:
    """The samples of a metrics file; empty where there is none, or none that can be read.

    Metrics are not synced to the disk: a power cut may leave a file of zeros, until the role writes again.
    """
    try:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(file.read_text(encoding="utf-8"))
            for sample in family.samples
        }
    except (FileNotFoundError, ValueError):
        return {}


def total(samples: Samples, name: str, **labels: str) -> float:
    """Sum over all samples of a name whose labels include these."""
    wanted = set(labels.items())
    return sum(value for (n, have), value in samples.items() if n == name and wanted <= set(have))
