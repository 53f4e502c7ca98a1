"""`afina estimate`: what a job would train on, how long it would take and what OpenAI would charge for it."""

import shlex
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.markup import escape

from afina.cli.client import connected
from afina.cli.jobs import AllWeights, ModelName, file_id, given
from afina.cli.language import _, decimal
from afina.cli.output import Json, aside, emit, show_fields, span
from afina.schemas.estimates import Estimate

GIB = 2**30


def estimate(
    training: Annotated[str, typer.Argument(help="A file's id, or a path to upload.", show_default=False)],
    *,
    model: ModelName,
    epochs: Annotated[int | None, typer.Option(help="1 to 50; else by the size of the file.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="1 to 256; else by the size of the file.")] = None,
    full: AllWeights = False,
    json: Json = False,
) -> None:
    """Say what a job would take, before it is started."""
    chosen = given({"n_epochs": epochs, "batch_size": batch_size})
    method = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
    with connected() as client:
        file = file_id(client, training)
        body: dict[str, object] = {"model": model, "training_file": file, "method": method}
        if full:
            body["afina"] = {"adapter": {"type": "full"}}
        reply = client.post("/afina/estimates", body=body, cast_to=object)
    if json:
        return emit(reply)
    found = Estimate.model_validate(reply)
    show_fields(in_words(found))
    options = given({"--model": model, "--epochs": epochs, "--batch-size": batch_size})
    words = [*(str(word) for pair in options.items() for word in pair), *["--full"] * full]
    command = shlex.join(["afina", "jobs", "create", file, *words])
    return aside().print(_("start it with: {command}").format(command=escape(command)))


def in_words(found: Estimate) -> Iterable[tuple[str, object]]:
    """The numbers as people say them."""
    texts = (
        ("model", found.model),
        ("data", _("{examples} examples, {tokens_per_epoch} tokens")),
        ("cut at their end", str(found.truncated) if found.truncated else None),
        ("training", _("{trained_tokens} tokens in all")),
        ("epochs", str(found.n_epochs)),
        ("steps", _("{steps}, batches of up to {batch_size}")),
        ("time", time_of(found)),
        ("memory", _("about {gib} GiB while it trains, by our estimate")),
        ("at OpenAI", price_of(found)),
    )
    numbers = {
        name: decimal(f"{value:,}") for name, value in found.model_dump().items() if isinstance(value, int)
    } | {"gib": decimal(f"{found.memory_bytes / GIB:,.1f}")}
    return [(_(name), text and text.format_map(numbers)) for name, text in texts]


def time_of(found: Estimate) -> str:
    """The expected time and what it was told from."""
    if found.seconds is None:
        return _("no finished job on {model} yet to measure by").format(model=found.model)
    low, high = (span(seconds) for seconds in found.seconds)
    text = _("{low} to {high} once it runs, by the speed of finished jobs on {model} ({jobs})")
    return text.format(low=low, high=high, model=found.model, jobs=found.finished_jobs)


def price_of(found: Estimate) -> str | None:
    """What these tokens would cost elsewhere; another tokenizer would count them somewhat differently."""
    price, usd = found.openai, found.openai_usd
    if price is None or usd is None:
        return None
    text = _("about ${usd}: {model} at ${rate} a million tokens, {source}, {date}; tokens as {base} counts")
    return text.format(
        usd=decimal(f"{usd:,.2f}"), model=price.model, rate=decimal(f"{price.usd_per_million:g}"),
        source=price.source, date=price.as_of, base=found.model,
    )  # fmt: skip
