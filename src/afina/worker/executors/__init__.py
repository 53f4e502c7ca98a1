"""Where hosts run: an executor starts and stops them, and knows nothing of jobs."""

from pathlib import Path
from typing import Protocol

from afina.errors import AfinaError
from afina.schemas.runs import Dtype


class HostLost(AfinaError):
    """A host is gone, or does not take orders; its runs go on elsewhere from their last resume points."""


class Host(Protocol):
    """A process with one base model, reached at `address`."""

    base: str
    address: str
    pid: int

    def alive(self) -> bool:
        """Whether the process still runs."""
        ...

    def healthy(self) -> bool:
        """Whether it answers."""
        ...

    def stop(self) -> None:
        """End the process; its runs write a resume point first."""
        ...

    def start_run(self, spec: Path) -> None:
        """Start the run whose spec lies in `spec`; raises `HostLost` when nobody answers."""
        ...

    def stop_run(self, run: str) -> None:
        """Ask a run to stop after its next step; raises `HostLost` when nobody answers."""
        ...

    def has_run(self, run: str) -> bool:
        """Whether a run is still under way; where a living host does not say, it is taken to be."""
        ...


class Executor(Protocol):
    """Starts hosts and ends them."""

    def start(self, base: str, source: Path, *, dtype: Dtype) -> Host:
        """A new host that holds the weights of the base in `source` in this type; returns before it is healthy."""
        ...

    def close(self) -> None:
        """End all hosts."""
        ...
