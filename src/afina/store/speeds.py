"""How long finished jobs have trained: what an estimate of time is made of."""

from dataclasses import dataclass

from sqlalchemy import func, or_, select

from afina.store.scope import System
from afina.store.tables import job_events, jobs

STARTED = "Fine-tuning job started"
INTERRUPTED = "The run was interrupted"
PAUSED = "The job has been paused"
NEWEST = 20


@dataclass(frozen=True)
class Timed:
    """The tokens that a job was trained on, and the whole seconds from its start on a host to its model."""

    tokens: int
    seconds: int


def of_base(system: System, base: str, *, full: bool = False) -> list[Timed]:
    """The newest jobs of all projects that succeeded on a base in one run, the newest first.

    Jobs that trained all weights (`full`) and jobs that did not tell nothing about each other. What reinforcement
    trains on it has to write first, which takes a time of its own: those jobs do not count.
    """
    start, other = job_events.alias(), job_events.alias()
    stopped = or_(other.c.message.startswith(INTERRUPTED), other.c.message.startswith(PAUSED))
    broken = select(1).where(other.c.job_id == jobs.c.id, stopped).exists()
    kind = func.coalesce(jobs.c.afina[("adapter", "type")].as_string(), "lora")
    query = (
        select(jobs.c.trained_tokens, jobs.c.finished_at - start.c.created_at)
        .join(start, start.c.job_id == jobs.c.id)
        .where(jobs.c.model == base, jobs.c.status == "succeeded", start.c.message == STARTED, ~broken)
        .where(jobs.c.method["type"].as_string() != "reinforcement", kind == ("full" if full else "lora"))
        .order_by(jobs.c.seq.desc())
        .limit(NEWEST)
    )
    return [Timed(tokens, seconds) for tokens, seconds in system.connection.execute(query)]
