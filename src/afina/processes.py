"""Children that end with their parent: no process of ours is left over, however we end."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def die_with(parent: int, how: signal.Signals) -> None:
    """Have the kernel send `how` to this process when the thread of `parent` that started it ends (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), how)
