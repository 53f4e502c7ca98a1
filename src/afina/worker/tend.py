"""What a worker does between claims: hosts are started and missed, bytes without rows are taken away."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from afina.errors import AfinaError, Unavailable
from afina.store import hosts as host_rows
from afina.store import retention
from afina.worker import bases
from afina.worker.context import Context
from afina.worker.sweep import expire, forget_runs, forget_tokens, sweep

log = logging.getLogger(__name__)

REST_SECONDS = 10.0  # after a start that failed
SWEEP_SECONDS = 600.0
IDLE_SECONDS = 600.0  # behind the last chat with a model that was tuned as a whole, its host ends


def between_claims(context: Context) -> Callable[[], None]:
    """The function that the loop calls between claims."""
    busy: set[str] = set()
    rested: dict[str, float] = {}
    sweep_due = 0.0

    def tend() -> None:
        nonlocal sweep_due
        if time.monotonic() >= sweep_due:
            sweep_due = time.monotonic() + SWEEP_SECONDS
            take_away(context)
        context.hosts.sweep()
        with context.database.system(read=True) as scope:
            wanted = host_rows.wanted(scope, within_seconds=context.settings.host_start_seconds)
            left = host_rows.left(scope, context.hosts.owner, idle_seconds=IDLE_SECONDS)
        for base in set(wanted) - busy:
            if time.monotonic() >= rested.get(base, 0.0):
                aside(start, base)
        for base in set(left) - busy:
            aside(partial(context.hosts.end, idle_seconds=IDLE_SECONDS), base)

    def aside(do: Callable[[str], None], base: str) -> None:
        """Claims do not wait for a host that comes or goes."""
        busy.add(base)
        threading.Thread(target=attempt, args=(do, base), name=f"tend-{base}").start()

    def attempt(do: Callable[[str], None], base: str) -> None:
        try:
            do(base)
        except AfinaError as error:
            log.warning("host does not start or end base=%s reason=%s", base, error.message)
            rested[base] = time.monotonic() + REST_SECONDS
        finally:
            busy.discard(base)

    def start(base: str) -> None:
        context.hosts.ensure(base, bases.folder(context, base))

    return tend


def take_away(context: Context) -> None:
    """What nobody needs; a database that is busy is asked again next time."""
    try:
        expired = expire(context.database, context.blobs)
        forgotten = forget_tokens(context.database, context.settings.tokens)
        forget_runs(context.database, context.settings.data / "runs")
        swept = sweep(context.database, context.blobs)
        with context.database.system() as system:
            rows = retention.forget(system)
    except Unavailable as error:
        log.warning("what nobody needs stays reason=%s", error.message)
    else:
        log.info(
            "taken away files=%d tokens_of_files=%d blobs_without_rows=%d old_rows=%d",
            expired,
            forgotten,
            swept,
            rows,
        )
