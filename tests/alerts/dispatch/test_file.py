"""The JSONL file: whole lines, each event once, whatever happens to the file."""

import asyncio
import errno
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.dispatch import file as module
from alerts.dispatch.file import FileSink
from zhiwei.contracts import Delivery
from zhiwei.errors import Retryable
from zhiwei.settings import File


def event(n):
    body = json.dumps({"id": f"{n:032x}", "data": "x" * n}).encode()
    return Delivery(id=f"{n:032x}", body=body, subject="s", attempt=1)


def write(path, clock, *numbers):
    async def run():
        sink = FileSink(File(name="f", path=str(path)), clock)
        await sink.open()
        for n in numbers:
            await sink.deliver(event(n))
        await sink.close()

    asyncio.run(run())


def whole(path):
    """Numbers of the events on whole lines; what is no JSON is skipped."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(int(json.loads(line)["id"], 16))
        except ValueError:
            continue
    return found


def test_each_event_is_one_line_in_order(tmp_path, clock):
    path = tmp_path / "made" / "events.jsonl"
    write(path, clock, 1, 2, 3)
    assert path.read_bytes() == b"".join(event(n).body + b"\n" for n in (1, 2, 3))


def test_an_event_that_is_there_is_not_appended_again(tmp_path, clock):
    path = tmp_path / "events.jsonl"
    write(path, clock, 1, 2, 2, 1)
    write(path, clock, 2, 3, 1)
    assert whole(path) == [1, 2, 3]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_crash_at_any_byte_leaves_every_event_once_on_a_line_of_its_own(tmp_path, clock, data):
    path = tmp_path / "events.jsonl"
    path.unlink(missing_ok=True)
    write(path, clock, 1, 2)
    size = path.stat().st_size
    write(path, clock, 3)
    os.truncate(path, data.draw(st.integers(size, path.stat().st_size)))
    write(path, clock, 3, 4)  # the outbox sends again what it does not know to be there
    assert whole(path) == [1, 2, 3, 4]
    assert path.read_bytes().endswith(b"\n")


def test_a_write_that_fails_half_way_is_mended_by_the_next_attempt(tmp_path, clock, monkeypatch):
    path = tmp_path / "events.jsonl"
    full = [True]
    real = os.write

    def write_half(handle, data):
        if not full:
            return real(handle, data)
        if len(data) > 10:
            return real(handle, data[:10])
        full.clear()
        raise OSError(errno.ENOSPC, "No space left on device")

    async def run():
        sink = FileSink(File(name="f", path=str(path)), clock)
        await sink.deliver(event(1))
        monkeypatch.setattr(module.os, "write", write_half)
        with pytest.raises(Retryable, match="No space left on device"):
            await sink.deliver(Delivery(id=event(2).id, body=event(2).body[:15], subject="s", attempt=1))
        await sink.deliver(event(2))
        await sink.deliver(event(2))

    asyncio.run(run())
    assert whole(path) == [1, 2]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path, clock):
    path = tmp_path / "events.jsonl"

    async def run():
        sink = FileSink(File(name="f", path=str(path)), clock)
        await sink.deliver(event(1))
        path.rename(tmp_path / "old.jsonl")
        await sink.deliver(event(2))
        path.unlink()
        await sink.deliver(event(2))

    asyncio.run(run())
    assert (whole(tmp_path / "old.jsonl"), whole(path)) == ([1], [2])


def test_only_the_end_of_a_long_file_is_looked_through(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "TAIL_BYTES", 300)
    path = tmp_path / "events.jsonl"
    write(path, clock, *range(1, 40))
    write(path, clock, 39, 38, 1)
    assert whole(path) == [*range(1, 40), 1]


def test_events_delivered_side_by_side_do_not_mix(tmp_path, clock, monkeypatch):
    path = tmp_path / "events.jsonl"
    real = os.write
    monkeypatch.setattr(module.os, "write", lambda handle, data: real(handle, data[:7]))

    async def run():
        sink = FileSink(File(name="f", path=str(path)), clock)
        await asyncio.gather(*(sink.deliver(event(n)) for n in range(1, 30)))

    asyncio.run(run())
    assert sorted(whole(path)) == list(range(1, 30))
    assert path.read_bytes().count(b"\n") == 29


@pytest.mark.parametrize("kind", ["directory", "fifo", "no directory"])
def test_what_cannot_be_written_is_tried_again_with_its_name(tmp_path, clock, kind):
    path = tmp_path / "events.jsonl"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        (tmp_path / "plain").write_text("")
        path = tmp_path / "plain" / "events.jsonl"
    with pytest.raises(Retryable, match=str(path)):
        write(path, clock, 1)
