"""What every piece of work is done with."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from afina.blobs import Blobs
from afina.serving.adapters import Adapters
from afina.settings import Settings
from afina.store.database import Database
from afina.store.work import Claim
from afina.worker.hosts import Hosts


@dataclass(frozen=True)
class Context:
    """The rooms that a worker uses."""

    settings: Settings
    database: Database
    blobs: Blobs
    adapters: Adapters
    hosts: Hosts
    draining: threading.Event

    def runs(self, job: str) -> Path:
        """The folder of all runs of a job."""
        return self.settings.data.absolute() / "runs" / job


@dataclass(frozen=True)
class Hold:
    """A claim that the worker keeps alive; `lost` is set when somebody else has it, or the job was cancelled."""

    claim: Claim
    lost: threading.Event = field(default_factory=threading.Event)
