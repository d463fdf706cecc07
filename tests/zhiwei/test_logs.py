"""One event, one line, whatever stands in its fields."""

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiwei import logs


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to stderr once logging is configured; the root logger is as before afterwards."""
    root, ours = logging.getLogger(), logs.logger
    before = root.handlers[:], root.level, ours.level
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    logs.configure("INFO")
    yield written
    root.handlers[:], level, ours_level = before
    root.setLevel(level)
    ours.setLevel(ours_level)


def tail(stream: io.StringIO) -> list[str]:
    """Lines without date and time."""
    return [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()]


def test_a_line_is_a_message_and_its_fields(stream: io.StringIO) -> None:
    logs.say(logs.logger.getChild("ingest"), logging.INFO, "started", port=1883, host="127.0.0.1")
    assert tail(stream) == ["info zhiwei.ingest started port=1883 host=127.0.0.1"]


def test_values_that_are_not_one_plain_word_are_quoted(stream: io.StringIO) -> None:
    logs.say(
        logs.logger, logging.WARNING, "refused", a="x y", b="k=v", c="", d="泵房", e='"', f="a\nb", g=None
    )
    assert tail(stream) == ["warning zhiwei refused a='x y' b='k=v' c='' d=泵房 e='\"' f='a\\nb' g=None"]


@given(st.text(max_size=10))
def test_no_value_begins_a_line_of_its_own(value: str) -> None:
    record = logging.makeLogRecord({"name": "zhiwei", "msg": "x", "fields": {"value": value}})
    assert len(logs._Line().format(record).splitlines()) == 1


@pytest.mark.parametrize("name", ["log", "level", "message", "name", "msg", "args"])
def test_a_field_may_have_any_name(stream: io.StringIO, name: str) -> None:
    logs.say(logs.logger, logging.INFO, "x", **{name: 1})
    assert tail(stream) == [f"info zhiwei x {name}=1"]


def test_a_message_of_a_library_stays_one_line(stream: io.StringIO) -> None:
    logging.getLogger("library").warning("first\nsecond")
    assert tail(stream) == ["warning library first\\nsecond"]


def test_libraries_speak_from_warning_on_and_we_from_the_level_set(stream: io.StringIO) -> None:
    logging.getLogger("library").info("chatter")
    logs.say(logs.logger, logging.DEBUG, "detail")
    logs.say(logs.logger, logging.INFO, "said")
    assert tail(stream) == ["info zhiwei said"]


def test_a_traceback_follows_its_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        logs.logger.exception("failed")
    assert stream.getvalue().splitlines()[0].endswith("error zhiwei failed")
    assert stream.getvalue().splitlines()[-1] == "ValueError: x"


def test_configuring_twice_does_not_say_things_twice(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("INFO")
    logs.say(logs.logger, logging.INFO, "once")
    assert tail(stream) == ["info zhiwei once"]
