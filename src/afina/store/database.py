"""The database: SQLite in a file, or PostgreSQL by URL; it hands out transactions."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry

from afina.errors import NoSuchProject, clipped
from afina.store.failures import database_busy, translated
from afina.store.filesystem import refuse_network_filesystem
from afina.store.scope import Scope, System
from afina.store.tables import projects

WAIT_SECONDS = 5.0  # for a lock; then the caller hears "busy, try again"
WAL_IS_SAFE = (3, 51, 3)  # earlier versions can corrupt a database when the write-ahead log is reset


class Database:
    """Rows behind a URL, shared by threads and processes.

    `scope(project)` and `system()` write, and commit when their block ends; `read(project)` and
    `system(read=True)` take no write lock. A database that stays locked or away raises `Unavailable`.
    """

    def __init__(self, url: str):
        self.engine = connect(url)
        # Writers of one process queue here and are woken; SQLite's own waiting guesses when to look again.
        self.turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None

    def upgrade(self) -> None:
        """Bring the tables to this version's shape, in one transaction; a newer shape is refused."""
        from afina.store import migrate  # Alembic doubles the time of this import, and one process needs it

        with self.transaction(write=True) as connection:
            migrate.upgrade(connection)

    @contextmanager
    def scope(self, project_id: str) -> Generator[Scope]:
        """One writing transaction on behalf of a project; NoSuchProject where it is not there or archived."""
        with self.transaction(write=True) as connection:
            yield enter(connection, project_id)

    @contextmanager
    def read(self, project_id: str) -> Generator[Scope]:
        """One reading transaction on behalf of a project."""
        with self.transaction(write=False) as connection:
            yield enter(connection, project_id)

    @contextmanager
    def system(self, *, read: bool = False) -> Generator[System]:
        """One transaction that belongs to no project."""
        with self.transaction(write=not read) as connection:
            yield System(connection)

    @contextmanager
    def transaction(self, *, write: bool) -> Generator[Connection]:
        """BEGIN, and COMMIT at the end of the block or ROLLBACK when it raises; a reader sees one moment."""
        with translated(), self.queue(write), self.engine.connect() as connection:
            connection.execution_options(afina_write=write, postgresql_readonly=not write)
            if not write and connection.dialect.name == "postgresql":  # SQLite's readers always do
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def queue(self, write: bool) -> Generator[None]:
        """Wait for this process's turn to write; only SQLite, which has one writer at a time, needs it."""
        if self.turn is None or not write:
            yield
            return
        if not self.turn.acquire(timeout=WAIT_SECONDS):
            raise database_busy()
        try:
            yield
        finally:
            self.turn.release()

    def close(self) -> None:
        """Give the connections back; a later transaction opens new ones."""
        self.engine.dispose()


def enter(connection: Connection, project_id: str) -> Scope:
    """The scope of a project that is in use."""
    query = select(projects.c.organization_id).where(
        projects.c.id == project_id, projects.c.archived_at.is_(None)
    )
    organization_id = connection.execute(query).scalar_one_or_none()
    if organization_id is None:
        raise NoSuchProject(f"No such project: {clipped(project_id)}")
    return Scope(connection, project_id, organization_id)


def connect(url: str) -> Engine:
    """An engine whose connections begin, wait and sync as this room promises."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return connect_sqlite(Path(parsed.database or ""))
    parsed = parsed.set(drivername="postgresql+psycopg")
    options = f"-c lock_timeout={int(WAIT_SECONDS * 1000)}"
    return create_engine(
        parsed,
        pool_size=10,
        max_overflow=30,
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,
        connect_args={"options": options},
    )


def connect_sqlite(file: Path) -> Engine:
    """A file on a local disk; its folder is made when it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    refuse_network_filesystem(file.parent)
    engine = create_engine(
        f"sqlite:///{file.absolute()}", pool_size=10, max_overflow=30, pool_timeout=WAIT_SECONDS
    )
    event.listen(engine, "connect", prepare_sqlite)
    event.listen(engine, "begin", begin_sqlite)
    return engine


def prepare_sqlite(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    """What a new connection to SQLite has to be told: to be durable, to wait, and to leave BEGIN to us.

    FULL also syncs the truncation of a rollback journal, so that a commit survives a power cut.
    """
    connection.isolation_level = None
    journal = "WAL" if sqlite3.sqlite_version_info >= WAL_IS_SAFE else "TRUNCATE"
    connection.execute(f"PRAGMA busy_timeout = {int(WAIT_SECONDS * 1000)}")
    connection.execute(f"PRAGMA journal_mode = {journal}").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: a reader that became a writer half way could deadlock."""
    write = connection.get_execution_options().get("afina_write", True)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
