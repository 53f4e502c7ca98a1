"""How work that is not done yet goes back into the queue: at once, or after a pause that grows with each failure."""

from afina.store import work
from afina.worker.context import Context, Hold

MOST = 3
LONGEST_PAUSE = 60.0  # seconds


def put_down(context: Context, hold: Hold, *, pause: float = 0.0) -> None:
    """Let go of work that nothing is wrong with."""
    with context.database.system() as scope:
        work.release(scope, hold.claim, delay=pause)


def put_back(context: Context, hold: Hold, *, failed: int) -> None:
    """Let go of work that has failed so many times since it last came further; 0 means that it just has."""
    with context.database.system() as scope:
        work.release(scope, hold.claim, delay=pause_after(failed), attempts=failed)


def pause_after(failed: int) -> float:
    """0, 1, 2, 4 seconds and so on."""
    return min(LONGEST_PAUSE, 2.0 ** min(failed - 1, 10)) if failed else 0.0
