"""`afina evals`: what is asked of answers, and runs that ask it."""

import json as json_text
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from afina.cli.client import connected
from afina.cli.jobs import Pair, file_id, named
from afina.cli.output import CommandFailed, Json, Limit, ago, aside, console, emit, show_fields, show_table
from afina.evals import ready
from afina.evals.ready import Language

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import EvalListResponse
    from openai.types.eval_create_params import DataSourceConfigCustom, TestingCriterion
    from openai.types.evals import RunListResponse
    from openai.types.evals.create_eval_completions_run_data_source_param import (
        CreateEvalCompletionsRunDataSourceParam,
    )
    from openai.types.evals.create_eval_jsonl_run_data_source_param import CreateEvalJSONLRunDataSourceParam

app = typer.Typer(
    help="Say what is asked of answers, and have models' answers graded by it.", no_args_is_help=True
)

EvalId = Annotated[str, typer.Argument(help="An eval's id: eval_...", show_default=False)]


@app.command("criteria")
def show_criteria(
    *,
    judge: Annotated[
        str | None, typer.Option(help="A model that grades; without one, words are compared.")
    ] = None,
    language: Annotated[Language, typer.Option(help="In which the model is told what to look at.")] = "en",
) -> None:
    """Print ready criteria of answers: relevance, completeness and coherence, as JSON to keep or to change.

    Items then have a `question` and a `reference`.
    """
    emit(ready.criteria(judge=judge, language=language))


@app.command("create")
def create_eval(
    criteria: Annotated[
        Path, typer.Argument(help="Testing criteria, as a JSON array.", exists=True, dir_okay=False)
    ],
    *,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="The JSON Schema of an item.", exists=True, dir_okay=False)
    ] = None,
    metadata: Pair = None,
    json: Json = False,
) -> None:
    """Make an eval of a file of criteria."""
    item = {"type": "object"} if schema is None else document(schema, dict)
    config = {"type": "custom", "item_schema": item, "include_sample_schema": True}
    with connected() as client:
        made = client.evals.create(
            data_source_config=cast("DataSourceConfigCustom", config),
            testing_criteria=cast("list[TestingCriterion]", document(criteria, list)),
            name=name or criteria.stem,
            metadata=named(metadata) or None,
        )
    if json:
        return emit(made.to_dict())
    console().print(made.id)
    return aside().print(
        f"run it with: afina evals run {made.id} ROWS --model MODEL --prompt '{{{{ item... }}}}'"
    )


def document(path: Path, kind: type[list[object]] | type[dict[str, object]]) -> object:
    """The JSON in a file."""
    try:
        value = json_text.loads(path.read_text("utf-8"))
    except ValueError:
        raise CommandFailed(f"{path} is not JSON", cure="write one JSON document in UTF-8") from None
    if not isinstance(value, kind):
        raise CommandFailed(f"{path} holds no JSON {'array' if kind is list else 'object'}")
    return cast(object, value)


@app.command("list")
def list_evals(limit: Limit = 20, json: Json = False) -> None:
    """List evals, newest first."""
    with connected() as client:
        found = list(islice(client.evals.list(limit=min(limit, 100), order="desc"), limit))
    if json:
        for each in found:
            emit(each.to_dict())
        return
    rows = ((e.id, e.name, criteria_of(e), ago(e.created_at)) for e in found)
    show_table(("ID", "NAME", "CRITERIA", "CREATED"), rows)


def criteria_of(found: "EvalListResponse") -> str:
    """The names of its criteria."""
    return ", ".join(criterion.name for criterion in found.testing_criteria)


@app.command("run")
def run_eval(
    eval_id: EvalId,
    rows: Annotated[
        str,
        typer.Argument(help='A file of {"item": ...} rows: its id, or a path to upload.', show_default=False),
    ],
    *,
    model: Annotated[
        str | None, typer.Option(help="Who answers; without it, rows bring a sample along.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What is asked, such as '{{ item.question }}'.")] = None,
    system: Annotated[str | None, typer.Option(help="A system message before it.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the run.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 512,
    json: Json = False,
) -> None:
    """Have the items of a file answered and graded."""
    if (model is None) != (prompt is None):
        raise CommandFailed("--model and --prompt belong together", cure="give both, or neither")
    with connected() as client:
        source = data_source(
            file_id(client, rows, "evals"), model, asked(prompt, system), max_tokens=max_tokens
        )
        made = client.evals.runs.create(eval_id, data_source=source, name=name or model or Path(rows).name)
    if json:
        return emit(made.to_dict())
    console().print(made.id)
    return aside().print(f"see how far it is with: afina evals show {eval_id} {made.id}")


def asked(prompt: str | None, system: str | None) -> list[dict[str, str]]:
    """The messages for each item."""
    told = [] if system is None else [{"role": "system", "content": system}]
    return [*told, {"role": "user", "content": prompt or ""}]


def data_source(
    file: str, model: str | None, messages: list[dict[str, str]], *, max_tokens: int
) -> "CreateEvalCompletionsRunDataSourceParam | CreateEvalJSONLRunDataSourceParam":
    """Rows that a model answers, or that are graded as they are."""
    source = {"type": "file_id", "id": file}
    if model is None:
        return cast("CreateEvalJSONLRunDataSourceParam", {"type": "jsonl", "source": source})
    asking = {
        "type": "completions",
        "model": model,
        "source": source,
        "input_messages": {"type": "template", "template": messages},
        "sampling_params": {"max_completion_tokens": max_tokens, "temperature": 0.0},
    }
    return cast("CreateEvalCompletionsRunDataSourceParam", asking)


@app.command("show")
def show_eval(
    eval_id: EvalId,
    run_id: Annotated[str | None, typer.Argument(help="A run's id: its figures and what failed.")] = None,
    json: Json = False,
) -> None:
    """Show an eval with its runs, or one run with its figures."""
    with connected() as client:
        if run_id is not None:
            return show_run(client, eval_id, run_id, json=json)
        found, runs = client.evals.retrieve(eval_id), list(client.evals.runs.list(eval_id, limit=100))
    if json:
        return emit({**found.to_dict(), "runs": [run.to_dict() for run in runs]})
    console().print(f"{found.name}  [dim]{found.id}[/]")
    rows = ((r.id, r.name, r.status, figures(r), ago(r.created_at)) for r in runs)
    return show_table(("RUN", "NAME", "STATUS", "PASSED", "CREATED"), rows)


def figures(run: "RunListResponse") -> str:
    """How many items passed: `12 of 40, 1 not graded`."""
    counts = run.result_counts
    errored = f", {counts.errored} not graded" if counts.errored else ""
    return f"{counts.passed} of {counts.total}{errored}" if counts.total else ""


def show_run(client: "OpenAI", eval_id: str, run_id: str, *, json: bool) -> None:
    """One run: each criterion's figures, and the errors if there are any."""
    run = client.evals.runs.retrieve(run_id, eval_id=eval_id)
    if json:
        return emit(run.to_dict())
    counts = run.result_counts
    criteria = (
        (each.testing_criteria, f"{each.passed} passed, {each.failed} failed")
        for each in run.per_testing_criteria_results
    )
    used = (
        (usage.run_model_name, f"{usage.total_tokens} tokens in {usage.invocation_count} replies")
        for usage in run.per_model_usage
    )
    return show_fields(
        (
            ("id", run.id),
            ("status", run.status),
            ("error", run.error.message or None),
            ("items", counts.total or None),
            ("passed", counts.passed),
            ("failed", counts.failed),
            ("not graded", counts.errored or None),
            *criteria,
            *used,
            ("report", run.report_url),
        )
    )
