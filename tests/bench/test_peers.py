"""eKuiper is given the rules that the other peer judges, and what it says of itself is read right."""

import itertools
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bench import ekuiper
from bench.city import __main__ as command
from bench.city.peers import Streamed, done, times_ours
from bench.ekuiper import CONDITIONS, Counts, counts, rule_sql, stream_sql
from bench.plain import lift

FIELDS = ("moving", "in_door_zone", "door_closed", "person", "alarm_button")
STATUS: dict[str, object] = {
    "status": "running",
    "source_lifts_0_records_in_total": 1000,
    "source_lifts_0_exceptions_total": 1,
    "source_lifts_0_last_exception": "disconnected",
    "op_2_decoder_0_records_in_total": 999,
    "op_2_decoder_0_exceptions_total": 30,
    "op_3_analytic_0_records_in_total": 969,
    "op_3_analytic_0_exceptions_total": 4,
    "op_4_filter_0_records_in_total": 965,
    "op_4_filter_0_records_out_total": 7,
    "op_4_filter_0_exceptions_total": 500,
    "sink_nop_0_0_records_in_total": 7,
}


@pytest.mark.parametrize("values", [*itertools.product((False, True), repeat=len(FIELDS))])
def test_its_conditions_are_those_of_the_plain_rules(values: tuple[bool, ...]) -> None:
    reading, judge = dict(zip(FIELDS, values, strict=True)), lift()
    with sqlite3.connect(":memory:") as sql:
        sql.execute(f"CREATE TABLE lifts ({', '.join(FIELDS)})")
        sql.execute("INSERT INTO lifts VALUES (?, ?, ?, ?, ?)", values)
        held = {
            kind: hold_ms
            for kind, (condition, hold_ms) in CONDITIONS.items()
            if sql.execute(f"SELECT {condition} FROM lifts").fetchone()[0]
        }
    sql.close()
    for ms in sorted({0, *(hold_ms for _, hold_ms in CONDITIONS.values())}):
        if ms:
            assert judge("lift", reading | {"ts": ms - 1}) is None
        # Of several at once the plain rules tell the last.
        told = [f"elevator.{kind}" for kind, hold_ms in held.items() if hold_ms == ms]
        assert judge("lift", reading | {"ts": ms}) == (told[-1] if told else None)


def test_its_rule_asks_for_each_condition_and_each_time() -> None:
    columns, _, where = rule_sql().partition(" FROM lifts WHERE ")
    assert where.split(" OR ") == list(CONDITIONS)
    for kind, (condition, hold_ms) in CONDITIONS.items():
        column = columns.partition(f" AS {kind}")[0].rpartition(" AS ")[2]
        assert condition in column
        assert not hold_ms or (f">= {hold_ms}" in column and f"< {hold_ms}" in column)
    assert all(f"{field} BOOLEAN" in stream_sql() for field in FIELDS)


def test_what_was_dropped_before_the_rules_is_counted_and_what_failed_behind_them_is_not() -> None:
    assert counts(STATUS) == Counts(received=1000, seen=965, found=7, failed=35)
    with pytest.raises(LookupError, match="records_in of filter"):
        counts({name: value for name, value in STATUS.items() if "filter" not in name})


def test_a_run_is_done_when_each_message_has_got_to_the_rules_or_was_dropped() -> None:
    assert done(Counts(received=1000, seen=965, found=7, failed=35), 1000)
    assert not done(Counts(received=1000, seen=964, found=7, failed=35), 1000)
    assert not done(Counts(received=900, seen=900, found=7, failed=0), 1000)
    assert not done(Counts(received=1010, seen=1000, found=7, failed=0), 1000)


def test_its_cpu_is_that_of_what_its_rules_saw_and_stands_beside_ours_with_and_without_kafka() -> None:
    run = Streamed(messages=1000, seen=800, found=7, seconds=2.0, cpu_s=0.08)
    assert (run.dropped, run.rate, run.cpu_us) == (200, 400.0, pytest.approx(100.0))
    ours = {"ingest": 20.0, "stream": 30.0, "kafka": 50.0, "mosquitto": 1000.0}
    assert times_ours(run.cpu_us, ours) == (pytest.approx(2.0), pytest.approx(1.0))


def test_without_ekuiper_a_line_says_what_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ekuiper, "_FOLDER", tmp_path)
    monkeypatch.setattr(command, "missing", tuple)
    monkeypatch.setattr(sys, "argv", ["bench.city", "peers"])
    assert command.main() == 1
    assert capsys.readouterr().err == "not installed: no eKuiper 2.4.0; make bench-peers builds it\n"


def test_without_go_a_line_says_so(tmp_path: Path) -> None:
    script = tmp_path / "bench" / "ekuiper.sh"
    script.parent.mkdir()
    script.write_bytes(Path(ekuiper.__file__).with_suffix(".sh").read_bytes())
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    ended = subprocess.run(
        ["/bin/bash", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"not installed: eKuiper {ekuiper.VERSION}: it is built with Go 1.25 or later\n"
