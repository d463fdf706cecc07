"""The tables of a database: made, upgraded, left alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text

from alerts.store.store import Store
from alerts.store.tables import METADATA, OUTBOX
from zhiwei.errors import ZhiweiError
from zhiwei.sql import file_of, open_engine, sqlite_url


def test_migrations_make_the_tables_that_the_code_describes(store):
    difference = store.transact_here(
        lambda connection: compare_metadata(MigrationContext.configure(connection), METADATA)
    )
    assert difference == []


def test_processes_that_start_at_once_make_one_set_of_tables(store):
    engine, together = store._engine, Barrier(4)
    with engine.begin() as connection:
        METADATA.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))

    def start(_):
        together.wait()
        Store(open_engine(engine.url.render_as_string(hide_password=False))).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    assert (
        store.transact_here(lambda c: c.execute(text("SELECT count(*) FROM alembic_version")).scalar()) == 1
    )


def test_opening_again_keeps_what_is_there(tmp_path):
    first = Store.open(tmp_path)
    first.transact_here(lambda c: c.execute(text("INSERT INTO ledger VALUES ('findings', 0, 'folded', 7)")))
    first.close()
    second = Store.open(tmp_path)
    assert second.transact_here(lambda c: c.execute(text("SELECT records FROM ledger")).scalar()) == 7
    second.close()


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path):
    newer = Store.open(tmp_path)
    newer.transact_here(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    newer.close()
    with pytest.raises(ZhiweiError, match=r"revision '9999', this version knows up to '0004'.*newer version"):
        Store.open(tmp_path)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    file_of(tmp_path, "events").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ZhiweiError, match=r"event store .*events\.sqlite: file is not a database"):
        Store.open(tmp_path)


def test_a_store_that_should_exist_is_not_made_by_looking_for_it(tmp_path):
    with pytest.raises(ZhiweiError, match="no event store at"):
        Store.open_existing(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_dispatches_of_an_older_version_get_the_lane_of_their_incidents_topic(tmp_path):
    """Tables of revision 0002 with an incident of each topic, one waiting dispatch each."""
    engine = open_engine(sqlite_url(file_of(tmp_path, "events")))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "alerts.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for n, topic in enumerate(["findings", "findings.urgent"]):
            connection.execute(
                text(
                    "INSERT INTO incidents (id, topic, partition, clock, state, scenario, severity, "
                    "historical, opened_us, body) "
                    "VALUES (:id, :topic, 0, 'live', 'open', 's', 'major', false, 1, :body)"
                ),
                {"id": f"i{n}", "topic": topic, "body": b"{}"},
            )
            connection.execute(
                text(
                    "INSERT INTO events (id, incident_id, sequence, kind, at_us, body) "
                    "VALUES (:event, :id, 1, 'opened', 1, :body)"
                ),
                {"event": f"e{n}", "id": f"i{n}", "body": b"{}"},
            )
            connection.execute(
                text(
                    "INSERT INTO outbox (id, event_id, sink, incident_id, sequence, priority, state, reason, "
                    "attempts, written_us, due_us, last_error) "
                    "VALUES (:id, :event, 'hook', :id, 1, 1, 'pending', '', 0, 1, 0, '')"
                ),
                {"event": f"e{n}", "id": f"i{n}"},
            )
    engine.dispose()
    store = Store.open(tmp_path)
    found = store.transact_here(
        lambda c: c.execute(select(OUTBOX.c.incident_id, OUTBOX.c.lane).order_by(OUTBOX.c.id)).all()
    )
    assert [tuple(row) for row in found] == [("i0", "ordinary"), ("i1", "urgent")]
    store.close()
