"""The tables of a database: made, upgraded, left alone."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from alerts.store.store import Store
from alerts.store.tables import METADATA
from zhiwei.errors import ZhiweiError
from zhiwei.sql import file_of


def test_migrations_make_the_tables_that_the_code_describes(store):
    difference = store.transact_here(
        lambda connection: compare_metadata(MigrationContext.configure(connection), METADATA)
    )
    assert difference == []


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
    with pytest.raises(ZhiweiError, match=r"revision '9999', this version knows up to '0002'.*newer version"):
        Store.open(tmp_path)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    file_of(tmp_path, "events").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ZhiweiError, match=r"event store .*events\.sqlite: file is not a database"):
        Store.open(tmp_path)


def test_a_store_that_should_exist_is_not_made_by_looking_for_it(tmp_path):
    with pytest.raises(ZhiweiError, match="no event store at"):
        Store.open_existing(tmp_path)
    assert list(tmp_path.iterdir()) == []
