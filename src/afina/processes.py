"""What our processes have in common: they end with their parent, log alike, and look for garbage in what is new."""

import ctypes
import gc
import logging
import os
import signal

PR_SET_PDEATHSIG = 1
LOG_LINE = "time=%(asctime)s level=%(levelname)s name=%(name)s %(message)s"
CHATTY = ("alembic", "httpx")


def die_with(parent: int, how: signal.Signals) -> None:
    """Have the kernel send `how` to this process when the thread of `parent` that started it ends (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), how)


def log_to_stderr(level: str) -> None:
    """One line an entry, `key=value`; libraries that report their daily work speak up from warnings on."""
    logging.basicConfig(level=level.upper(), format=LOG_LINE)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def settle() -> None:
    """What has been built until now is there to stay: nobody shall look through it for garbage again.

    Libraries build hundreds of thousands of objects as they are imported, and a training step makes enough of its own
    for all of them to be looked at every few steps.
    """
    gc.collect()
    gc.freeze()
