"""Real homes through the elderly rules: ``python -m bench.homes FOLDER``: false alarms, delays, cost.

FOLDER holds ``<home>.csv.gz`` and ``<home>_activities.csv.gz`` of the three homes below, one row a sensor
transition. Protocol: at 200 seeded times (half 07-22 h, half by night, the resident at home, after 14
days of history, 7 where the record is short) all sensors fall silent for good; the delay runs to the alarm.
False alarms are what is raised on the untouched record after the history. Nothing is tuned to these homes.
"""

import argparse
import bisect
import copy
import csv
import gzip
import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from scenarios.elderly import SCENARIO
from streams.engine.engine import Engine
from zhiwei import frames
from zhiwei.clock import MICROS, to_datetime, to_us
from zhiwei.contracts import LogRecord
from zhiwei.types import Finding, Phase, Tick

ZONE = ZoneInfo("Asia/Shanghai")
HISTORY_DAYS = {"ordonez_a": 7, "kasteren_a": 14, "mit_d": 7}
AWAY = {"leaving", "leave_house", "going_out_to_work", "going_out_for_shopping"}
ENTRANCES = {"entrance_maindoor_magnetic", "front_door", "foyer_door"}
INJECTED = 200
TICK_US = 300 * MICROS
GIVE_UP_US = 40 * 3600 * MICROS
DAY_US = 24 * 3600 * MICROS

Row = tuple[int, str, bool]
"""Time in µs, channel, active."""


@dataclass(frozen=True, slots=True)
class Record:
    """One home."""

    name: str
    rows: list[Row]
    away: list[tuple[int, int]]

    def at_home(self, time_us: int) -> bool:
        return not any(start <= time_us < end for start, end in self.away)


def channel_of(sensor: str) -> str:
    """Motion, flushes and switched appliances are motion; mats are bed or presence; contacts are doors."""
    if sensor in ENTRANCES:
        return "door.entrance"
    if sensor.endswith("_pressure"):
        return "bed" if "bed" in sensor else f"presence.{sensor}"
    if sensor.endswith(("_pir", "_flush", "_electric")):
        return f"motion.{sensor}"
    return f"door.{sensor}"


def load(folder: Path, name: str) -> Record:
    """A home's rows and the times its resident was out."""
    rows: list[Row] = []
    with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            at = _us(line["timestamp"])
            for sensor, cell in line.items():
                if cell and sensor not in ("timestamp", "entity", "event", "activity", "part"):
                    rows.append((at, channel_of(sensor), cell == "1"))
    with gzip.open(folder / f"{name}_activities.csv.gz", "rt", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["activity"] in AWAY]
    away = [(_us(line["start"]), _us(line["end"])) for line in lines]
    return Record(name, rows, away)


def _us(stamp: str) -> int:
    return to_us(datetime.fromisoformat(stamp).replace(tzinfo=ZONE))


def frame(rows: list[tuple[str, Row]]) -> bytes:
    """Rows of (entity, row)."""
    names = sorted({channel for _, (_, channel, _) in rows})
    columns = {}
    for name in names:
        described = SCENARIO.schema.channel(name)
        assert described is not None
        cells = [active if channel == name else None for _, (_, channel, active) in rows]
        columns[name] = frames.arrow_column(described, cells)
    times = [at for _, (at, _, _) in rows]
    return frames.encode(
        SCENARIO.schema,
        entity=[entity for entity, _ in rows],
        device=[channel for _, (_, channel, _) in rows],
        ts=times,
        arrived=times,
        flags=[0] * len(rows),
        channels=columns,
        clock="live",
    )


def tick(at: int) -> bytes:
    return msgspec.json.encode(Tick(clock="live", time=to_datetime(at)))


def fresh(warm_up_days: int) -> Engine:
    """An engine under the shipped policy; the warm-up is the record's, as the protocol says."""
    text = SCENARIO.policy(None).text
    shipped = 'warm_up = { value = 14, unit = "d"'
    assert shipped in text
    text = text.replace(shipped, f'warm_up = {{ value = {warm_up_days}, unit = "d"')
    return Engine(SCENARIO, site="bench", topic="readings.elderly", partition=0, policy=SCENARIO.policy(text))


def apply(engine: Engine, values: list[bytes], start: int = 0) -> list[Finding]:
    return engine.apply([LogRecord(start + n, value) for n, value in enumerate(values)]).findings


def feed(engine: Engine, name: str, rows: list[Row], until: int) -> list[Finding]:
    """Rows with ticks every 5 min between them and up to ``until``."""
    found: list[Finding] = []
    for row, following in zip(rows, [*[r[0] for r in rows[1:]], until], strict=True):
        values = [frame([(name, row)])]
        last_tick = following // TICK_US * TICK_US
        if last_tick > row[0]:
            values.append(tick(last_tick))
        found += apply(engine, values)
    return found


def false_alarms(record: Record) -> dict[str, float]:
    """The untouched record."""
    days = HISTORY_DAYS[record.name]
    start, end = record.rows[0][0] + days * DAY_US, record.rows[-1][0]
    found = feed(fresh(days), record.name, record.rows, end)
    raised = [
        to_us(f.at)
        for f in found
        if f.kind == SCENARIO.main_kind and f.phase is Phase.RAISED and to_us(f.at) >= start
    ]
    test_days = (end - start) / DAY_US
    return {
        "days": round(test_days, 2),
        "false_alarms": len(raised),
        "false_per_day": round(len(raised) / test_days, 3),
        "false_at_home_per_day": round(sum(map(record.at_home, raised)) / test_days, 3),
    }


def injected(record: Record) -> list[int]:
    """Seeded times of a collapse."""
    rng = np.random.default_rng(0)
    start = record.rows[0][0] + HISTORY_DAYS[record.name] * DAY_US
    end = record.rows[-1][0]
    times: list[int] = []
    for by_day in (True, False):
        while sum(_by_day(t) == by_day for t in times) < INJECTED // 2:
            at = int(rng.integers(start, end))
            if _by_day(at) == by_day and record.at_home(at):
                times.append(at)
    return sorted(times)


def _by_day(at: int) -> bool:
    return 7 <= to_datetime(at).astimezone(ZONE).hour < 22


def delays(record: Record) -> dict[str, float]:
    """Hours from the collapse to the alarm."""
    engine = fresh(HISTORY_DAYS[record.name])
    at_rows = [row[0] for row in record.rows]
    done, already, by_door = 0, 0, 0
    found: list[tuple[int, float]] = []
    for at in injected(record):
        upto = bisect.bisect_right(at_rows, at)
        feed(engine, record.name, record.rows[done:upto], at) if upto > done else apply(engine, [tick(at)])
        done = upto
        open_now = engine.pages.get(0, {}).get("no_activity")
        if open_now is not None and open_now.open:
            already += 1
            continue
        silent = copy.deepcopy(engine)
        raised = [
            f
            for f in apply(silent, [tick(at + GIVE_UP_US)])
            if f.kind == SCENARIO.main_kind and f.phase is Phase.RAISED
        ]
        # An alarm is seen with the tick behind its deadline.
        seen = -(-to_us(raised[0].at) // TICK_US) * TICK_US if raised else None
        found.append((at, np.inf if seen is None else (seen - at) / MICROS / 3600))
        by_door += seen is None and record.rows[upto - 1][1] == "door.entrance"
    every = np.array([delay for _, delay in found])
    day = np.array([delay for at, delay in found if _by_day(at)])
    night = np.array([delay for at, delay in found if not _by_day(at)])
    noticed = every[np.isfinite(every)]
    return {
        "injected": len(every),
        "already_in_alarm": already,
        "noticed_4h": round(float((every < 4).mean()), 3),
        "noticed_24h": round(float((every < 24).mean()), 3),
        "never_noticed": int(np.isinf(every).sum()),
        "of_these_out_by_the_door": by_door,
        "mean_h": round(float(noticed.mean()), 2),
        "median_h": round(float(np.median(every)), 2),
        "p90_of_noticed_h": round(float(np.percentile(noticed, 90)), 2),
        "median_day_h": round(float(np.median(day)), 2),
        "median_night_h": round(float(np.median(night)), 2),
    }


def cost(homes: int = 100, rows_each: int = 400) -> dict[str, float]:
    """µs a row of the engine with these rules, and of one home alone, whose rows make rounds of one."""
    channels = [f"motion.{room}" for room in ("hall", "kitchen", "living", "bedroom", "bathroom")]
    channels += ["door.entrance", "bed", "presence.bathroom", "sos", "fall.bathroom", "smoke", "gas"]
    start = to_us(datetime(2026, 3, 2, tzinfo=ZONE))
    rng = np.random.default_rng(0)
    picks, on = rng.integers(0, len(channels), (rows_each, homes)), rng.random((rows_each, homes)) < 0.5
    quiet = {"sos", "fall.bathroom", "smoke", "gas"}
    batch: list[tuple[str, Row]] = []
    for k in range(rows_each):
        for h in range(homes):
            name = channels[picks[k, h]]
            at = start + (k * 60 + h % 60) * MICROS
            batch.append((f"home-{h}", (at, name, bool(on[k, h]) and name not in quiet)))
    many = _timed([batch[n : n + 2000] for n in range(0, len(batch), 2000)])
    alone = [one for one in batch if one[0] == "home-0"]
    return {
        "rows": len(batch),
        "us_per_row": round(many / len(batch) * 1e6, 2),
        "us_per_row_of_one_home": round(_timed([alone]) / len(alone) * 1e6, 1),
        "state_bytes": state_bytes(channels),
    }


def _timed(chunks: list[list[tuple[str, Row]]]) -> float:
    values = [frame(chunk) for chunk in chunks]
    engine = fresh(14)
    began = time.process_time()
    for value in values:
        apply(engine, [value])
    return time.process_time() - began


def state_bytes(channels: list[str]) -> int:
    """Bytes of state a home."""
    rules = SCENARIO.rules(SCENARIO.policy(None), tuple(channels), {}, ())
    total = 8 * len(rules.timers)
    for field in rules.fields:
        along = channels if field.channels is None else field.channels
        axes = [len(along) if axis == "channel" else axis for axis in field.axes]
        total += np.dtype(field.dtype).itemsize * int(np.prod(axes, dtype=int))
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description="Real homes through the elderly rules.")
    parser.add_argument("folder", type=Path, help="where the homes' files are")
    folder = parser.parse_args().folder
    for name in HISTORY_DAYS:
        record = load(folder, name)
        figures: dict[str, float | str] = {"home": name, **false_alarms(record), **delays(record)}
        print(json.dumps(figures), flush=True)
    print(json.dumps(cost()))


if __name__ == "__main__":
    main()
