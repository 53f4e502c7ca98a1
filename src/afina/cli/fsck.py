"""`afina fsck`: the check of what is stored, on a data directory that nobody serves."""

from afina.blobs import Blobs
from afina.cli.data_directory import exclusively
from afina.cli.output import CommandFailed
from afina.fsck import Finding
from afina.fsck import check as check_invariants
from afina.settings import Settings
from afina.store.database import Database


def check(settings: Settings) -> list[Finding]:
    """What does not hold, in the order of the invariants."""
    rows = settings.data if settings.database_url else settings.data / "afina.db"
    if not rows.exists():  # looking must not make what was never there
        raise CommandFailed(f"{rows} is not there", cure="name the data directory with --data")
    with exclusively(settings.data):
        return check_invariants(Database(settings.database), Blobs(settings.data / "blobs"))
