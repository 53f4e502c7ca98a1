"""Claims work when there is room for it, keeps the claims alive, and answers for what goes wrong at this edge."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from afina.errors import FenceLost, NoSuchProject, Unavailable
from afina.store import work
from afina.worker import attempts
from afina.worker.context import Context, Hold

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
TROUBLE_SECONDS = 3.0  # between looks at a database that fails: each of them is a line in the log
HOPELESS_PAUSE = 30.0  # seconds, where a retry helps only after somebody has done something


@dataclass(frozen=True)
class Kind:
    """What is done for one kind of work, how much of it at once, and what follows when it has failed so often.

    `fatal`: it reads what users sent in this process, and may end it: then the attempt is spent.
    """

    do: Callable[[Context, Hold], None]
    give_up: Callable[[Context, Hold], None]
    slots: int
    most: int = attempts.MOST
    fatal: bool = False


class Loop:
    """One worker's claims."""

    def __init__(self, context: Context, kinds: Mapping[str, Kind], owner: str):
        self.context = context
        self.kinds = kinds
        self.owner = owner
        self.holds: set[Hold] = set()
        self.pool = ThreadPoolExecutor(sum(kind.slots for kind in kinds.values()), "work")

    def run(self, tend: Callable[[], None]) -> None:
        """Claim until told to drain; `tend` is called between claims. Returns when all work is put down."""
        with self.heart(), self.pool:
            while not self.context.draining.is_set():
                if not self.turn(tend):
                    self.context.draining.wait(TICK_SECONDS)

    def turn(self, tend: Callable[[], None]) -> bool:
        """Tend, then claim once; False when there is nothing to do, or the database does not answer."""
        try:
            tend()
            return self.claim_one()
        except Unavailable as error:
            log.warning("worker waits reason=%s", error.message)
            self.context.draining.wait(TROUBLE_SECONDS)
            return False

    def claim_one(self) -> bool:
        """Take the next piece of work there is room for; False when there is none."""
        busy = Counter(hold.claim.kind for hold in list(self.holds))
        kinds = [name for name, kind in self.kinds.items() if busy[name] < kind.slots]
        if not kinds:
            return False
        fatal = {name for name, kind in self.kinds.items() if kind.fatal}
        # Work that may have ended a worker is tried one piece at a time: it takes few others with it.
        suspect = any(hold.claim.kind in fatal and hold.claim.attempts for hold in list(self.holds))
        with self.context.database.system() as scope:
            lease = self.context.settings.lease_seconds
            claim = work.claim(
                scope,
                self.owner,
                kinds,
                lease_seconds=lease,
                spending=fatal,
                fresh=fatal if suspect else (),
            )
        if claim is None:
            return False
        hold = Hold(claim)
        self.holds.add(hold)
        self.pool.submit(self.see_through, hold)
        return True

    def see_through(self, hold: Hold) -> None:
        """Do one piece of work, or put it back where it cannot be done now; a lease that is left runs out."""
        try:
            self.attempt(hold)
        except Unavailable as error:
            log.warning("work is left subject=%s reason=%s", hold.claim.subject, error.message)
        finally:
            self.holds.discard(hold)

    def attempt(self, hold: Hold) -> None:
        """What breaks is tried again a few times; what the machine cannot do at the moment, until it can."""
        claim = hold.claim
        kind = self.kinds[claim.kind]
        step = kind.give_up if claim.attempts >= kind.most else kind.do
        try:
            step(self.context, hold)
        except (FenceLost, NoSuchProject):  # somebody else has it, or its project was archived
            log.info("claim lost subject=%s fence=%d", claim.subject, claim.fence)
        except Unavailable as error:
            log.warning("work waits subject=%s reason=%s", claim.subject, error.message)
            attempts.put_down(self.context, hold, pause=error.retry_after or HOPELESS_PAUSE)
        except Exception:  # the worker's edge: one piece of work must not end the others
            log.exception("work broke subject=%s kind=%s", claim.subject, claim.kind)
            attempts.put_back(self.context, hold, failed=claim.attempts + 1)

    @contextmanager
    def heart(self) -> Generator[None]:
        """Renew every claim three times a lease, until the work is put down."""
        done = threading.Event()
        beating = threading.Thread(target=self.beat, args=(done,), name="heart")
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()

    def beat(self, done: threading.Event) -> None:
        """A beat that fails is followed by the next: without it, all claims would be lost."""
        while not done.wait(self.context.settings.lease_seconds / 3):
            for hold in list(self.holds):
                try:
                    self.renew(hold)
                except Unavailable as error:
                    log.warning("claim not renewed subject=%s reason=%s", hold.claim.subject, error.message)
                except Exception:  # the worker's other edge
                    log.exception("claim not renewed subject=%s", hold.claim.subject)

    def renew(self, hold: Hold) -> None:
        """Keep one claim; a claim that is lost is told so."""
        with self.context.database.system() as scope:
            kept = work.renew(scope, hold.claim, self.context.settings.lease_seconds)
        if not kept:
            hold.lost.set()
