"""What Alembic runs: the migrations, on the connection and in the transaction of `store.migrate`."""

from alembic import context
from sqlalchemy import Connection

from afina.store.tables import metadata

connection = context.config.attributes["connection"]
assert isinstance(connection, Connection)
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
