"""State of all partitions of a topic, laid out for another number of them: each entity once, in its place.

An entity takes along its row, its devices' rows and its open episodes, so that findings go on under their
ids. What belongs to a partition as a whole is the same in each: policy, registry, channels, time. Pure.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streams.engine import reorder
from streams.engine.batch import Batch, Clocks
from streams.engine.engine import Engine
from streams.engine.run import Bins
from streams.engine.table import Arrays, Table
from zhiwei.contracts import Array, Ints
from zhiwei.errors import ZhiweiError
from zhiwei.ids import partition_of


def regrouped(engines: Sequence[Engine], partitions: int) -> list[Engine]:
    """The engines of so many partitions, of those of all partitions before; their books begin at 0.

    engines: at least one; at the end of their log, changed in layout only. Raises ZhiweiError where an entity
    has state in two of them, or where they do not go by the same policy and registry: nothing is to be done
    with them then.
    """
    _refuse_different(engines)
    _refuse_twice(engines)
    first = engines[0]
    channels = tuple(
        sorted({name for one in engines for name in one.channels}, key=first.scenario.schema.order)
    )
    now = _latest([one.clocks for one in engines])
    for one in engines:
        one.channels = channels
        one.rebuild()
    made = []
    for number in range(partitions):
        engine = Engine(first.scenario, site=first.site, topic=first.topic, partition=number, lane=first.lane)
        engine.restore(
            policy=first.policy,
            registry=(first.registry_version, first.attributes),
            channels=channels,
            clocks=Clocks(list(now), list(now.values())),
            bins=Bins(),
            waiting=None,
        )
        for one in engines:
            _take_over(engine, one, partitions)
        made.append(engine)
    return made


def _take_over(engine: Engine, other: Engine, partitions: int) -> None:
    """Everything of another engine whose entities belong to this one's partition."""
    mine = [partition_of(name, partitions) == engine.partition for name in other.entities.names]
    rows = np.flatnonzero(mine).astype(np.int64)
    numbers = engine.entities.numbers(other.entities.names[row] for row in rows.tolist())
    engine.rebuild()  # attributes and policies may speak of an entity by name
    arrays = other.entities.take(rows)
    clocks = np.array([engine.clocks.number(name) for name in other.clocks.names], np.int16)
    arrays["clock"] = clocks[arrays["clock"]]
    _put(engine.entities, numbers, arrays)
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        if row in other.pages:
            engine.pages[number] = other.pages[row]
    owned = [
        partition_of(name.partition("/")[0], partitions) == engine.partition for name in other.devices.names
    ]
    rows = np.flatnonzero(owned).astype(np.int64)
    numbers = engine.devices.numbers(other.devices.names[row] for row in rows.tolist())
    _put(engine.devices, numbers, other.devices.take(rows))
    if other.waiting is not None:
        _bring(engine, other.waiting, clocks, partitions)


def _bring(engine: Engine, waiting: Batch, clocks: Array, partitions: int) -> None:
    """The rows of these entities that wait for earlier ones."""
    mine = np.array([partition_of(name, partitions) == engine.partition for name in waiting.entities])
    rows = reorder.taken(waiting, np.flatnonzero(mine[waiting.entity_name]).astype(np.int64))
    if rows is None:
        return
    rows = replace(rows, clock=clocks[rows.clock])
    before = engine.waiting
    engine.waiting = rows if before is None else reorder.joined(engine.scenario.schema, before, rows)
    engine.bins.waiting += len(rows)
    engine.bins.brought += len(rows)


def _put(table: Table, numbers: Ints, arrays: Arrays) -> None:
    if len(numbers):
        table.put(numbers, arrays)


def _latest(clocks: Sequence[Clocks]) -> dict[str, int]:
    """Clock → the furthest that any partition has come; ``live`` first, as everywhere."""
    now: dict[str, int] = {}
    for one in clocks:
        for name, time in zip(one.names, one.now, strict=True):
            now[name] = max(time, now.get(name, time))
    return now


def _refuse_different(engines: Sequence[Engine]) -> None:
    first = engines[0]
    for one in engines[1:]:
        for what, here, there in (
            ("policy", first.policy.text, one.policy.text),
            ("registry", first.attributes, one.attributes),
        ):
            if here != there:
                raise ZhiweiError(
                    f"{first.topic}: partitions {first.partition} and {one.partition} go by different "
                    f"versions of the {what}: start ingest once, which tells all of them the same, and let "
                    "streams read it; nothing was changed"
                )


def _refuse_twice(engines: Sequence[Engine]) -> None:
    owner: dict[str, int] = {}
    for one in engines:
        for name in one.entities.names:
            if (other := owner.setdefault(name, one.partition)) != one.partition:
                raise ZhiweiError(
                    f"{one.topic}: {name} has state in partitions {other} and {one.partition}; "
                    "nothing was changed"
                )
