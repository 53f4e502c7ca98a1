"""What a worker does between claims: hosts that somebody waits for are started, those that ended are noticed."""

import logging
import threading
from collections.abc import Callable

from afina.errors import AfinaError
from afina.store import hosts as host_rows
from afina.worker import bases
from afina.worker.context import Context

log = logging.getLogger(__name__)


def between_claims(context: Context) -> Callable[[], None]:
    """The function that the loop calls between claims."""
    starting: set[str] = set()

    def tend() -> None:
        context.hosts.sweep()
        with context.database.system(read=True) as scope:
            wanted = host_rows.wanted(scope, within_seconds=context.settings.host_start_seconds)
        for base in set(wanted) - starting:
            starting.add(base)
            threading.Thread(target=start, args=(base,), name=f"start-{base}").start()

    def start(base: str) -> None:
        try:
            found = bases.find(context, base)
            context.hosts.ensure(found.name, found.folder)
        except AfinaError as error:
            log.warning("host does not start base=%s reason=%s", base, error.message)
        finally:
            starting.discard(base)

    return tend
