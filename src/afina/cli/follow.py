"""What becomes of a job, as it happens: its status and its new events, until it is final.

It draws nothing; a server that is away for a while is waited for.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

FINAL = {"succeeded", "failed", "cancelled"}


@dataclass(frozen=True)
class Update:
    """A job as it is now, and its events since the last update, oldest first; was the server reachable?"""

    job: "FineTuningJob"
    events: "list[FineTuningJobEvent]"
    reachable: bool = True


def follow(client: "OpenAI", job_id: str, *, every: float = 1.0) -> Iterator[Update]:
    """Updates every so many seconds; the last one is of a final job. Only the first look may fail."""
    import openai

    update = look(client, job_id, last_event=None)
    last_event = None
    while True:
        yield update
        last_event = update.events[-1].id if update.events else last_event
        if update.job.status in FINAL:
            return
        time.sleep(every)
        try:
            update = look(client, job_id, last_event)
        except (openai.APIConnectionError, openai.InternalServerError):
            update = Update(update.job, [], reachable=False)


def look(client: "OpenAI", job_id: str, last_event: str | None) -> Update:
    """The job first: when it is final, its last events are there already."""
    job = client.fine_tuning.jobs.retrieve(job_id)
    newest_first = client.fine_tuning.jobs.list_events(job_id, limit=100)
    fresh = list(takewhile(lambda event: event.id != last_event, newest_first))
    return Update(job, fresh[::-1])
