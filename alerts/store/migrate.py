"""Brings a database to the tables of this version, at start, in one transaction."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from zhiwei.errors import ZhiweiError
from zhiwei.sql import alone


def migrate(connection: Connection) -> None:
    """Create or upgrade the tables.

    Raises ZhiweiError where a newer version has written the database: it is left as it is.
    """
    alone(connection, "tables of the event store")
    config = Config()
    config.set_main_option("script_location", "alerts.store:migrations")
    config.attributes["connection"] = connection
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise ZhiweiError(
            f"the event store has tables of revision {revision!r}, this version knows up to {max(known)!r}: "
            "it was written by a newer version; start that one, or use another data directory"
        )
    command.upgrade(config, "head")
