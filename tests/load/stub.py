"""The least a server can do: the same replies as ours, out of a constant; and for a POST, one line on the disk."""

import os
from pathlib import Path

from fastapi import FastAPI, Request

JOB = {
    "id": "ftjob-0",
    "object": "fine_tuning.job",
    "created_at": 1,
    "finished_at": None,
    "model": "afina-tiny",
    "fine_tuned_model": None,
    "organization_id": "org-0",
    "status": "running",
    "training_file": "file-0",
    "validation_file": None,
    "result_files": [],
    "trained_tokens": None,
    "seed": 1,
    "error": None,
    "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.0},
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    "integrations": None,
    "metadata": None,
}
EVENT = {
    "id": "ftevent-0",
    "object": "fine_tuning.job.event",
    "created_at": 1,
    "level": "info",
    "message": "Step 1/100: training loss=1.00",
    "type": "metrics",
    "data": {"step": 1, "train_loss": 1.0},
}
app = FastAPI()


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/v1/fine_tuning/jobs/{job}")
def job(job: str) -> dict[str, object]:
    return {**JOB, "id": job}


@app.get("/v1/fine_tuning/jobs")
def jobs(limit: int = 20) -> dict[str, object]:
    return {"object": "list", "data": [JOB] * limit, "has_more": False}


@app.get("/v1/fine_tuning/jobs/{job}/events")
def events(job: str, limit: int = 20) -> dict[str, object]:
    return {"object": "list", "data": [EVENT] * limit, "has_more": False}


@app.post("/v1/fine_tuning/jobs")
async def create(request: Request) -> dict[str, object]:
    body = await request.body()
    with Path(os.environ["STUB_FILE"]).open("ab") as file:
        file.write(body + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return JOB
