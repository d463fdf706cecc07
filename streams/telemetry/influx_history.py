"""Answers about the past from InfluxDB, by questions in Flux: the same as from segments, with three limits.

What is under way (a second or two) is not there yet. Of conflicting rows of one time the order is that of
their last delivery. In steps, a value that conflicting rows of one time share counts for each of them, and a
row without a plausible clock for each delivery: steps are made by InfluxDB itself, over as many rows as there
are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from streams.telemetry.history import CARRY_US, MOST_VALUES, check_range, described_in, touches
from streams.telemetry.influx import Answer, Influx
from streams.telemetry.lane import LANES
from streams.telemetry.lines import ARRIVED, DIGITS, FLAGS, MOST_US, TS, coded, decoded, field_of
from streams.telemetry.positions import Positions
from streams.telemetry.progress import Progress, Stand
from streams.telemetry.strips import intervals
from zhiwei import registry
from zhiwei.contracts import Array, Floats, Ints, LogReader
from zhiwei.history import Buckets, Gap, HistoryRefused, Interval, Samples, Series
from zhiwei.ids import partition_of
from zhiwei.schema import Channel, Schema
from zhiwei.types import Flag

BEHIND_RECORDS = 200
"""So many records that are not written yet are no gap: some seconds' worth are always under way."""

_KIND = {"bool": "boolean", "utf8": "string", "list": "string"}
_texts = msgspec.json.Decoder(tuple[str, ...])


class InfluxHistory:
    """``zhiwei.history.History`` over InfluxDB. May be asked from several threads at once."""

    def __init__(
        self,
        influx: Influx,
        positions: Positions,
        log: LogReader,
        *,
        schema_of: Callable[[str], Schema] = lambda name: registry.scenario(name).schema,
    ) -> None:
        """positions: of `zhiwei telemetry`; log: the readings log: they say what is missing."""
        self._influx, self._positions, self._log, self._schema_of = influx, positions, log, schema_of

    def history(
        self,
        scenario: str,
        entity: str,
        channel: str,
        *,
        start_us: int,
        end_us: int,
        step_us: int | None = None,
    ) -> Series:
        """See ``zhiwei.history.History``. Raises Retryable where InfluxDB or a database does not answer."""
        described = described_in(self._schema_of(scenario), channel)
        check_range(start_us, end_us, step_us)
        gaps = self._gaps(scenario, entity)
        question = _Question(self._influx, scenario, entity, described)
        values: Samples | Buckets | tuple[Interval, ...]
        if described.dtype in _KIND:
            cells = question.cells(start_us - CARRY_US, end_us)
            values = _strip(cells, gaps, start_us, is_list=described.dtype == "list")
        elif step_us is None:
            cells = question.cells(start_us, end_us)
            devices, device = np.unique(cells.device, return_inverse=True)
            values = Samples(cells.at, cells.value, cells.flags, device, tuple(devices.tolist()))
        else:
            values = question.buckets(start_us, end_us, step_us)
        ours = tuple(gap for gap in gaps if touches(gap, start_us, end_us))
        return Series(scenario, entity, channel, described.unit, start_us, end_us, step_us, values, ours)

    def _gaps(self, scenario: str, entity: str) -> list[Gap]:
        found: list[Gap] = []
        for lane in LANES:
            topic = f"{lane}.{scenario}"
            known = {
                place: progress
                for place, progress in self._positions.of(topic).items()
                if place.partition == partition_of(entity, place.partitions)
            }
            for progress in known.values():
                found.extend(lost.gap for lost in progress.lost)
            if not (partitions := self._log.partitions(topic)):
                continue
            number, identity = partition_of(entity, partitions), self._log.identity(topic)
            standing = [one for place, one in known.items() if place.identity == identity]
            stand = standing[0].stands[number] if standing else Stand(following=0)
            end = self._log.end(topic, number)
            if end - stand.following > BEHIND_RECORDS:
                behind = Progress()
                behind.lose(number, stand.following, end, "unrecorded", stand.seen)
                found.extend(lost.gap for lost in behind.lost)
        return found


@dataclass(frozen=True, slots=True)
class _Cells:
    """All (n,): the values of one channel, in order of time, each redelivered row once."""

    at: Ints
    device: Array
    flags: Ints
    value: Array


@dataclass(frozen=True, slots=True)
class _Question:
    influx: Influx
    scenario: str
    entity: str
    channel: Channel

    def cells(self, start_us: int, end_us: int) -> _Cells:
        """Raises HistoryRefused for more than a screen can show."""
        field = coded(field_of(self.channel.name))
        answers = self._ask([field, FLAGS, TS], start_us, end_us, f"|> limit(n: {MOST_VALUES + 1})")
        rows: list[tuple[str, int, str]] = []  # device, ns, value
        more: dict[str, dict[tuple[str, int], int]] = {FLAGS: {}, TS: {}}
        for answer in answers:
            fits = answer.types.get("_value") in self._types()
            times = _ns([row["_time"] for row in answer.rows])
            for row, ns in zip(answer.rows, times.tolist(), strict=True):
                if row["_field"] in more:
                    more[row["_field"]][row["device"], ns] = int(row["_value"])
                elif fits:
                    rows.append((row["device"], ns, row["_value"]))
        if len(rows) > MOST_VALUES:
            raise HistoryRefused(
                f"more than {MOST_VALUES} values in this range: ask for a shorter one, or for steps"
            )
        arrived = self._arrived(rows)
        rows.sort(key=lambda row: (row[1] // DIGITS, arrived.get(row[:2], 0), row[1]))
        seen: set[tuple[str, int, str]] = set()
        once = []
        for device, ns, value in rows:
            flags = more[FLAGS].get((device, ns), 0)
            key = device, more[TS].get((device, ns), ns // DIGITS), value
            # Without a time of its own a row cannot be told from its redelivery: each stays.
            if flags & Flag.NO_TS or key not in seen:
                once.append((device, ns // DIGITS, flags, value))
                if not flags & Flag.NO_TS:
                    seen.add(key)
        return _Cells(
            np.array([at for _, at, _, _ in once], np.int64),
            np.array([decoded(device) for device, _, _, _ in once], object),
            np.array([flags for _, _, flags, _ in once], np.int64),
            self._typed([value for _, _, _, value in once]),
        )

    def buckets(self, start_us: int, end_us: int, step_us: int) -> Buckets:
        """By InfluxDB for each device, then of all devices."""
        field = coded(field_of(self.channel.name))
        kept = '|> keep(columns: ["_start", "_time", "_value", "device"])'
        yields = "".join(
            f'\ndata |> {name}() {kept} |> yield(name: "{name}")'
            for name in ("min", "mean", "max", "last", "count")
        )
        answers = self._ask([field], start_us, end_us, f"|> window(every: {step_us}us)", yields)
        parts: dict[tuple[int, str], dict[str, float]] = {}
        last: dict[tuple[int, str], int] = {}
        for answer in answers:
            begins = _ns([row["_start"] for row in answer.rows]) // DIGITS // step_us * step_us
            times = _ns([row["_time"] for row in answer.rows]) if "_time" in answer.types else begins
            for row, at, ns in zip(answer.rows, begins.tolist(), times.tolist(), strict=True):
                parts.setdefault((at, row["device"]), {})[row["result"]] = float(row["_value"])
                if row["result"] == "last":
                    last[at, row["device"]] = ns
        buckets: dict[int, list[tuple[int, dict[str, float]]]] = {}
        for (at, device), part in parts.items():
            buckets.setdefault(at, []).append((last[at, device], part))
        at = np.array(sorted(buckets), np.int64)
        of = [[part for _, part in sorted(buckets[one], key=lambda each: each[0])] for one in at.tolist()]
        count = np.array([sum(part["count"] for part in one) for one in of], np.int64)
        total = np.array([sum(part["mean"] * part["count"] for part in one) for one in of])
        return Buckets(
            at,
            self._numbers([min(part["min"] for part in one) for one in of]),
            total / np.maximum(count, 1),
            self._numbers([max(part["max"] for part in one) for one in of]),
            self._numbers([one[-1]["last"] for one in of]),
            count,
        )

    def _arrived(self, rows: Sequence[tuple[str, int, str]]) -> dict[tuple[str, int], int]:
        """When the points of those times came at which there are several; in most answers there is none."""
        at = np.sort(np.array([ns // DIGITS for _, ns, _ in rows], np.int64))
        tied = at[1:][at[1:] == at[:-1]]
        if not len(tied):
            return {}
        found = {}
        for answer in self._ask([ARRIVED], int(tied[0]), int(tied[-1]) + 1, ""):
            times = _ns([row["_time"] for row in answer.rows])
            for row, ns in zip(answer.rows, times.tolist(), strict=True):
                found[row["device"], ns] = int(row["_value"])
        return found

    def _ask(
        self, fields: list[str], start_us: int, end_us: int, then: str, yields: str = ""
    ) -> list[Answer]:
        wanted = " or ".join(f'r._field == "{field}"' for field in fields)
        columns = "" if yields else '|> keep(columns: ["_time", "_value", "_field", "device"])'
        return self.influx.ask(
            f'{"data = " if yields else ""}from(bucket: "{self.influx.bucket}")'
            f" |> range(start: {_time(start_us)}, stop: {_time(end_us)})"
            f' |> filter(fn: (r) => r._measurement == "{coded(self.scenario)}"'
            f' and r.entity == "{coded(self.entity)}" and ({wanted})) {then} {columns}{yields}'
        )

    def _types(self) -> tuple[str, ...]:
        """What the channel's values are in Flux: what an older schema has left there is passed over."""
        kind = _KIND.get(self.channel.dtype)
        return (kind,) if kind else ("double", "long")

    def _typed(self, texts: list[str]) -> Array:
        if self.channel.dtype == "bool":
            return np.array([text == "true" for text in texts], np.bool_)
        if self.channel.dtype in _KIND:
            # A line end of a text comes back as two characters, as CSV has it.
            return np.array([text.replace("\r\n", "\n") for text in texts], object)
        return self._numbers([float(text) for text in texts])

    def _numbers(self, values: list[float]) -> Floats:
        """As wide as the channel: the shortest text of a float32 names another float64."""
        return np.array(values, np.float64).astype(self.channel.dtype).astype(np.float64)


def _strip(cells: _Cells, gaps: list[Gap], start_us: int, *, is_list: bool) -> tuple[Interval, ...]:
    order = np.argsort(cells.device.astype(str), kind="stable")
    found = intervals(cells.device[order], cells.at[order], cells.value[order], gaps, start_us)
    if is_list:
        return tuple(replace(each, state=_texts.decode(str(each.state))) for each in found)
    return found


def _time(us: int) -> str:
    """A time literal of Flux, within what InfluxDB holds."""
    moment = np.datetime64(max(min(us, MOST_US), -MOST_US) * DIGITS, "ns")
    return f"{moment}Z"


def _ns(times: list[str]) -> Ints:
    """(n,) ns UTC of times as RFC 3339."""
    return np.array([time.removesuffix("Z") for time in times], "datetime64[ns]").astype(np.int64)
