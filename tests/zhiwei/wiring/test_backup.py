"""A backup is a consistent set or none; a restore makes what was, or changes nothing."""

import shutil
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from alerts.store.store import Store
from alerts.store.tables import APPLIED
from streams.engine.store import StateStore
from zhiwei.clock import SystemClock
from zhiwei.commitlog import CommitLog
from zhiwei.contracts import Entry
from zhiwei.errors import LogMismatch, ZhiweiError
from zhiwei.settings import Kafka, Settings
from zhiwei.sql import open_database
from zhiwei.wiring.backup import MANIFEST, backup, restore

CLOCK = SystemClock()
TOPIC = "readings.water"
READ = 3
"""Records that state and incidents have read, of 5."""


def settings_of(folder: Path) -> Settings:
    return Settings(site="s", data_dir=str(folder))


def log(here: Settings, name: str) -> CommitLog:
    return CommitLog(here.data / "log", name, writer=True)


@pytest.fixture
def bed(tmp_path: Path) -> Settings:
    """A data directory with five readings and findings, three of each read; nothing runs on it."""
    here = settings_of(tmp_path / "data")
    with log(here, "readings") as readings, log(here, "findings") as findings:
        readings.create_topic(TOPIC, 1)
        readings.append([Entry(TOPIC, 0, b"r%d" % n) for n in range(5)])
        findings.create_topic("findings", 1)
        findings.append([Entry("findings", 0, b"f%d" % n) for n in range(5)])
        state = StateStore(open_database(here, "state"))
        kept = state.take(TOPIC, 0, log=readings.id, partitions=1, end=5)
        state.save(TOPIC, 0, epoch=kept.epoch, applied=READ - 1, head=b"head", chunk=b"rows", base=True)
        store = Store.of(here)
        try:
            with open_database(here, "events").begin() as connection:
                connection.execute(
                    insert(APPLIED).values(
                        topic="findings", partition=0, log_id=findings.id, partitions=1, next_offset=READ
                    )
                )
        finally:
            store.close()
    (here.data / "console.json").write_text("{}")
    lane = here.data / "telemetry" / "water" / "readings_x_1"
    lane.mkdir(parents=True)
    (lane / "progress.json").write_text("{}")
    (lane / "0-0-3.parquet").write_bytes(b"rows")
    (lane / ".draft-0-3-5.parquet").write_bytes(b"half")
    return here


def test_what_is_restored_is_what_was(bed: Settings, tmp_path: Path) -> None:
    list(backup(bed, tmp_path / "set", CLOCK))
    there = settings_of(tmp_path / "there")
    list(restore(there, tmp_path / "set", CLOCK))
    with log(bed, "readings") as before, log(there, "readings") as after:
        assert after.id == before.id
        assert after.read(TOPIC, 0, 0) == before.read(TOPIC, 0, 0)
        kept = StateStore(open_database(there, "state")).take(TOPIC, 0, log=after.id, partitions=1, end=5)
    assert (kept.applied, kept.head, kept.chunks) == (READ - 1, b"head", [b"rows"])
    lane = there.data / "telemetry" / "water" / "readings_x_1"
    assert sorted(file.name for file in lane.iterdir()) == ["0-0-3.parquet", "progress.json"]
    assert (there.data / "console.json").read_text() == "{}"


def test_what_the_log_got_while_it_was_copied_does_not_harm(
    bed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two copies the bed appends, and reads to the end."""
    from zhiwei.wiring import backup as subject

    copy = subject._copy_database

    def goes_on(source: Path, target: Path) -> None:
        copy(source, target)
        with log(bed, "readings") as readings:
            readings.append([Entry(TOPIC, 0, b"more")])
            end = readings.end(TOPIC, 0)
            state = StateStore(open_database(bed, "state"))
            kept = state.take(TOPIC, 0, log=readings.id, partitions=1, end=end)
            state.save(TOPIC, 0, epoch=kept.epoch, applied=end - 1, head=b"h", chunk=b"c", base=True)

    monkeypatch.setattr(subject, "_copy_database", goes_on)
    list(backup(bed, tmp_path / "set", CLOCK))
    there = settings_of(tmp_path / "there")
    list(restore(there, tmp_path / "set", CLOCK))
    with log(there, "readings") as after:
        end = after.end(TOPIC, 0)
        kept = StateStore(open_database(there, "state")).take(TOPIC, 0, log=after.id, partitions=1, end=end)
    assert kept.applied < end - 1


def test_a_set_whose_state_is_ahead_of_its_log_is_not_kept(
    bed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zhiwei.wiring import backup as subject

    copy = subject._copy_database

    def shorter(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "readings.log":
            shutil.copy2(tmp_path / "short.log", target)

    with CommitLog(tmp_path, "readings", writer=True) as short:
        short.create_topic(TOPIC, 1)
    (tmp_path / "readings.log").rename(tmp_path / "short.log")
    monkeypatch.setattr(subject, "_copy_database", shorter)
    with pytest.raises(ZhiweiError, match="read up to 3, and the copy of the log has 0 to 0"):
        list(backup(bed, tmp_path / "set", CLOCK))
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / ".set.partial").exists()


def test_state_that_is_ahead_of_the_log_is_refused_after_all(bed: Settings) -> None:
    """Why the order matters: such a set would not start."""
    with log(bed, "readings") as readings, pytest.raises(LogMismatch, match="applied offset 2"):
        StateStore(open_database(bed, "state")).take(TOPIC, 0, log=readings.id, partitions=1, end=2)


@pytest.mark.parametrize("damage", ["changed", "missing", "format", "outside", "no manifest", "not json"])
def test_a_set_that_is_not_whole_is_refused_and_nothing_is_made(
    bed: Settings, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "set"
    list(backup(bed, folder, CLOCK))
    manifest = folder / MANIFEST
    said = msgspec.json.decode(manifest.read_bytes())
    match damage:
        case "changed":
            (folder / "state.sqlite").write_bytes(b"x")
        case "missing":
            (folder / "log" / "findings.log").unlink()
        case "format":
            manifest.write_bytes(msgspec.json.encode({**said, "format": 99}))
        case "outside":
            manifest.write_bytes(msgspec.json.encode({**said, "sha256": {"../x": "0"}}))
        case "no manifest":
            manifest.unlink()
        case "not json":
            manifest.write_bytes(b"{")
    there = settings_of(tmp_path / "there")
    with pytest.raises(ZhiweiError):
        list(restore(there, folder, CLOCK))
    assert not there.data.exists()


def test_nothing_is_written_over(bed: Settings, tmp_path: Path) -> None:
    list(backup(bed, tmp_path / "set", CLOCK))
    with pytest.raises(ZhiweiError, match="is there already"):
        list(backup(bed, tmp_path / "set", CLOCK))
    with pytest.raises(ZhiweiError, match="is not empty"):
        list(restore(bed, tmp_path / "set", CLOCK))


def test_another_site_is_refused(bed: Settings, tmp_path: Path) -> None:
    list(backup(bed, tmp_path / "set", CLOCK))
    with pytest.raises(ZhiweiError, match="is of site 's'"):
        list(restore(Settings(site="t", data_dir=str(tmp_path / "there")), tmp_path / "set", CLOCK))


def test_servers_are_not_copied(tmp_path: Path) -> None:
    with pytest.raises(ZhiweiError, match=r"docs/operations\.md"):
        list(backup(Settings(kafka=Kafka(servers="k:1")), tmp_path / "set", CLOCK))
