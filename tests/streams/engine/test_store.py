"""The state store: who was replaced can do no harm, and the wrong log is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import event

from streams.engine.store import Skip, StateStore
from zhiwei.errors import Fenced, LogMismatch, Retryable
from zhiwei.sql import open_engine, sqlite_url
from zhiwei.testing.servers.installed import missing

DATABASES = ("sqlite", "postgres") if not missing() else ("sqlite",)


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database of each kind that is here."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "state.sqlite")
    emptied: str = request.getfixturevalue("emptied_database")
    return emptied


@pytest.fixture
def store(url: str) -> Iterator[StateStore]:
    engine = open_engine(url)
    yield StateStore(engine)
    engine.dispose()


def take(store: StateStore, *, log: str = "L", partitions: int = 1, end: int = 100) -> object:
    return store.take("readings.hold", 0, log=log, partitions=partitions, end=end)


def save(store: StateStore, epoch: int, applied: int, chunk: bytes = b"c", *, base: bool = False) -> bool:
    return store.save("readings.hold", 0, epoch=epoch, applied=applied, head=b"h", chunk=chunk, base=base)


def test_a_save_under_an_old_epoch_changes_nothing(store: StateStore) -> None:
    first = store.take("readings.hold", 0, log="L", partitions=1, end=100)
    save(store, first.epoch, 5, b"mine", base=True)
    second = store.take("readings.hold", 0, log="L", partitions=1, end=100)
    with pytest.raises(Fenced):
        save(store, first.epoch, 9, b"late")
    with pytest.raises(Fenced):
        store.skip("readings.hold", 0, epoch=first.epoch, skips=[Skip(1, 0, "a", "e")])
    kept = store.take("readings.hold", 0, log="L", partitions=1, end=100)
    assert (kept.epoch, kept.applied, kept.chunks, kept.skips) == (second.epoch + 1, 5, [b"mine"], [])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"log": "M"}, "belongs to log L, this log is M"),
        ({"partitions": 4}, "saved with 1 partitions, the topic has 4"),
        ({"end": 5}, "applied offset 5, the log ends at 5"),
    ],
)
def test_the_wrong_log_is_refused_and_nothing_is_changed(
    store: StateStore, wrong: dict[str, object], words: str
) -> None:
    save(store, store.take("readings.hold", 0, log="L", partitions=1, end=100).epoch, 5, base=True)
    with pytest.raises(LogMismatch, match=words):
        take(store, **wrong)  # type: ignore[arg-type]
    assert store.take("readings.hold", 0, log="L", partitions=1, end=100).epoch == 2


def test_changes_follow_their_base_until_they_outgrow_it(store: StateStore) -> None:
    epoch = store.take("readings.hold", 0, log="L", partitions=1, end=100).epoch
    assert not save(store, epoch, 1, b"base", base=True)
    assert not save(store, epoch, 2, b"one")
    assert store.take("readings.hold", 0, log="L", partitions=1, end=100).chunks == [b"base", b"one"]
    epoch += 1
    assert save(store, epoch, 3, b"x" * 2_000_000)
    assert not save(store, epoch, 4, b"anew", base=True)
    assert store.take("readings.hold", 0, log="L", partitions=1, end=100).chunks == [b"anew"]


def test_skips_are_kept_with_their_reason_and_read_back(store: StateStore) -> None:
    epoch = store.take("readings.hold", 0, log="L", partitions=1, end=100).epoch
    for _ in range(2):  # a replay sets the same row aside again
        store.skip("readings.hold", 0, epoch=epoch, skips=[Skip(7, 3, "a", "ValueError: x")])
    assert store.take("readings.hold", 0, log="L", partitions=1, end=100).skips == [(7, 3)]


def test_partitions_that_save_at_once_wait_for_each_other_however_long(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "state.sqlite"))
    store = StateStore(engine)
    event.listen(
        engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=0"), insert=True
    )

    def owner(partition: int) -> None:
        place = {"topic": "readings.x", "partition": partition}
        epoch = store.take(**place, log="L", partitions=8, end=100).epoch
        for applied in range(20):
            store.save(**place, epoch=epoch, applied=applied, head=b"h", chunk=b"c", base=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(owner, range(8)))
    assert [store.look("readings.x", partition)[0] for partition in range(8)] == [19] * 8


def test_processes_that_start_at_once_make_one_set_of_tables_and_take_under_epochs_of_their_own(
    url: str,
) -> None:
    workers, together = 6, Barrier(6)

    def start(_: int) -> list[int]:
        engine = open_engine(url)
        together.wait()
        store = StateStore(engine)
        epochs = []
        while len(epochs) < 5:
            try:
                epochs.append(take(store).epoch)
            except Retryable:  # another wrote the first row of the place just now
                continue
        engine.dispose()
        return epochs

    with ThreadPoolExecutor(workers) as pool:
        taken = sorted(epoch for epochs in pool.map(start, range(workers)) for epoch in epochs)
    assert taken == list(range(1, 5 * workers + 1))


def test_a_store_that_is_away_says_that_it_may_be_tried_again() -> None:
    with pytest.raises(Retryable, match="the state store: "):
        StateStore(open_engine("postgresql+psycopg://zhiwei@127.0.0.1:1/none"))
