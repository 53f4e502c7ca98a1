"""`afina compare`: base, base with its best prompt, and tuned, on conversations that none of them was tuned on."""

from pathlib import Path
from typing import Annotated

import typer

from afina.cli.output import Json

HeldOut = Annotated[
    Path,
    typer.Argument(help="Held-out conversations, as JSONL.", exists=True, dir_okay=False, show_default=False),
]
Train = Annotated[
    Path | None,
    typer.Option(
        "--train",
        help="The training file, examples are drawn from it; without it, that of the tuned model's job.",
        exists=True,
        dir_okay=False,
    ),
]
Heading = Annotated[list[str] | None, typer.Option(help="A part that an answer must state; repeat in order.")]


def compare(
    held_out: HeldOut,
    *,
    base: Annotated[str, typer.Option(help="The base model's name.", show_default=False)],
    tuned: Annotated[str, typer.Option(help="The tuned model's name.", show_default=False)],
    train: Train = None,
    system: Annotated[
        str | None, typer.Option(help="A system message for the base: text, or a file.")
    ] = None,
    heading: Heading = None,
    judge: Annotated[str | None, typer.Option(help="A model that grades answers, too.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 120,
    json: Json = False,
) -> None:
    """Compare a tuned model with its base, and with its base at its best, on a held-out file."""
    from afina.cli import comparison, comparison_data, comparison_report  # their libraries take a moment

    trial = comparison_data.prepare(held_out, tuned=tuned, train=train, system=system)
    models = comparison.Models(base, tuned, max_tokens, judge)
    outcome = comparison.run(trial, models, headings=heading or [])
    comparison_report.emit(outcome, models) if json else comparison_report.show(outcome)
