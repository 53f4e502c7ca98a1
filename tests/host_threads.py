"""Hosts that are threads instead of processes: the real application behind a real socket."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from socket import SHUT_RDWR

import uvicorn

from afina.host.app import create_app
from afina.worker.executors.local import LocalHost


class HostThread:
    """What a host's worker sees of a process: here it is a thread with an event loop of its own."""

    def __init__(self, base: str, source: Path, socket: Path):
        app = create_app(source, name=base, dtype="float32", threads=1)
        config = uvicorn.Config(app, uds=str(socket), log_level="error", access_log=False)
        self.server = uvicorn.Server(config)
        self.loop = asyncio.new_event_loop()
        self.pid = 1_000_000 + id(self) % 1000
        self.thread = threading.Thread(target=self.run, name=f"host-{base}", daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            self.loop.run_until_complete(self.server.serve())
        except RuntimeError:  # stopped before it was done: a crash, with which the kernel closes all sockets
            for server in self.server.servers:
                server.close()
            for connection in self.server.server_state.connections:
                connection.transport.get_extra_info("socket").shutdown(SHUT_RDWR)

    def poll(self) -> int | None:
        return None if self.thread.is_alive() else 1

    def terminate(self) -> None:
        self.server.should_exit = True

    def kill(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)

    def wait(self, timeout: float | None = None) -> int:
        self.thread.join(timeout)
        return 1


@dataclass
class ThreadExecutor:
    """Starts hosts as threads; `started` are those of all workers of a test."""

    sockets: Path
    started: list[LocalHost]
    mine: list[LocalHost] = field(default_factory=list)

    def start(self, base: str, source: Path, *, dtype: str) -> LocalHost:
        socket = self.sockets / f"{len(self.started)}.sock"
        host = LocalHost(base, socket, HostThread(base, source, socket))  # type: ignore[arg-type]
        self.started.append(host)
        self.mine.append(host)
        return host

    def close(self) -> None:
        for host in self.mine:
            host.stop()
