"""From the tables that a database has to the tables that this version needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from afina.errors import AfinaError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7_236_211  # any number: PostgreSQL's name for "one migration at a time"


def upgrade(connection: Connection) -> None:
    """Run what is missing inside the caller's transaction; a database of a newer version is refused."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    refuse_newer(connection, config)
    command.upgrade(config, "head")


def refuse_newer(connection: Connection, config: Config) -> None:
    """An old program must not write into tables that it does not understand."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise AfinaError(
                f"This database has schema {revision}, which a newer version of Afina made. "
                "Install that version again, or restore the backup that was taken before the upgrade."
            )
