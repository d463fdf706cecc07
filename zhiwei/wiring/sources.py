"""What console and API are shown beside incidents: the past of a channel, last values, what was refused.

Answers from what other processes write: the log, and telemetry's segments or InfluxDB. Reading only.
"""

import threading

import numpy as np

from alerts.api.parts import Sources
from alerts.api.sources import Interval, LastValue, Refused, Series
from ingest import quarantine
from streams.engine.batch import is_frame
from streams.telemetry.history import SegmentHistory
from streams.telemetry.influx import Influx
from streams.telemetry.influx_history import InfluxHistory
from streams.telemetry.positions import Positions
from zhiwei import frames, registry
from zhiwei.beds import open_log
from zhiwei.clock import NEVER
from zhiwei.contracts import LogRecord
from zhiwei.history import Buckets, Gap, History, Samples
from zhiwei.lanes import Lane, log_topic
from zhiwei.schema import Schema
from zhiwei.settings import Settings
from zhiwei.sql import open_database

_FIRST_LOOK = 2_000
"""Records at the end of a topic in which last values are looked for at first."""
_STEP = 200


def sources(settings: Settings) -> Sources:
    """For the scenarios of these settings. Raises ZhiweiError for a scenario that cannot load."""
    scenarios = {name: registry.scenario(name) for name in settings.streams.scenarios}
    schemas = {name: scenario.schema for name, scenario in scenarios.items()}
    return Sources(
        history=_Telemetry(settings, schemas),
        last_values=_LogEnd(settings, schemas),
        quarantine=_Quarantine(settings),
        schemas=schemas,
        life_safety=frozenset().union(*(scenario.life_safety for scenario in scenarios.values())),
    )


def history_of(settings: Settings) -> History:
    """Where the past is kept: InfluxDB where the settings name one, or segments in the data directory."""
    if not settings.influx.url:
        return SegmentHistory(settings.data)
    positions = Positions(open_database(settings, "state"))
    return InfluxHistory(Influx(settings.influx), positions, open_log(settings, "readings"))


class _Telemetry:
    """Series for charts."""

    def __init__(self, settings: Settings, schemas: dict[str, Schema]) -> None:
        self._history = history_of(settings)
        self._schemas = schemas

    def series(
        self, scenario: str, entity: str, channel: str, start_us: int, end_us: int, step_us: int | None
    ) -> Series:
        """See the contract. A bucket is drawn as its lowest and highest value, or its one: peaks stay."""
        schema = self._schemas.get(scenario)
        if schema is None or schema.channel(channel) is None:
            return Series()  # observations of rules are asked for as well: a branch, a duration
        found = self._history.history(
            scenario, entity, channel, start_us=start_us, end_us=end_us, step_us=step_us
        )
        gaps = tuple(_gap(one, start_us, end_us) for one in found.gaps)
        values = found.values
        if isinstance(values, Samples):
            return Series(times=values.at, values=values.value, gaps=gaps)
        if isinstance(values, Buckets):
            half = (found.step_us or 0) // 2
            told = np.stack([np.ones_like(values.at, bool), values.low < values.high], axis=1).ravel()
            times = np.stack([values.at, values.at + half], axis=1).ravel()
            extremes = np.stack([values.low, values.high], axis=1).ravel()
            return Series(times=times[told], values=extremes[told], gaps=gaps)
        strips = (
            Interval(
                start=max(one.start_us, start_us),
                end=min(one.end_us if one.end_us is not None else max(one.seen_us, one.start_us) + 1, end_us),
                value=" ".join(one.state) if isinstance(one.state, tuple) else one.state,
            )
            for one in values
        )
        return Series(intervals=tuple(one for one in strips if one.start < one.end), gaps=gaps)


def _gap(gap: Gap, start_us: int, end_us: int) -> tuple[int, int]:
    start = gap.start_us if gap.start_us is not None else start_us
    end = gap.end_us if gap.end_us is not None else min(end_us, NEVER)
    return max(start, start_us), min(end, end_us)


class _LogEnd:
    """Last values, from the end of the log; each question reads what has come since the last one."""

    def __init__(self, settings: Settings, schemas: dict[str, Schema]) -> None:
        self._log = open_log(settings, "readings")
        self._schemas = schemas
        self._following: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, str, str, str], LastValue] = {}
        self._lock = threading.Lock()

    def all(self, most: int) -> tuple[LastValue, ...]:
        """Newest first."""
        with self._lock:
            self._read_on()
            found = sorted(self._last.values(), key=lambda one: -one.arrived_us)
        return tuple(found[:most])

    def entity(self, scenario: str, entity: str) -> tuple[LastValue, ...]:
        """Of one entity."""
        with self._lock:
            self._read_on()
            return tuple(v for k, v in self._last.items() if k[:2] == (scenario, entity))

    def _read_on(self) -> None:
        for scenario, schema in self._schemas.items():
            topic = log_topic(Lane.READINGS, scenario)
            for partition in range(self._log.partitions(topic)):
                end = self._log.end(topic, partition)
                floor = max(self._log.earliest(topic, partition), end - _FIRST_LOOK)
                offset = max(self._following.get((topic, partition), 0), floor)
                while offset < end:
                    records = self._log.read(topic, partition, offset, most=_STEP)
                    if not records:
                        break
                    for record in records:
                        self._take(scenario, schema, record)
                    offset = records[-1].offset + 1
                self._following[topic, partition] = offset

    def _take(self, scenario: str, schema: Schema, record: LogRecord) -> None:
        if not is_frame(record.value):
            return
        try:
            columns = frames.decode(schema, record.value)
        except frames.BadFrame:
            return
        for name, (values, valid) in columns.channels.items():
            for row in np.flatnonzero(valid & columns.own).tolist():
                entity = columns.entities[columns.entity[row]]
                device = columns.devices[columns.device[row]]
                said = values[row]
                value = said.item() if isinstance(said, np.generic) else said
                self._last[scenario, entity, device, name] = LastValue(
                    scenario=scenario,
                    entity=entity,
                    device=device,
                    channel=name,
                    value=" ".join(value) if isinstance(value, tuple) else value,
                    at_us=int(columns.ts[row]),
                    arrived_us=int(columns.arrived[row]),
                )


class _Quarantine:
    """What was refused, from the log."""

    def __init__(self, settings: Settings) -> None:
        self._log = open_log(settings, "readings")

    def newest(self, most: int) -> tuple[Refused, ...]:
        """The last ones, newest first."""
        found = quarantine.newest(self._log, most)
        return tuple(Refused(one.offset, one.rejection) for one in found)
