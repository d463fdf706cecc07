"""Reports as native payloads and lines, labels as lines."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from simulators.world import Label, Report

_encode = msgspec.json.Encoder().encode


def topic(scenario: str, report: Report) -> str:
    """Of the ordinary level."""
    return f"zw/v1/{scenario}/{report.entity}/{report.device}"


def payload(report: Report) -> bytes:
    """Native JSON; ``ts`` in Unix milliseconds."""
    return _encode({"ts": report.ts, **report.values})


def line(report: Report) -> bytes:
    """One line that ``zhiwei replay`` reads; ``arrived`` where a fault makes it another time than ``ts``."""
    said = {"ts": report.ts, "entity": report.entity, "device": report.device, **report.values}
    if report.sent != report.ts:
        said["arrived"] = report.sent
    return _encode(said) + b"\n"


def write(reports: Iterator[Report], out: BinaryIO) -> int:
    """All reports as JSON lines; returns how many."""
    count = 0
    for count, report in enumerate(reports, 1):  # noqa: B007
        out.write(line(report))
    return count


def label_lines(labels: list[Label]) -> bytes:
    """The labels file."""
    return b"".join(_encode(label) + b"\n" for label in labels)
