"""Claims work when there is room for it, keeps the claims alive, and answers for what goes wrong at this edge."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from afina.errors import FenceLost, Unavailable
from afina.store import work
from afina.worker.context import Context, Hold

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Kind:
    """What is done for one kind of work, how much of it at once, and what follows when it cannot be done."""

    do: Callable[[Context, Hold], None]
    give_up: Callable[[Context, Hold], None]
    slots: int


class Loop:
    """One worker's claims."""

    def __init__(self, context: Context, kinds: Mapping[str, Kind], owner: str):
        self.context = context
        self.kinds = kinds
        self.owner = owner
        self.holds: dict[str, Hold] = {}
        self.pool = ThreadPoolExecutor(sum(kind.slots for kind in kinds.values()), "work")

    def run(self, tend: Callable[[], None]) -> None:
        """Claim until told to drain; `tend` is called between claims. Returns when all work is put down."""
        done = threading.Event()
        heart = threading.Thread(target=self.beat, args=(done,), name="heart")
        heart.start()
        while not self.context.draining.is_set():
            tend()
            if not self.claim_one():
                self.context.draining.wait(TICK_SECONDS)
        self.pool.shutdown()
        done.set()
        heart.join()

    def claim_one(self) -> bool:
        """Take the next piece of work there is room for; False when there is none."""
        busy = Counter(hold.claim.kind for hold in list(self.holds.values()))
        kinds = [name for name, kind in self.kinds.items() if busy[name] < kind.slots]
        if not kinds:
            return False
        with self.context.database.system() as scope:
            lease = self.context.settings.lease_seconds
            claim = work.claim(scope, self.owner, kinds, lease_seconds=lease)
        if claim is None:
            return False
        hold = self.holds[claim.subject] = Hold(claim)
        self.pool.submit(self.see_through, hold)
        return True

    def see_through(self, hold: Hold) -> None:
        """Do one piece of work; what cannot be done now is tried again, a few times, behind a growing pause."""
        claim = hold.claim
        kind = self.kinds[claim.kind]
        try:
            if claim.attempts >= MOST_ATTEMPTS:
                kind.give_up(self.context, hold)
            else:
                kind.do(self.context, hold)
        except FenceLost:
            log.info("claim lost subject=%s fence=%d", claim.subject, claim.fence)
        except Unavailable as error:
            log.warning("work waits subject=%s reason=%s", claim.subject, error.message)
            self.put_back(hold)
        except Exception:  # the worker's edge: one piece of work must not end the others
            log.exception("work broke subject=%s kind=%s", claim.subject, claim.kind)
            self.put_back(hold)
        finally:
            del self.holds[claim.subject]

    def put_back(self, hold: Hold) -> None:
        """Let go of a claim, to be taken up again after 1, 2, 4 seconds; one attempt is spent."""
        spent = hold.claim.attempts + 1
        with self.context.database.system() as scope:
            work.release(scope, hold.claim, delay=2.0 ** (spent - 1), attempts=spent)

    def beat(self, done: threading.Event) -> None:
        """Renew every claim three times a lease."""
        while not done.wait(self.context.settings.lease_seconds / 3):
            for hold in list(self.holds.values()):
                self.renew(hold)

    def renew(self, hold: Hold) -> None:
        """Keep one claim; a claim that is lost is told so. A busy database is asked again at the next beat."""
        try:
            with self.context.database.system() as scope:
                kept = work.renew(scope, hold.claim, self.context.settings.lease_seconds)
        except Unavailable:
            return
        if not kept:
            hold.lost.set()
