"""`afina jobs`: create, watch and cancel fine-tuning jobs."""

import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic_core import from_json
from rich.markup import escape

from afina.cli.client import connected
from afina.cli.files import Purpose, upload
from afina.cli.language import _
from afina.cli.output import (
    Json,
    Limit,
    ago,
    aside,
    console,
    emit,
    show_fields,
    show_table,
    span,
)
from afina.cli.watch import print_event, watch

if TYPE_CHECKING:
    from openai import OpenAI
    from openai._types import RequestOptions
    from openai.types.fine_tuning import FineTuningJob
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

app = typer.Typer(help="Create, watch and cancel fine-tuning jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="A job's id: ftjob-...", show_default=False)]
ModelName = Annotated[str, typer.Option("--model", "-m", help="A base, or an ft: model to go on from.")]
AllWeights = Annotated[
    bool, typer.Option("--full", help="Train all weights instead of an adapter: a base of its own.")
]
Targets = Annotated[
    list[str] | None, typer.Option(help="A layer to adapt, such as q_proj; else all. As often as needed.")
]
Pair = Annotated[list[str] | None, typer.Option(help="name=value, as often as needed.")]


class Method(StrEnum):
    """What a model learns from: conversations, pairs of a preferred answer and another, or what a grader rewards."""

    supervised = "supervised"
    dpo = "dpo"
    reinforcement = "reinforcement"


@app.command("create")
def create_job(
    training: Annotated[str, typer.Argument(help="A file's id, or a path to upload.", show_default=False)],
    *,
    model: ModelName,
    validation: Annotated[str | None, typer.Option(help="A file's id, or a path to upload.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Becomes part of the model's name.")] = None,
    epochs: Annotated[int | None, typer.Option(help="1 to 50; else by the size of the file.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="1 to 256; else by the size of the file.")] = None,
    learning_rate_multiplier: Annotated[float | None, typer.Option(help="Times the base's own rate.")] = None,
    method: Annotated[Method, typer.Option(help="How to tune.")] = Method.supervised,
    beta: Annotated[float | None, typer.Option(help="With dpo: above 0 to 2, high stays close.")] = None,
    grader: Annotated[Path | None, typer.Option(help="With reinforcement: a file with its JSON.")] = None,
    compute_multiplier: Annotated[float | None, typer.Option(help="How much reinforcement tries.")] = None,
    eval_interval: Annotated[int | None, typer.Option(help="Steps between two looks at validation.")] = None,
    eval_samples: Annotated[int | None, typer.Option(help="Replies to each validation prompt.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random, if not given.")] = None,
    full: AllWeights = False,
    rank: Annotated[int | None, typer.Option(help="The rank of the adapter.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Scales what the adapter adds.")] = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="Scale it by the root of the rank.")] = False,
    target: Targets = None,
    metadata: Pair = None,
    follow: Annotated[bool, typer.Option("--watch", help="Stay, and show how it goes.")] = False,
    json: Json = False,
) -> None:
    """Start a fine-tuning job."""
    chosen = {
        "n_epochs": epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": learning_rate_multiplier,
        "beta": beta,
        "compute_multiplier": compute_multiplier,
        "eval_interval": eval_interval,
        "eval_samples": eval_samples,
    }
    settings: dict[str, object] = {"hyperparameters": given(chosen), "grader": grader and json_of(grader)}
    shape = {"rank": rank, "alpha": alpha, "rslora": rslora or None, "targets": target}
    adapter = given({"type": "full" if full else None, **shape})
    body: dict[str, object] = {
        "model": model,
        "suffix": suffix,
        "seed": seed,
        "metadata": named(metadata) or None,
        "method": {"type": method.value, method.value: given(settings)},
        "afina": {"adapter": adapter} if adapter else None,
        "training_file": training,
        "validation_file": validation,
    }
    return start(body, follow=follow, json=json)


def start(body: dict[str, object], *, follow: bool, json: bool) -> None:
    """Upload the files that lie here, create the job, and stay if asked to."""
    with connected() as client:
        files = {name: body[name] for name in ("training_file", "validation_file")}
        ids = {name: file_id(client, str(file)) for name, file in given(files).items()}
        job = create(client, given(body) | ids)
        if follow:
            return finish(watch(client, job.id, json=json), json=json)
    if json:
        return emit(job.to_dict())
    console().print(job.id)
    return aside().print(f"watch it with: afina jobs watch {job.id}")


def given(values: Mapping[str, object]) -> dict[str, object]:
    """Without what was not said: the server's defaults are the server's business."""
    return {name: value for name, value in values.items() if value is not None}


def json_of(path: Path) -> object:
    """What a file of JSON holds."""
    try:
        return from_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} cannot be read as JSON: {error}") from None


def named(pairs: Sequence[str] | None) -> dict[str, str]:
    """`name=value` words as a mapping."""
    for pair in pairs or ():
        if "=" not in pair:
            raise typer.BadParameter("metadata is given as name=value")
    return dict(pair.split("=", 1) for pair in pairs or ())


def file_id(client: "OpenAI", text: str, purpose: Purpose = "fine-tune") -> str:
    """A file that lies here is uploaded; anything else is taken for an id."""
    path = Path(text)
    return upload(client, path, purpose).id if path.is_file() else text


def create(client: "OpenAI", body: dict[str, object]) -> "FineTuningJob":
    """Create a job once, however often the request has to be repeated."""
    from openai.types.fine_tuning import FineTuningJob

    once: RequestOptions = {"headers": {"Idempotency-Key": uuid.uuid4().hex}}
    return client.post("/fine_tuning/jobs", body=body, options=once, cast_to=FineTuningJob)


def finish(job: "FineTuningJob", *, json: bool) -> None:
    """The last word on a job that was watched; exit 1 unless it succeeded."""
    if json:
        emit(job.to_dict())
    elif job.status == "succeeded":
        console().print(f"[green]{_('done')}:[/] {job.fine_tuned_model}")
        aside().print(_("talk to it with: {command}").format(command=f'afina chat "{job.fine_tuned_model}"'))
    elif job.error is not None and job.error.message:
        aside().print(f"[red]{job.status}: {escape(job.error.message)} (code: {job.error.code})[/]")
    else:
        aside().print(f"[yellow]{job.status}[/]")
    if job.status != "succeeded":
        raise typer.Exit(1)


@app.command("list")
def list_jobs(limit: Limit = 20, json: Json = False) -> None:
    """List jobs, newest first."""
    with connected() as client:
        found = list(islice(client.fine_tuning.jobs.list(limit=min(limit, 100)), limit))
    if json:
        for job in found:
            emit(job.to_dict())
        return
    rows = ((j.id, j.status, j.model, j.fine_tuned_model or "", ago(j.created_at)) for j in found)
    show_table(("ID", "STATUS", "BASE", "MODEL", "CREATED"), rows)


@app.command("get")
def get_job(job_id: JobId, json: Json = False) -> None:
    """Show one job."""
    with connected() as client:
        job = client.fine_tuning.jobs.retrieve(job_id)
    if json:
        return emit(job.to_dict())
    took = None if job.finished_at is None else span(job.finished_at - job.created_at)
    fields: tuple[tuple[str, object], ...] = (
        ("id", job.id),
        ("status", job.status),
        ("base", job.model),
        ("model", job.fine_tuned_model),
        ("training file", job.training_file),
        ("validation file", job.validation_file),
        ("epochs", job.hyperparameters.n_epochs),
        ("batch size", job.hyperparameters.batch_size),
        ("rate multiplier", job.hyperparameters.learning_rate_multiplier),
        ("seed", job.seed),
        ("trained tokens", job.trained_tokens),
        ("result files", ", ".join(job.result_files) or None),
        ("created", ago(job.created_at)),
        ("took", took),
        ("error", job.error and job.error.message),
    )
    return show_fields(fields)


@app.command("events")
def job_events(job_id: JobId, limit: Limit = 100, json: Json = False) -> None:
    """Print a job's newest events, oldest first."""
    with connected() as client:
        page = client.fine_tuning.jobs.list_events(job_id, limit=min(limit, 100))
        events = list(islice(page, limit))[::-1]
    for event in events:
        print_event(event, json=json)


@app.command("checkpoints")
def job_checkpoints(job_id: JobId, json: Json = False) -> None:
    """List the models that a job left at the ends of its epochs."""
    with connected() as client:
        found = list(client.fine_tuning.jobs.checkpoints.list(job_id))
    if json:
        for point in found:
            emit(point.to_dict())
        return
    rows = ((str(p.step_number), p.fine_tuned_model_checkpoint, figure(p)) for p in found)
    rewarded = any("full_valid_mean_reward" in p.metrics.model_dump() for p in found)
    show_table(("STEP", "MODEL", "VALIDATION REWARD" if rewarded else "VALIDATION LOSS"), rows)


def figure(point: "FineTuningJobCheckpoint") -> str:
    """What a checkpoint has lost or earned on the validation file, where there is something."""
    metrics = point.metrics.model_dump()
    known = (metrics.get(key) for key in ("full_valid_loss", "full_valid_mean_reward"))
    value = next((value for value in known if value is not None), None)
    return "" if value is None else f"{value:.3f}"


@app.command("watch")
def watch_job(job_id: JobId, json: Json = False) -> None:
    """Show how a job goes, to its end; Ctrl-C leaves it running. Exit 0 when it succeeded."""
    with connected() as client:
        finish(watch(client, job_id, json=json), json=json)


@app.command("cancel")
def cancel_job(job_id: JobId, json: Json = False) -> None:
    """Cancel a job; what it has learned is not kept as a model."""
    with connected() as client:
        job = client.fine_tuning.jobs.cancel(job_id)
    emit(job.to_dict()) if json else console().print(f"{job.id} {job.status}")


@app.command("pause")
def pause_job(job_id: JobId, json: Json = False) -> None:
    """Pause a running job; it stops after its next step, and can go on from there."""
    with connected() as client:
        job = client.fine_tuning.jobs.pause(job_id)
    emit(job.to_dict()) if json else console().print(f"{job.id} {job.status}")


@app.command("resume")
def resume_job(job_id: JobId, json: Json = False) -> None:
    """Have a paused job go on."""
    with connected() as client:
        job = client.fine_tuning.jobs.resume(job_id)
    emit(job.to_dict()) if json else console().print(f"{job.id} {job.status}")
