"""Run by Alembic on the connection that ``alerts.store.migrate`` hands over, inside its transaction."""

from alembic import context

from alerts.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
