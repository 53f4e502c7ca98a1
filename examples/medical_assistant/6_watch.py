"""Step 6: follow the job: events as they come, then what the result file says. Ctrl-C leaves the job running."""

import base64
import csv
import sys
import time
from itertools import takewhile

import state
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob


def follow(client: OpenAI, job_id: str) -> FineTuningJob:
    """Print each event once, oldest first; the job, once it is over."""
    shown: set[str] = set()
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)  # before its events, so that none of them is missed
        newest_first = client.fine_tuning.jobs.list_events(job_id, limit=100)
        for event in reversed(list(takewhile(lambda event: event.id not in shown, newest_first))):
            print(event.message, flush=True)
            shown.add(event.id)
        if job.status in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(2)


def show_metrics(client: OpenAI, file_id: str) -> None:
    """First and last value of each column; the file is CSV, which OpenAI serves in base64."""
    content = client.files.content(file_id).read()
    text = content if content.startswith(b"step,") else base64.b64decode(content)
    table = list(csv.DictReader(text.decode().splitlines()))
    print(f"\n{len(table)} steps in {file_id}")
    for column in [name for name in table[0] if name != "step"]:
        values = [row[column] for row in table if row[column]]
        if values:
            print(f"  {column}: {values[0]} at first, {values[-1]} at last")


def main() -> None:
    given = state.parser(__doc__).parse_args()
    [job_id] = state.need(given.folder, "job")
    client = OpenAI()
    try:
        job = follow(client, job_id)
    except KeyboardInterrupt:
        print(f"\n{job_id} goes on without you; the same command watches it again")
        sys.exit(130)
    if job.status != "succeeded" or not job.fine_tuned_model:
        sys.exit(f"{job_id} {job.status}: {job.error.message if job.error else 'no error given'}")
    for file_id in job.result_files:
        show_metrics(client, file_id)
    print(f"\nthe tuned model: {job.fine_tuned_model}")
    state.extend(given.folder, model=job.fine_tuned_model)
    state.say_next(given.folder, "7_chat.py")


if __name__ == "__main__":
    state.run(main)
