"""MQTT messages to log entries: topic → address → rows → frames, or a rejection with a reason.

Pure apart from what it remembers of topics: messages in, entries out; no socket, log or clock. The service
hands it blocks of messages, and appends what ``close`` gives in one transaction.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest import controls, drills, quarantine
from ingest.devices import Devices
from ingest.framing import Refused, Rows, frame
from ingest.lanes import Latency, Sorting, split
from ingest.moments import moment
from ingest.quality import Channels
from ingest.repeats import Repeats, Sent
from ingest.topics import (
    CANARY,
    LIVE,
    Filter,
    filters_of,
    parse,
    readable,
    source_of,
    urgent_filter,
)
from zhiwei.clock import to_datetime
from zhiwei.contracts import Codec, Decoded, Entry, Refusal
from zhiwei.errors import ConfigError
from zhiwei.ids import partition_of
from zhiwei.lanes import Lane, lanes_of, log_topic
from zhiwei.mqtt_packets import OVERSIZE, RETAIN, Publish
from zhiwei.mqtt_receiver import Block
from zhiwei.schema import Schema
from zhiwei.settings import Settings
from zhiwei.types import Flag, Reason, Tick

TOPICS_MOST = 200_000
"""Topics whose routes are remembered; above it all are forgotten and learned again."""

BYTES_MOST = 8 * 1024 * 1024
"""Payload bytes after which a batch is closed, however few rows they made."""

_CANARIES = CANARY.encode()

_NOT_THE_SAME = OVERSIZE | RETAIN
"""Cut off, or another for each subscription: such a message says little about one that looks like it."""

_STILL = int(Flag.HISTORICAL)
"""The engine's time does not move with rows of this flag."""

ARRIVED = "arrived"
"""What a row of a simulated source may say beside its ``ts``: when it arrived, if that was later."""


@dataclass(slots=True)
class Closed:
    """A batch, ready to be appended, and what it counts."""

    entries: list[Entry] = field(default_factory=list)
    packets: int = 0
    bytes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Appended rows by scenario."""
    frames: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(reason, scope) → rejections."""
    ahead: list[Sent] = field(default_factory=list)
    """Messages that went past others, and wait in the session as well."""
    repeated: int = 0
    """Messages passed over, since they had gone past others."""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where the rows of a topic go."""

    entity: str
    device: str
    rows: Rows
    """Of the lane of fresh readings, where nearly all go."""
    sorting: Sorting
    place: tuple[str, int, str]
    """Scenario, partition, clock."""
    simulated: bool
    urgent: bool


class Intake:
    """Gathers messages until the batch is closed."""

    def __init__(
        self,
        settings: Settings,
        schemas: Mapping[str, Schema],
        codec: Codec,
        own_topic: bytes = b"",
        latencies: Mapping[str, Latency] | None = None,
    ) -> None:
        """own_topic: messages to it are ours; their payloads are put into ``own``. latencies: normal
        latency of a scenario's channels, µs; a scenario that is not in it has no backlog.

        Raises ConfigError for a source that cannot be.
        """
        self._settings = settings
        self._channels = {name: Channels(schema) for name, schema in schemas.items()}
        self._decode = codec.decode
        self._own_topic = own_topic
        self._devices = Devices(settings)
        self._sources = filters_of(settings)
        for place, source in enumerate(settings.sources):
            if source.clock == "simulated" and source.name == LIVE:
                expected = "another name: 'live' is the clock of live sources"
                raise ConfigError(
                    file="settings", key=f"sources[{place}].name", value=source.name, expected=expected
                )
        self._routes: dict[bytes, _Route | drills.Place | Refusal | None] = {}
        self._rows: dict[tuple[Lane, str, int, str], Rows] = {}
        self.repeats = Repeats()
        """Messages that are passed over, for they are in the log; the owner says which."""
        self._sorting = {
            name: Sorting(schema, (latencies or {}).get(name), settings.ingest.fresh_s)
            for name, schema in schemas.items()
        }
        self.own: list[bytes] = []
        """Payloads of our own messages; the owner takes them out."""
        self._reset()

    @property
    def filters(self) -> list[str]:
        """What to subscribe to: the sources' filters, without those that another one covers."""
        filters = list(dict.fromkeys(item.text for item, _ in self._sources))
        chosen = [Filter(text) for text in filters]
        return [
            one.text for one in chosen if not any(other is not one and other.covers(one) for other in chosen)
        ]

    @property
    def urgent_filters(self) -> list[str]:
        """Those for urgent messages alone, as far as the sources' filters cover them."""
        chosen = [item for item, _ in self._sources]
        found = [
            Filter(urgent_filter(name))
            for name, channels in self._channels.items()
            if Lane.URGENT in lanes_of(channels.schema)
        ]
        return [one.text for one in found if any(item.covers(one) for item in chosen)]

    @property
    def packets(self) -> int:
        """Messages since the last close."""
        return len(self._messages)

    @property
    def calls(self) -> bool:
        """Whether a call for help is among them."""
        return any(rows for (lane, *_), rows in self._rows.items() if lane is Lane.URGENT)

    def full(self) -> bool:
        """Whether the batch has grown to a frame's size, whatever it is made of."""
        most = self._settings.ingest.frame_rows
        return (
            len(self._messages) >= most
            or self._bytes >= BYTES_MOST
            or sum(map(len, self._rows.values())) >= most
        )

    def take(self, block: Block, *, overtaken: int | None = None, ahead: bool = False) -> None:
        """Add the messages of one read. Never raises for what is in them.

        ahead: they went past others that wait. Those of simulated sources are passed over: their order is
        their time, and nobody waits for them. overtaken: such messages came from this time on (µs).
        """
        routes, decode = self._routes, self._decode
        repeats = self.repeats if self.repeats and not ahead else None
        first = len(self._messages)
        for origin, (topic, payload, _, flags) in enumerate(block.messages, first):
            route = routes.get(topic)
            if route is None:
                route = self._learn(topic)
                if route is None:
                    if topic == self._own_topic:
                        self.own.append(payload)
                    continue
            if ahead:
                if isinstance(route, _Route) and route.simulated:
                    continue
                if not flags & _NOT_THE_SAME:
                    self._ahead.append((topic, payload))
            elif repeats is not None and not flags & _NOT_THE_SAME and repeats.came(topic, payload):
                self._repeated += 1
                continue
            if flags & OVERSIZE:
                self._refused[origin] = [self._too_large(block.oversize[origin - first])]
            elif isinstance(route, Refusal):
                self._refused[origin] = [route]
            elif isinstance(route, drills.Place):
                self._take_drill(route, payload, block.arrived, origin)
            else:
                decoded = decode(payload)
                if decoded.refused:
                    self._refused[origin] = decoded.refused
                if (route.simulated or flags & RETAIN) and None in decoded.ts:
                    decoded = self._timed(decoded, origin, simulated=route.simulated)
                arrived = None if route.simulated else block.arrived
                if route.simulated and any(ARRIVED in values for values in decoded.values):
                    self._sort_stated(route, decoded, origin)
                elif route.sorting.plain(decoded, arrived, urgent=route.urgent, overtaken=overtaken):
                    route.rows.add(route.entity, route.device, decoded, arrived, origin)
                else:
                    for one in split(decoded):
                        self._sort(route, one, arrived, origin, overtaken)
            self._bytes += len(payload)
        self._messages += block.messages
        self._arrived += [block.arrived] * len(block.messages)

    def take_calls(self, block: Block) -> None:
        """Add copies of urgent messages that wait in the session as well: to the lane of calls alone.

        Only rows that have a time of their own, by which the engine knows both as one; and no refusals,
        which are told when the session brings them.
        """
        first = len(self._messages)
        for origin, (topic, payload, _, flags) in enumerate(block.messages, first):
            route = self._routes.get(topic) or self._learn(topic)
            if not isinstance(route, _Route) or not route.urgent or route.simulated or flags & _NOT_THE_SAME:
                continue
            rows = self._rows.setdefault((Lane.URGENT, *route.place), Rows())
            for one in split(self._decode(payload)):
                if one.ts[0] is not None:
                    rows.add(route.entity, route.device, one, block.arrived, origin, copy=True)
        self._messages += block.messages
        self._arrived += [block.arrived] * len(block.messages)

    def close(self) -> Closed:
        """The batch as log entries: frames in order of arrival, and rejections. Starts the next one."""
        out = Closed(
            packets=len(self._messages), bytes=self._bytes, ahead=self._ahead, repeated=self._repeated
        )
        refused = self._refused
        counted: set[int] = set()
        reached = self._reached()
        for (lane, scenario, partition, clock), rows in self._rows.items():
            if not rows:
                continue
            framed = frame(
                self._channels[scenario],
                rows,
                clock=clock,
                frame_rows=self._settings.ingest.frame_rows,
                before=refused,
                counted=counted,
            )
            rows.clear()
            out.entries += [Entry(log_topic(lane, scenario), partition, value) for value in framed.frames]
            out.frames[scenario] += len(framed.frames)
            out.rows[scenario] += framed.rows
            for origin, refusals in framed.refused.items():
                refused[origin] = [*refused.get(origin, ()), *refusals]
        out.entries += self._ticks(reached)
        out.entries += self._drills  # behind the rows that came before them
        self._quarantine(refused, out)
        self._reset()
        return out

    def _reached(self) -> dict[tuple[Lane, str, int, str], int]:
        """How far the rows of simulated sources take their clocks, by where they go; copies of old ones
        do not move the ordinary lane's."""
        moving = (
            (
                place,
                [time for time, flags in zip(rows.arrived, rows.flags, strict=True) if not flags & _STILL],
            )
            for place, rows in self._rows.items()
            if place[3] != LIVE
        )
        return {place: max(times) for place, times in moving if times}

    def _ticks(self, reached: Mapping[tuple[Lane, str, int, str], int]) -> list[Entry]:
        """The time of a simulated source, for the lanes and partitions that its rows did not take there.

        Live time is told to all of them once a second. Without this, silence would never be found on a
        partition that has no rows, nor a backlog end.
        """
        latest: dict[tuple[str, str], int] = {}
        for (_, scenario, _, clock), time in reached.items():
            latest[scenario, clock] = max(time, latest.get((scenario, clock), time))
        return [
            Entry(
                log_topic(lane, scenario),
                partition,
                controls.encode(Tick(clock=clock, time=to_datetime(time))),
            )
            for (scenario, clock), time in latest.items()
            for lane in lanes_of(self._channels[scenario].schema)
            for partition in range(self._settings.log.partitions)
            if reached.get((lane, scenario, partition, clock)) != time
        ]

    def forget(self) -> None:
        """Drop the batch: its messages were not acknowledged and will come again."""
        for rows in self._rows.values():
            rows.clear()
        self._reset()

    def _reset(self) -> None:
        self._messages: list[Publish] = []
        self._arrived: list[int] = []
        self._refused: Refused = {}
        self._drills: list[Entry] = []
        self._ahead: list[Sent] = []
        self._bytes = self._repeated = 0

    def _quarantine(self, refused: Refused, out: Closed) -> None:
        for origin in sorted(refused):
            topic, payload, _, _ = self._messages[origin]
            for rejection in quarantine.rejections(
                readable(topic), payload, self._arrived[origin], refused[origin]
            ):
                out.entries.append(quarantine.entry(rejection))
                out.rejected[rejection.reason, rejection.scope] += 1

    def _take_drill(self, place: drills.Place, payload: bytes, arrived: int, origin: int) -> None:
        drill = drills.read(place, payload, arrived)
        if isinstance(drill, Refusal):
            self._refused[origin] = [drill]
        else:
            self._drills.append(Entry(place.log_topic, place.partition, controls.encode(drill)))

    def _learn(self, topic: bytes) -> _Route | drills.Place | Refusal | None:
        """Route of a topic; None for our own, and that of another ingest process, which a filter as wide as
        ``#`` brings. Remembered, except those: they are few."""
        if topic == self._own_topic or topic.startswith(_CANARIES):
            return None
        route = self._route(topic)
        if len(self._routes) >= TOPICS_MOST:
            self._routes.clear()
        self._routes[topic] = route
        return route

    def _route(self, topic: bytes) -> _Route | drills.Place | Refusal:
        address = parse(topic)
        if isinstance(address, Refusal):
            return address
        if address.scenario not in self._channels:
            known = ", ".join(sorted(self._channels))
            detail = f"scenario {address.scenario!r}: [streams] scenarios has {known}"
            return Refusal(Reason.UNKNOWN_SCENARIO, "payload", detail)
        partition = partition_of(address.entity, self._settings.log.partitions)
        if address.entity.startswith(drills.ENTITIES):
            urgent = address.urgent and self._sorting[address.scenario].triggers
            lane = Lane.URGENT if urgent else Lane.READINGS
            return drills.Place(readable(topic), log_topic(lane, address.scenario), partition)
        if refusal := self._devices.refuse(address):
            return refusal
        source = source_of(self._sources, readable(topic))
        clock = source.name if source and source.clock == "simulated" else LIVE
        place = (address.scenario, partition, clock)
        return _Route(
            address.entity,
            address.device,
            self._rows.setdefault((Lane.READINGS, *place), Rows()),
            self._sorting[address.scenario],
            place,
            simulated=clock != LIVE,
            urgent=address.urgent and self._sorting[address.scenario].triggers,
        )

    def _sort(
        self, route: _Route, one: Decoded, arrived: int | None, origin: int, overtaken: int | None = None
    ) -> None:
        """Put a single row onto its lanes."""
        for lane, copy, flags in route.sorting.lanes(one, arrived, urgent=route.urgent, overtaken=overtaken):
            where = (lane, *route.place)
            rows = self._rows.get(where)
            if rows is None:
                rows = self._rows[where] = Rows()
            rows.add(route.entity, route.device, one, arrived, origin, copy=copy, flagged=flags)

    def _sort_stated(self, route: _Route, decoded: Decoded, origin: int) -> None:
        """The same for rows of a simulated source that say themselves when they arrived."""
        for one in split(decoded):
            stated = one.values[0].pop(ARRIVED, None)
            arrived = None if stated is None else moment(stated, ARRIVED)
            if isinstance(arrived, str):
                refusal = Refusal(Reason.BAD_TIMESTAMP, "row", arrived, 1)
                self._refused.setdefault(origin, []).append(refusal)
            else:
                self._sort(route, one, arrived, origin)

    def _timed(self, decoded: Decoded, origin: int, *, simulated: bool) -> Decoded:
        """Only the rows that say when they were; the others are refused."""
        why = "its source is simulated" if simulated else "the message is retained, its age unknown"
        missing = decoded.ts.count(None)
        refusal = Refusal(Reason.NO_TIMESTAMP, "row", f"ts is absent, and {why}", missing)
        self._refused.setdefault(origin, []).append(refusal)
        kept = Decoded()
        for ts, flags, values in zip(decoded.ts, decoded.flags, decoded.values, strict=True):
            if ts is not None:
                kept.ts.append(ts)
                kept.flags.append(flags)
                kept.values.append(values)
        return kept

    def _too_large(self, size: int) -> Refusal:
        most = self._settings.mqtt.max_payload_bytes
        return Refusal(
            Reason.TOO_LARGE,
            "payload",
            f"payload has {size} bytes, expected at most {most} ([mqtt] max_payload_bytes); "
            "only its first part was kept",
        )
