"""Opening, migrating, locking, rolling back."""

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from afina.errors import AfinaError, NotFound, Unavailable
from afina.store import audit, files, keys, migrate, projects
from afina.store import database as module
from afina.store.database import Database
from afina.store.filesystem import refuse_network_filesystem
from afina.store.tables import metadata


def tables(database: Database) -> list[str]:
    return inspect(database.engine).get_table_names()


def test_the_migrations_make_the_tables_that_the_code_knows(database: Database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_again_changes_nothing(database: Database, project: str):
    database.upgrade()
    with database.read(project) as scope:
        assert scope.project_id == project


def test_several_programs_may_upgrade_at_once(empty_url: str):
    opened = [Database(empty_url) for _ in range(4)]
    threads = [threading.Thread(target=each.upgrade) for each in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in opened:
        assert "jobs" in tables(each)
        each.close()


def test_a_migration_that_dies_half_way_leaves_nothing(empty_url: str):
    database = Database(empty_url)
    with pytest.raises(RuntimeError), database.transaction(write=True) as connection:
        migrate.upgrade(connection)
        assert "jobs" in inspect(connection).get_table_names()
        raise RuntimeError("the power went away before the commit")
    assert tables(database) == []
    database.upgrade()
    assert "jobs" in tables(database)
    database.close()


def test_a_newer_schema_is_refused(database: Database):
    newer = "schema 9999, which a newer version"
    with pytest.raises(AfinaError, match=newer), database.transaction(write=True) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        migrate.upgrade(connection)


def test_what_raises_is_rolled_back(database: Database, project: str):
    with pytest.raises(RuntimeError), database.scope(project) as scope:
        keys.insert(scope, "sk-second", name="second", role="member")
        raise RuntimeError
    with database.system(read=True) as system:
        assert keys.find(system, "sk-second") is None


def test_a_reader_cannot_write(database: Database, project: str):
    with pytest.raises(DBAPIError), database.read(project) as scope:
        keys.insert(scope, "sk-second", name="second", role="member")
    with database.scope(project) as scope:  # the same connection, free again
        keys.insert(scope, "sk-second", name="second", role="member")


@pytest.mark.parametrize(
    "backend", ["postgresql"]
)  # a rollback journal lets nobody write while somebody reads
def test_a_reader_sees_one_moment(database: Database, project: str):
    with database.read(project) as reader:
        before = keys.page(reader).data
        with database.scope(project) as writer:
            second = keys.insert(writer, "sk-second", name="second", role="member")
        assert keys.page(reader).data == before
    for transaction in (database.read, database.scope):  # the connection that read is a writer's again
        with transaction(project) as scope:
            assert keys.page(scope).data == [second, *before]


def test_unknown_and_archived_projects_have_no_scope(database: Database, project: str):
    with pytest.raises(NotFound, match="No such project: proj_x"), database.scope("proj_x"):
        pass
    with database.transaction(write=True) as connection:
        connection.execute(text("UPDATE projects SET archived_at = 1"))
    with pytest.raises(NotFound), database.read(project):
        pass


def test_a_lock_that_stays_is_busy_not_an_error_of_ours(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    holder, waiter = Database(url), Database(url)
    change = text("INSERT INTO organizations (id, slug, name) VALUES ('org-x', 's', 'n')")
    with holder.transaction(write=True) as connection:
        connection.execute(change)
        with pytest.raises(Unavailable) as refused, waiter.transaction(write=True) as second:
            second.execute(change)
        assert (refused.value.code, refused.value.retry_after) == ("database_busy", 1)
    holder.close()
    waiter.close()


@pytest.mark.parametrize("backend", ["sqlite"])  # PostgreSQL has many writers
def test_threads_of_one_process_queue_for_writing(
    database: Database, project: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    refused: list[Unavailable] = []

    def write() -> None:
        try:
            with database.scope(project):
                pass
        except Unavailable as error:
            refused.append(error)

    with database.scope(project):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert [error.code for error in refused] == ["database_busy"]


def test_an_id_that_exists_asks_for_another_attempt(database: Database, project: str, other: str, new_file):
    with database.scope(project) as scope:
        taken = new_file(scope)
    with pytest.raises(Unavailable) as refused, database.scope(other) as scope:
        new_file(scope, id=taken.id)
    assert refused.value.code == "name_taken"
    with database.read(project) as scope:
        assert files.get(scope, taken.id) == taken


def test_a_server_that_is_away_is_busy():
    database = Database("postgresql://afina@127.0.0.1:1/afina")
    with pytest.raises(Unavailable) as refused:
        database.upgrade()
    assert refused.value.code == "database_busy"


@pytest.mark.parametrize("url", ["postgres://a@h/d", "postgresql://a@h/d", "postgresql+psycopg://a@h/d"])
def test_postgresql_goes_by_several_names(url: str):
    assert module.connect(url).url.drivername == "postgresql+psycopg"


def test_sqlite_is_durable_and_keeps_references(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'made' / 'afina.db'}")
    with database.transaction(write=False) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    safe = sqlite3.sqlite_version_info >= (3, 51, 3)
    assert found == {
        "journal_mode": "wal" if safe else "truncate",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


def test_a_full_disk_is_said_and_not_to_be_retried(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'afina.db'}")
    database.upgrade()
    with pytest.raises(Unavailable) as refused, database.system() as system:
        pages = system.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        system.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        for number in range(1000):
            projects.create_first(system, "sk-first")
            organization = system.connection.execute(text("SELECT id FROM organizations")).scalar_one()
            projects.create(system, organization, f"{number}" * 1000)
    assert (refused.value.code, refused.value.retry_after) == ("insufficient_storage", None)


MOUNTS = """\
/dev/root / ext4 rw 0 0
server:/share /srv/my\\040share nfs4 rw 0 0
/dev/sdb /srv/my\\040share/local ext4 rw 0 0
people@host: /home/remote fuse.sshfs rw 0 0
//nas/share /mnt/nas cifs rw 0 0
/dev/sdc /mnt/nas ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "refused"),
    [
        ("/srv/data", None),
        ("/srv/my share/data", "nfs4"),
        ("/srv/my share/local", None),
        ("/home/remote", "fuse.sshfs"),
        ("/mnt/nas/data", None),  # mounted over: the last mount counts
    ],
)
def test_network_filesystems_are_refused(folder: str, refused: str | None, tmp_path: Path):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    if refused is None:
        refuse_network_filesystem(Path(folder), mounts)
        return
    with pytest.raises(AfinaError, match=refused):
        refuse_network_filesystem(Path(folder), mounts)


def test_a_version_changes_with_every_commit_of_anybody(database: Database, project: str):
    other, before = Database(database.engine.url.render_as_string(hide_password=False)), database.version()
    if database.engine.dialect.name == "postgresql":
        assert before is None
        return
    with database.read(project) as scope:
        projects.organization(scope)
    assert database.version() == before is not None
    for writer in (database, other):
        with writer.scope(project) as scope:
            projects.rename(scope, "Another name", actor="test")
        assert database.version() != before
        before = database.version()
    other.close()


def test_json_is_read_as_it_was_written(database: Database, project: str):
    detail = {"lone surrogate": "\ud800", "large": 2**70, "nested": [{"a": None}, 1.5, "\u00e9"]}
    with database.scope(project) as scope:
        audit.record(scope, "test", "subject", actor="test", detail=detail)
    with database.read(project) as scope:
        assert audit.page(scope, subject="subject").data[0].detail == detail
