"""Upload, tune, watch and chat, with the plain `openai` client and nothing of Afina.

Start the server first (`afina serve`), then set OPENAI_BASE_URL and OPENAI_API_KEY as it says.
"""

import time
from pathlib import Path

from openai import OpenAI

DATA = Path(__file__).parent / "data"
BASE = "afina-tiny"
QUESTION = "What is asthma?"

client = OpenAI()


def ask(model: str) -> str:
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=80
    )
    return reply.choices[0].message.content or ""


def upload(name: str) -> str:
    with (DATA / name).open("rb") as file:
        return client.files.create(file=file, purpose="fine-tune").id


def watch(job_id: str) -> str:
    """Print each event once; the name of the tuned model at the end."""
    printed: set[str] = set()
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        events = [e for e in client.fine_tuning.jobs.list_events(job_id) if e.id not in printed]
        for event in reversed(events):
            print(f"  {event.message}")
        printed.update(event.id for event in events)
        if job.status in ("succeeded", "failed", "cancelled"):
            assert job.fine_tuned_model is not None, job.error
            return job.fine_tuned_model
        time.sleep(1)


print(f"before: {ask(BASE)}\n")
job = client.fine_tuning.jobs.create(
    model=BASE,
    training_file=upload("clinic_64.jsonl"),
    validation_file=upload("clinic_valid_12.jsonl"),
    suffix="clinic",
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 8, "batch_size": 8}}},
)
tuned = watch(job.id)
print(f"\nafter: {ask(tuned)}")
