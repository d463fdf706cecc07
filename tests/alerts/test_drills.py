"""The end of a drill: counted and timed, each once; no incident, no event, nothing of it in the store."""

import asyncio

from sqlalchemy import select

from alerts.drills import Drills
from alerts.service import Folder
from alerts.store.tables import EVENTS, FINDINGS, INCIDENTS, LEDGER, OUTBOX
from zhiwei import metrics
from zhiwei.clock import MICROS, to_datetime
from zhiwei.health import judge
from zhiwei.lanes import FINDINGS as FINDINGS_TOPIC
from zhiwei.settings import File, Health, Settings
from zhiwei.types import Drill

PLACES = [("readings.drilled", 0), ("readings.drilled", 1)]


def drill(clock, ago_s=0.0, partition=0, topic="readings.drilled"):
    return Drill(topic=topic, partition=partition, sent=to_datetime(clock.us - int(ago_s * MICROS)))


def figure(name, partition=0, topic="readings.drilled"):
    return metrics.samples().get((name, (("partition", str(partition)), ("topic", topic))), 0.0)


def back(partition=0):
    return figure("zhiwei_drill_seconds_count", partition)


def overdue(clock):
    reasons = judge("alerts", metrics.samples(), clock.us / MICROS, Health()).reasons
    return [reason for reason in reasons if "drill" in reason]


def test_a_drill_is_counted_with_the_time_that_it_took(clock):
    before, took = back(), figure("zhiwei_drill_seconds_sum")
    drills = Drills(PLACES, clock)
    clock.advance(30)
    drills.count([drill(clock, ago_s=0.5)])
    assert back() == before + 1
    assert round(figure("zhiwei_drill_seconds_sum") - took, 3) == 0.5
    assert round(figure("zhiwei_drill_sent_timestamp_seconds"), 3) == round(clock.us / MICROS - 0.5, 3)


def test_one_that_comes_again_and_one_that_nobody_waits_for_do_not_count(clock):
    drills = Drills(PLACES, clock)
    clock.advance(30)
    once = drill(clock)
    before = back()
    drills.count([once, once, drill(clock, ago_s=5)])
    assert back() == before + 1
    drills.count([drill(clock, topic="readings.other")])
    assert figure("zhiwei_drill_sent_timestamp_seconds", topic="readings.other") == 0


def test_health_is_bad_where_one_partition_stays_away_and_good_when_it_is_back(clock):
    drills = Drills(PLACES, clock)
    clock.advance(60)
    drills.count([drill(clock, partition=1)])
    assert overdue(clock) == []  # the first has been waited for since the start
    clock.advance(31)
    (reason,) = overdue(clock)
    assert "readings.drilled/0: no drill" in reason
    drills.count([drill(clock, partition=0)])
    assert overdue(clock) == []


def test_a_drill_on_the_findings_log_leaves_only_its_place_in_the_ledger(tmp_path, clock, new_log, store):
    log = new_log()
    log.append(drill(clock), b'{"type":"drill","topic":"readings.drilled","partition":0,"sent":"2025"}')
    settings = Settings(data_dir=str(tmp_path), sinks=(File(name="copy", path="unused"),))
    folder = Folder(settings, log, clock, store, ())

    async def fold():
        await folder.start()
        assert await folder.fold(FINDINGS_TOPIC)

    asyncio.run(fold())
    kept = {
        table.name: store.transact_here(lambda c, table=table: list(c.execute(select(table))))
        for table in (INCIDENTS, EVENTS, OUTBOX, FINDINGS, LEDGER)
    }
    assert {name: len(rows) for name, rows in kept.items()} == {
        "incidents": 0, "events": 0, "outbox": 0, "findings": 0, "ledger": 2,
    }  # fmt: skip
    assert {row.bin: row.records for row in kept["ledger"]} == {"drill": 1, "undecodable": 1}
