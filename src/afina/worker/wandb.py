"""A job's figures on Weights & Biases: sent by work of its own, so that training never waits for them.

It speaks the HTTP API of W&B's own clients: GraphQL makes the run, its file stream takes one JSON object a step.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from afina.schemas.fine_tuning import FINAL, FineTuningJob, Wandb
from afina.store import events, jobs, work
from afina.store.events import NewEvent
from afina.worker import attempts
from afina.worker.context import Context, Hold

log = logging.getLogger(__name__)

MOST = 30  # attempts in a row, about half an hour
LOOK_SECONDS = 5.0
PAUSED_SECONDS = 60.0  # between looks at a paused job, which holds no slot meanwhile
SECONDS = 10.0  # for one request
HISTORY = "wandb-history.jsonl"
UPSERT = """
mutation UpsertBucket($name: String!, $project: String!, $entity: String, $displayName: String, $tags: [String!],
                      $config: JSONString) {
  upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, displayName: $displayName,
                       tags: $tags, config: $config}) {
    bucket { name project { name entity { name } } }
  }
}
"""


class NotTaken(Exception):
    """W&B answered with something else than it should."""


class Named(BaseModel):
    """An entity: a person or a team."""

    name: str


class Project(BaseModel):
    """Where a run lies."""

    name: str
    entity: Named


class Bucket(BaseModel):
    """W&B's word for a run."""

    project: Project


class Payload(BaseModel):
    """What the mutation returns."""

    bucket: Bucket


class Data(BaseModel):
    """By the mutation's name."""

    upsertBucket: Payload


class Upserted(BaseModel):
    """The answer to `UPSERT`."""

    data: Data


@dataclass
class Run:
    """A run at W&B, and how many lines of its history have been sent: again from the first one after a restart."""

    client: httpx.Client
    stream: str
    lines: int = 0
    step: int = 0
    further: bool = False  # than the history that it began with

    def send(self, figures: Sequence[Mapping[str, object]]) -> None:
        """The figures of further steps."""
        content = [json.dumps({"_step": figure["step"], **figure}) for figure in figures]
        file = {"offset": self.lines, "content": content}
        post(self.client, self.stream, {"files": {HISTORY: file}, "dropped": 0})
        self.further = self.step > 0
        self.lines += len(content)
        self.step = int(str(figures[-1]["step"]))

    def finish(self, *, well: bool) -> None:
        """No more steps; W&B shows the run as finished or as failed."""
        last: dict[str, object] = {
            "complete": True,
            "exitcode": 0 if well else 1,
            "dropped": 0,
            "uploaded": [],
        }
        post(self.client, self.stream, last)


def report(context: Context, hold: Hold) -> None:
    """Send a job's figures until it has ended; what W&B does not take is sent again later."""
    job_id, _, number = hold.claim.subject.partition("/wandb/")
    with context.database.read(hold.claim.project_id) as scope:
        job = jobs.get(scope, job_id)
    if job.status == "paused":
        attempts.put_down(context, hold, pause=PAUSED_SECONDS)
        return
    wanted = Wandb.model_validate((job.integrations or [])[int(number)]["wandb"])
    key = context.settings.wandb_api_key
    base = context.settings.wandb_base_url
    run: Run | None = None
    try:
        with httpx.Client(base_url=base, auth=("api", key), timeout=SECONDS) as client:
            run = begin(client, job, wanted)
            follow(context, hold, run, job_id)
    except (httpx.HTTPError, httpx.InvalidURL, NotTaken) as error:
        failed = 1 if run and run.further else hold.claim.attempts + 1
        log.info("wandb job=%s attempt=%d %s", job_id, failed, type(error).__name__)
        attempts.put_back(context, hold, failed=failed)


def begin(client: httpx.Client, job: FineTuningJob, wanted: Wandb) -> Run:
    """The run that has the job's id; one that is there already is gone on with."""
    numbers = {name: {"value": value} for name, value in job.hyperparameters.model_dump().items()}
    variables = {
        "name": job.id,
        "project": wanted.project,
        "entity": wanted.entity,
        "displayName": wanted.name or job.id,
        "tags": [*(wanted.tags or []), "openai/finetune", f"openai/{job.model}", f"openai/{job.id}"],
        "config": json.dumps({**numbers, "model": {"value": job.model}, "seed": {"value": job.seed}}),
    }
    answer = post(client, "/graphql", {"query": UPSERT, "variables": variables})
    try:
        project = Upserted.model_validate_json(answer).data.upsertBucket.bucket.project
    except ValidationError:
        raise NotTaken from None
    place = "/".join(quote(part, safe="") for part in (project.entity.name, project.name, job.id))
    return Run(client, f"/files/{place}/file_stream")


def post(client: httpx.Client, path: str, body: Mapping[str, object]) -> bytes:
    """What is answered where all is well."""
    return client.post(path, json=body).raise_for_status().content


def follow(context: Context, hold: Hold, run: Run, job_id: str) -> None:
    """Send what is new until the job has ended, or the work has to be left to another worker."""
    while True:
        with context.database.read(hold.claim.project_id) as scope:
            job = jobs.get(scope, job_id)
            figures = events.metrics(scope, job_id, beyond=run.step)
        if figures:
            run.send(figures)
        if job.status in FINAL:
            run.finish(well=job.status == "succeeded")
            done(context, hold)
            return
        if job.status == "paused" or context.draining.is_set() or hold.lost.wait(LOOK_SECONDS):
            attempts.put_down(context, hold)
            return


def done(context: Context, hold: Hold) -> None:
    """Nothing more is to be sent."""
    with context.database.scope(hold.claim.project_id) as scope:
        work.finish(scope, hold.claim)


def give_up(context: Context, hold: Hold) -> None:
    """The job goes on as it would without W&B, and says that its figures are not there."""
    said = NewEvent("Weights & Biases did not take the figures; nothing more is sent to it", "warn")
    with context.database.scope(hold.claim.project_id) as scope:
        events.append(scope, hold.claim.subject.partition("/")[0], [said], fence=None)
        work.finish(scope, hold.claim)
