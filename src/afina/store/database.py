"""The database: SQLite in a file, or PostgreSQL by URL; it hands out transactions."""

import json
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, bindparam, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry

from afina.errors import NoSuchProject, clipped
from afina.store.failures import database_busy, translated
from afina.store.filesystem import refuse_network_filesystem
from afina.store.scope import Scope, System
from afina.store.tables import projects

WAIT_SECONDS = 5.0  # for a lock; then the caller hears "busy, try again"
WAL_IS_SAFE = (3, 51, 3)  # earlier versions can corrupt a database when the write-ahead log is reset
IN_USE = select(projects.c.organization_id).where(
    projects.c.id == bindparam("project"), projects.c.archived_at.is_(None)
)


class Database:
    """Rows behind a URL, shared by threads and processes.

    `scope(project)` and `system()` write, and commit when their block ends; `read(project)` and
    `system(read=True)` take no write lock. A database that stays locked or away raises `Unavailable`.
    """

    def __init__(self, url: str):
        self.engine = connect(url)
        # Writers of one process queue here and are woken; SQLite's own waiting guesses when to look again.
        self.turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None
        self.watch = watch(self.engine) if self.turn else None

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

    def version(self) -> int | None:
        """A number that changes with every commit, whoever makes it; None where it cannot be told at once.

        It is told in microseconds, without waiting for anybody; only SQLite can.
        """
        if self.watch is None:
            return None
        try:
            (number,) = self.watch.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # somebody is just committing, or this has been closed
            return None
        return number

    def close(self) -> None:
        """Give the connections back; a later transaction opens new ones."""
        self.engine.dispose()
        if self.watch is not None:
            self.watch.close()


def enter(connection: Connection, project_id: str) -> Scope:
    """The scope of a project that is in use."""
    organization_id = connection.execute(IN_USE, {"project": project_id}).scalar_one_or_none()
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
        json_deserializer=read_json,
    )


def connect_sqlite(file: Path) -> Engine:
    """A file on a local disk; its folder is made when it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    refuse_network_filesystem(file.parent)
    engine = create_engine(
        f"sqlite:///{file.absolute()}",
        pool_size=40,  # as many as the threads that serve requests; a few others may wait for one of them
        max_overflow=0,  # one beyond the pool would be opened and closed for every transaction
        pool_use_lifo=True,  # the last one used has its pages and statements at hand
        pool_timeout=WAIT_SECONDS,
        json_deserializer=read_json,
    )
    event.listen(engine, "connect", prepare_sqlite)
    event.listen(engine, "begin", begin_sqlite)
    return engine


def read_json(text: str) -> object:
    """What a column of JSON holds; pydantic's reader is the quick one, Python's knows lone surrogates too."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


def watch(engine: Engine) -> sqlite3.Connection:
    """A connection that only looks whether others have committed, and waits for none of them."""
    return sqlite3.connect(
        engine.url.database or "", timeout=0, isolation_level=None, check_same_thread=False
    )


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
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
    if write:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        driver.execute("BEGIN")  # it takes no lock yet, so that there is no failure to translate
