"""`python -m afina.worker`: one worker, started by `afina serve`; ends on SIGTERM behind resume points."""

import os
import signal
import threading
from types import FrameType

from afina import settings as deployment
from afina.blobs import Blobs
from afina.processes import log_to_stderr
from afina.serving.adapters import Adapters
from afina.settings import Settings
from afina.store import outbox
from afina.store.database import Database
from afina.worker import batches, eval_runs, respond, tend, train, validate, wandb, webhooks
from afina.worker.context import Context
from afina.worker.executors.local import LocalExecutor
from afina.worker.hosts import Hosts
from afina.worker.loop import Kind, Loop

VALIDATIONS = 2
BATCHES = 2
EVAL_RUNS = 2
RESPONSES = 8
DELIVERIES = 4
REPORTS = 8


def main() -> None:
    """Work until SIGTERM."""
    settings = deployment.from_environment()
    log_to_stderr(settings.log_level)
    owner = os.environ.get("AFINA_WORKER", f"worker-{os.getpid()}")
    draining = threading.Event()

    def drain(number: int, frame: FrameType | None) -> None:
        draining.set()

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, drain)
    database = Database(settings.database)
    hosts = Hosts(settings, database, LocalExecutor(settings), owner)
    blobs = Blobs(settings.data / "blobs")
    context = Context(settings, database, blobs, Adapters(blobs), hosts, draining)
    try:
        Loop(context, kinds(settings), owner).run(tend.between_claims(context))
    finally:
        hosts.close()


def kinds(settings: Settings) -> dict[str, Kind]:
    """Every kind of work there is."""
    return {
        "validate": Kind(validate.validate, validate.give_up, slots=VALIDATIONS, fatal=True),
        "train": Kind(train.train, train.give_up, slots=settings.runs_per_host),
        "respond": Kind(respond.respond, respond.give_up, slots=RESPONSES, fatal=True),
        "batch": Kind(batches.work_through, batches.give_up, slots=BATCHES, fatal=True),
        "eval_run": Kind(eval_runs.work_through, eval_runs.give_up, slots=EVAL_RUNS, fatal=True),
        outbox.KIND: Kind(webhooks.deliver, webhooks.give_up, slots=DELIVERIES, most=webhooks.MOST),
        "wandb": Kind(wandb.report, wandb.give_up, slots=REPORTS, most=wandb.MOST),
    }


if __name__ == "__main__":
    main()
