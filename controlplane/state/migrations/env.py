"""What alembic runs for each of its commands: it works on the connection that `migrations.config`
was given."""

from __future__ import annotations

from alembic import context

from controlplane.state.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
