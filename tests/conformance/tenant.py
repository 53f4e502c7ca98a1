"""The installation that the suite talks to, founded anew for each test, with the rows that it takes for granted."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import delete

from afina.blobs import Blobs
from afina.serving import registry
from afina.settings import Settings
from afina.store import keys
from afina.store.database import Database
from afina.store.scope import System
from afina.store.tables import metadata
from conformance.calls import Call
from conformance.rows import ROWS, Wanted

FOUNDATION = ("organizations", "projects", "keys", "hosts")


@dataclass(frozen=True)
class Tenant:
    """One project, and the place of its rows and bytes."""

    database: Database
    blobs: Blobs
    project_id: str

    @classmethod
    def of(cls, settings: Settings, key: str) -> "Tenant":
        """The project of a key."""
        database = Database(settings.database)
        with database.system(read=True) as system:
            found = keys.find(system, key)
        assert found is not None, "the server that the suite talks to has another key"
        return cls(database, Blobs(settings.data / "blobs"), found.project_id)

    def prepare(self, calls: list[Call]) -> None:
        """Forget what earlier tests left, then write what these calls need."""
        with self.database.scope(self.project_id) as scope:
            clear(System(scope.connection))
            for call in filter(is_sent, calls):
                for argument, write in ROWS.items():
                    for name in named(call.arguments.get(argument)):
                        write(Wanted(scope, self.blobs, call.method, name))


def clear(system: System) -> None:
    """An installation as its first start leaves it."""
    for table in reversed(metadata.sorted_tables):
        if table.name not in FOUNDATION:
            system.connection.execute(delete(table))
    registry.register_bundled(system)


def is_sent(call: Call) -> bool:
    """Whether the client lets a call through; one with an empty id it refuses by itself."""
    return "" not in call.arguments.values()


def named(value: object) -> list[str]:
    """The ids in an argument: it is one, several or none; a grader names the model that it asks."""
    match value:
        case str():
            return [value]
        case dict():
            return named(cast("dict[str, object]", value).get("model"))
        case list():
            return [name for each in cast("list[object]", value) for name in named(each)]
        case _:
            return []
