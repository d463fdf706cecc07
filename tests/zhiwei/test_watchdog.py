"""What hangs is told from what is slow, idle or waits for somebody else."""

from zhiwei.watchdog import Mark, Watch, marks_of

LAG = ("zhiwei_lag_records", (("partition", "0"), ("topic", "readings.water")))
APPLIED = ("zhiwei_applied_offset", (("partition", "0"), ("topic", "readings.water")))
TURN = ("zhiwei_stream_turn_timestamp_seconds", ())


def watch() -> Watch:
    return Watch(stall_s=60, start_s=300)


def test_records_that_wait_and_are_not_applied_are_a_hang_after_the_limit() -> None:
    one, waits = watch(), {"readings.water/0": Mark("7")}
    assert list(one.look(waits, 0)) == []
    assert list(one.look(waits, 59.9)) == []
    assert list(one.look(waits, 60)) == ["readings.water/0 has not moved for 60 s"]


def test_an_offset_that_moves_is_no_hang_however_much_waits() -> None:
    one = watch()
    assert not [said for second in range(500) for said in one.look({"p": Mark(str(second // 50))}, second)]


def test_a_partition_without_records_is_no_hang_and_begins_anew_with_the_first() -> None:
    one = watch()
    assert not [said for second in range(500) for said in one.look({"p": Mark("7", waits=False)}, second)]
    assert list(one.look({"p": Mark("7")}, 500)) == []
    assert list(one.look({"p": Mark("7")}, 559)) == []
    assert list(one.look({"p": Mark("7")}, 560)) != []


def test_a_partition_that_comes_back_is_not_held_to_what_it_was_before() -> None:
    one = watch()
    list(one.look({"p": Mark("7")}, 0))
    list(one.look({}, 30))
    assert list(one.look({"p": Mark("7")}, 70)) == []


def test_the_first_turn_may_take_longer_than_the_next() -> None:
    one = watch()
    list(one.look({"turn": Mark(0.0)}, 0))
    assert list(one.look({"turn": Mark(0.0)}, 299)) == []
    assert list(one.look({"turn": Mark(0.0)}, 300)) != []
    list(one.look({"turn": Mark(5.0)}, 301))
    assert list(one.look({"turn": Mark(5.0)}, 361)) != []


def test_marks_are_turns_and_partitions() -> None:
    found = marks_of("stream", {TURN: 12.0, LAG: 3.0, APPLIED: 0.0})
    assert found == {"turn": Mark(12.0), "readings.water/0": Mark("0.0", waits=True)}
    assert marks_of("stream", {LAG: 0.0, APPLIED: 9.0})["readings.water/0"].waits is False
    assert marks_of("ingest", {}) == {"turn": Mark(0.0)}
