"""`afina fsck`: the store's own check, on a data directory that nobody serves."""

from afina.blobs import Blobs
from afina.cli.data_directory import exclusively
from afina.cli.output import CommandFailed
from afina.fsck import Finding
from afina.fsck import check as check_invariants
from afina.settings import Settings
from afina.store.database import Database


def check(settings: Settings) -> list[Finding]:
    """What does not hold, in the order of the invariants."""
    if not settings.data.is_dir():
        raise CommandFailed(f"{settings.data} is not there", cure="name the data directory with --data")
    with exclusively(settings.data):
        return check_invariants(Database(settings.database), Blobs(settings.data / "blobs"))
