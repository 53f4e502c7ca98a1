"""The boundary around python graders: every way out is tried, and shown to be shut."""

import asyncio
import os
import platform
from pathlib import Path

import pytest

from afina.errors import InvalidRequest
from afina.graders import sandbox, seccomp
from afina.graders.errors import GradingFailed
from afina.graders.sandbox import MIB, Limits, Sandbox

REASON = sandbox.missing()
behind = pytest.mark.skipif(REASON is not None, reason=f"no boundary here: {REASON}")
LIMITS = Limits(seconds=60, memory=512 * MIB, disk=4 * MIB, files=64)


async def grade(
    body: str, sample: dict | None = None, item: dict | None = None, limits: Limits = LIMITS
) -> float:
    """What a grader with this body returns."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return await Sandbox(limits).grade(f"def grade(sample, item):\n{lines}", sample or {}, item or {})


async def refusal(body: str, limits: Limits = LIMITS) -> str:
    """Why a grader with this body earns nothing."""
    with pytest.raises(GradingFailed) as caught:
        await grade(body, limits=limits)
    assert caught.value.flags.python_grader_runtime_error
    assert caught.value.flags.python_grader_runtime_error_details == caught.value.reason
    return caught.value.reason


# Attempts that end at once are made one after the other by one grader: a name, what is tried, and how it ends.
SYSCALL = "import ctypes; n = ctypes.CDLL(None, use_errno=True).syscall({}, 0, 0, 0, 0, 0); "
SYSCALL += "0 if n >= 0 else (_ for _ in ()).throw(OSError(ctypes.get_errno(), ''))"
NUMBERS = {  # x86_64, aarch64
    "ptrace": (101, 117),
    "unshare": (272, 97),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    "clone": (56, 220),
    "clone3": (435, 435),
    "chroot": (161, 51),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "process_vm_readv": (310, 270),
    "open_by_handle_at": (304, 265),
    "personality": (135, 92),
    "setuid": (105, 146),
    "socketpair": (53, 199),
    "mq_open": (240, 180),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "a call that is yet to come": (999, 999),
}
NUMBER = {name: numbers[platform.machine() == "aarch64"] for name, numbers in NUMBERS.items()}
GONE, FIXED, NOT_ALLOWED = "FileNotFoundError 2", "OSError 30", "PermissionError 1"
ATTEMPTS: dict[str, tuple[str, str]] = {
    "read passwd": ("open('/etc/passwd').read()", GONE),
    "read shadow": ("open('/etc/shadow').read()", GONE),
    "read the host's disk": (f"open({__file__!r}).read()", GONE),
    "read the parent's environment": ("open('/proc/1/environ').read()", GONE),
    "read its own memory as a file": ("open('/proc/self/mem', 'rb').read()", GONE),
    "list processes": ("import os; os.listdir('/proc')", GONE),
    "list cgroups": ("import os; os.listdir('/sys')", GONE),
    "write beside the root": ("open('/stray', 'w')", FIXED),
    "write among the libraries": ("open('/usr/lib/stray', 'w')", FIXED),
    "write a device": ("import os; os.mkdir('/dev/shm')", FIXED),
    "write over the runner": ("open('/grader/inside.py', 'w')", FIXED),
    "leave a sitecustomize": (
        "import json, os; open(os.path.dirname(json.__file__) + '/../sitecustomize.py', 'w')",
        FIXED,
    ),
    "leave a .pth": ("import sys; open(sys.path[-1] + '/stray.pth', 'w')", FIXED),
    "leave bytecode": ("import py_compile, json; py_compile.compile(json.__file__, doraise=True)", FIXED),
    "a file of a terabyte": ("open('/tmp/sparse', 'wb').truncate(1 << 40)", "OSError 27"),
    "fill the disk": (
        "for i in range(9): open(f'/tmp/fill{i}', 'wb', 0).write(bytes(1 << 20))",
        "OSError 28",
    ),
    "a million files": ("for i in range(1_000_000): open(f'/tmp/{i}', 'w').close()", "OSError 28"),
    "a symlink out": ("import os; os.symlink('/etc/passwd', '/tmp/link'); open('/tmp/link')", GONE),
    "a hard link out": ("import os; os.link('/grader/inside.py', '/tmp/hard')", "OSError 18"),
    "a pipe by name": ("import os; os.mkfifo('/tmp/fifo')", NOT_ALLOWED),
    "TCP": ("import socket; socket.create_connection(('127.0.0.1', 80), 2)", NOT_ALLOWED),
    "UDP": ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", NOT_ALLOWED),
    "IPv6": ("import socket; socket.socket(socket.AF_INET6)", NOT_ALLOWED),
    "a Unix socket": ("import socket; socket.socket(socket.AF_UNIX).connect('\\0abstract')", NOT_ALLOWED),
    "netlink": ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", NOT_ALLOWED),
    "vsock": ("import socket; socket.socket(socket.AF_VSOCK)", NOT_ALLOWED),
    "a name's address": ("import socket; socket.getaddrinfo('example.com', 80)", "gaierror"),
    "fork": ("import os\nfor _ in range(1000): os.fork()", NOT_ALLOWED),
    "another program": ("import subprocess; subprocess.run(['/bin/true'])", NOT_ALLOWED),
    "threads": (
        "import threading\nfor _ in range(1000): threading.Thread(target=print).start()",
        "RuntimeError",
    ),
    "a session of its own": ("import os; os.setsid()", NOT_ALLOWED),
    "stop itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", NOT_ALLOWED),
    "kill the first process": ("import os; os.kill(1, 9)", NOT_ALLOWED),
    "kill everybody": ("import os; os.kill(-1, 9)", NOT_ALLOWED),
    "100 GB": ("bytearray(100 << 30)", "MemoryError"),
    "100 GB mapped": ("import mmap; mmap.mmap(-1, 100 << 30)", "OSError 12"),
    "more memory by a higher limit": (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        "ValueError",
    ),
    "recursion": ("f = lambda: f()\nf()", "RecursionError"),
    "a flood of descriptors": ("import os\nkept = [os.pipe() for _ in range(9999)]", "OSError 24"),
    "type into a terminal": ("import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')", "OSError 25"),
    "set the clock": ("import time; time.clock_settime(time.CLOCK_REALTIME, 0)", NOT_ALLOWED),
    "become root": ("import os; os.setuid(0)", NOT_ALLOWED),
    "shared memory": (
        "from multiprocessing import shared_memory as s; s.SharedMemory(create=True, size=9)",
        "Error",
    ),
} | {f"the system call {name}": (SYSCALL.format(number), NOT_ALLOWED) for name, number in NUMBER.items()}

TRYING = """
import os
ends = {}
for number, attempt in enumerate(item["attempts"]):
    try:
        exec(attempt, globals() | {"f": None})
        ends[number] = "got through"
    except BaseException as error:
        code = getattr(error, "errno", None)
        ends[number] = type(error).__name__ + (f" {code}" if code and type(error).__name__ != "gaierror" else "")
    kept = None
    for name in os.listdir("/tmp"):
        os.unlink("/tmp/" + name)
raise SystemExit(" | ".join(ends.values()))
"""


@pytest.fixture(scope="module")
def ends() -> dict[str, str]:
    """How each attempt ended."""

    async def attempt() -> str:
        with pytest.raises(GradingFailed) as caught:
            await grade(TRYING, item={"attempts": [code for code, _ in ATTEMPTS.values()]})
        return caught.value.reason

    reason = asyncio.run(attempt())
    assert reason.startswith("SystemExit: "), reason
    found = reason.removeprefix("SystemExit: ").rpartition(" (line")[0].split(" | ")
    return dict(zip(ATTEMPTS, found, strict=True))


@behind
@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_that_is_refused(name: str, ends: dict[str, str]):
    assert ATTEMPTS[name][1] in ends[name]


QUICK = Limits(seconds=3, memory=512 * MIB)
ENDLESS = {
    "a loop": "while True: pass",
    "a loop that ignores signals": (
        "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
        "while True:\n    try: signal.pause()\n    except BaseException: pass"
    ),
    "a number": "return float(len(str(9 ** 9 ** 9)))",
    "an expression": "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')",
    "sleep": "import time\ntime.sleep(1000)",
}


@behind
@pytest.mark.parametrize("name", ENDLESS)
async def test_what_does_not_end_is_ended(name: str):
    assert await refusal(ENDLESS[name], QUICK) in (
        "timed out after 3 s",
        "MemoryError: more memory than a grader may have",
    )


@behind
async def test_a_crash_is_no_reward():
    assert "without a reward" in await refusal("import os\nos._exit(0)")
    deep = (
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6): x = [x]\nreturn repr(x)"
    )
    assert "without a reward" in await refusal(deep)
    assert "without a reward" in await refusal("import ctypes\nctypes.string_at(0)")


@behind
async def test_a_printed_score_is_no_score():
    fake = "import sys, os, json\nfor _ in range(9): print(json.dumps({'nonce': '', 'reward': 100.0}))\nreturn 0.25"
    assert await grade(fake) == 0.25
    assert await grade("for _ in range(1000): print('x' * 65536)\nreturn 0.5") == 0.5


@behind
async def test_an_answer_that_is_written_over_is_none():
    everywhere = (
        "import os\nfor fd in range(3, 64):\n"
        '    try: os.write(fd, b\'{"nonce": "", "reward": 100.0}\')\n    except OSError: pass\nreturn 0.25'
    )
    assert "without a reward" in await refusal(everywhere)
    flood = (
        "import os\nfor fd in range(3, 64):\n    try:\n"
        "        while True: os.write(fd, bytes(65536))\n    except OSError: pass"
    )
    assert "65536 bytes" in await refusal(flood)


@behind
async def test_one_grade_leaves_nothing_to_the_next():
    leaves = (
        "import os, sys\nopen('/tmp/json.py', 'w').close()\nsys.path.insert(0, '/tmp')\nos.left = 1\nreturn 1"
    )
    finds = (
        "import os, sys, json\n"
        "assert not os.listdir('/tmp') and '/tmp' not in sys.path\n"
        "assert not hasattr(os, 'left') and json.loads('2') == 2\nreturn 2"
    )
    assert [await grade(leaves), await grade(finds)] == [1, 2]


@behind
async def test_two_grades_at_once_do_not_meet():
    body = "import os, time\nopen('/tmp/' + item['me'], 'w').close()\ntime.sleep(1)\nreturn len(os.listdir('/tmp'))"
    assert await asyncio.gather(grade(body, item={"me": "a"}), grade(body, item={"me": "b"})) == [1, 1]


@behind
async def test_it_inherits_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AFINA_API_KEY", "sk-planted")
    (tmp_path / "rows").write_text("planted rows")
    held = os.open(tmp_path / "rows", os.O_RDONLY)
    os.set_inheritable(held, True)
    seen = await refusal("import os\nraise ValueError(sorted(os.environ))")
    assert "AFINA" not in seen and "'HOME'" in seen
    reads = (
        "import os\nseen = b''\nfor fd in range(64):\n"
        "    try: seen += os.pread(fd, 99, 0)\n    except OSError: pass\nraise ValueError(seen)"
    )
    assert "planted" not in await refusal(reads)
    os.close(held)


@behind
async def test_looking_around_is_harmless():
    walk = "import gc, sys, ctypes\nassert gc.get_objects() and sys._getframe(1).f_code.co_name == 'graded'\nreturn 0.5"
    assert await grade(walk) == 0.5


@behind
async def test_what_a_grader_is_for():
    assert (
        await grade("return len(sample['output_text']) / item['n']", {"output_text": "abcd"}, {"n": 8}) == 0.5
    )
    assert (
        await grade("import numpy as np\nreturn np.float32(0.5) + np.ones((9, 9)).dot(np.ones(9))[0]") == 9.5
    )
    assert await grade("from rapidfuzz import fuzz\nreturn fuzz.ratio('a', 'a')") == 100
    assert await grade("import tempfile\nwith tempfile.TemporaryFile() as f: return f.write(b'abc')") == 3
    assert await grade("return True + 1") == 2


@behind
@pytest.mark.parametrize("value", ["'1'", "None", "float('nan')", "float('inf')", "True", "[1.0]", "1j"])
async def test_what_is_no_finite_number(value: str):
    assert "must return a finite float" in await refusal(f"return {value}")


@behind
async def test_an_error_names_its_line():
    assert await refusal("x = 1\nreturn x / 0") == "ZeroDivisionError: division by zero (line 3)"
    assert "KeyError: 'absent'" in await refusal("return item['absent']")


@behind
async def test_a_grade_that_nobody_waits_for_ends(tmp_path: Path):
    task = asyncio.create_task(grade("import time\ntime.sleep(1000)"))
    done, _ = await asyncio.wait([task], timeout=1)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_boundary_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidRequest) as caught:
        await grade("return 1.0")
    assert (caught.value.code, caught.value.status) == ("grader_unavailable", 400)
    assert "`bwrap` is not installed" in caught.value.message


async def test_a_boundary_that_cannot_be_made_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A `bwrap` that starts nothing."""
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sandbox, "holds", sandbox.holds.__wrapped__)
    with pytest.raises(InvalidRequest) as caught:
        await grade("return 1.0")
    assert caught.value.code == "grader_unavailable" and "user namespaces" in caught.value.message


@behind
async def test_a_sandbox_that_does_not_start_is_not_the_graders_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    assert sandbox.missing() is None  # it has held before
    false = tmp_path / "bwrap"
    false.write_text('#!/bin/sh\necho \'{"nonce": "", "reward": 1.0}\'\n')
    false.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(GradingFailed) as caught:
        await grade("return 1.0")
    assert (
        caught.value.flags.python_grader_server_error and not caught.value.flags.python_grader_runtime_error
    )


def test_the_filter_has_the_kernel_numbers():
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers here")
    lines = (line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    numbers = {words[1].removeprefix("__NR_"): int(words[2]) for words in lines}
    assert {name: numbers[name] for name in seccomp.CALLS} == {n: v[0] for n, v in seccomp.CALLS.items()}
    assert not {*NUMBERS} & {*seccomp.CALLS}
