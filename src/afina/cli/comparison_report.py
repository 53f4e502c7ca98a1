"""What a comparison found: a table and a few sentences for people, one JSON document for programs."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.markup import escape

from afina.cli import comparison_words, output
from afina.cli.comparison import Models, Outcome
from afina.cli.comparison_words import Words
from afina.cli.language import decimal
from afina.cli.output import console, show_table
from afina.evals.compare import ArmName, Verdict
from afina.evals.intervals import RESAMPLES, Interval

OUTCOMES = (("better", "green"), ("worse", "red"), ("not_shown", "yellow"))


def show(outcome: Outcome) -> None:
    """Figures, what they show, and what was compared."""
    words, screen = comparison_words.chosen(), console()
    show_table([words["metric"], *(words[arm.name] for arm in outcome.arms)], table(outcome, words))
    screen.print()
    for arm in outcome.arms[:-1]:
        screen.print(verdict(outcome.comparison.verdicts, arm.name, words))
        screen.print(wins(outcome.comparison.verdicts, arm.name, words))
    if outcome.comparison.prompting_is_enough:
        screen.print(f"[yellow]{words['enough']}[/]")
    for line in remarks(outcome, words):
        screen.print(f"[dim]{escape(line)}[/]")
    if outcome.trial.seen:
        total = len(outcome.trial.talks)
        screen.print(f"[red]{words['overlap'].format(count=outcome.trial.seen, total=total)}[/]")


def table(outcome: Outcome, words: Words) -> list[list[str]]:
    """One line a metric, and the price of the prompt behind them."""
    lines = [
        [words[row.metric], *(figure(interval) for interval in row.figures)]
        for row in outcome.comparison.rows
    ]
    return [*lines, [words["prompt_tokens"], *(f"{arm.prompt_tokens:.0f}" for arm in outcome.arms)]]


def figure(interval: Interval) -> str:
    """A value and its interval."""
    return decimal(f"{interval.value:.2f} [{interval.low:.2f} {interval.high:.2f}]")


def verdict(verdicts: Sequence[Verdict], against: ArmName, words: Words) -> str:
    """What is shown of the tuned model against one other arm, in one line."""
    said: list[str] = []
    for outcome, colour in OUTCOMES:
        metrics = [
            words[one.metric].partition(",")[0]
            for one in verdicts
            if (one.against, one.outcome) == (against, outcome)
        ]
        if metrics:
            said.append(f"[{colour}]{words[outcome].format(metrics=', '.join(metrics))}[/]")
    return words["verdict"].format(arm=words[against], outcomes="; ".join(said))


def wins(verdicts: Sequence[Verdict], against: ArmName, words: Words) -> str:
    """On how many answers the tuned model was better than the other arm."""
    rates = (
        f"{words[one.metric].partition(',')[0]} {one.duels.win_rate:.0%}"
        for one in verdicts
        if one.against == against
    )
    return f"  [dim]{words['wins'].format(rates=', '.join(rates))}[/]"


def remarks(outcome: Outcome, words: Words) -> list[str]:
    """How the figures came about."""
    trial = outcome.trial
    lines = [words["items"].format(count=len(trial.talks), resamples=RESAMPLES), words["paired"]]
    lines.append(prompt(outcome, words))
    if trial.seen == 0:
        lines.append(words["no_overlap"])
    return lines


def prompt(outcome: Outcome, words: Words) -> str:
    """What stood before the prompted base's questions, and why."""
    choice = outcome.choice
    losses = (decimal(f"{count}: {loss:.2f}") for count, loss in choice.losses.items())
    examples = words["chosen" if choice.losses else "examples"].format(
        count=len(choice.prompt.examples), judges=choice.judges, losses="; ".join(losses)
    )
    return words["prompt"].format(
        system=words["no_system" if choice.prompt.system is None else "system"], examples=examples
    )


def emit(outcome: Outcome, models: Models) -> None:
    """The same as one document; a paired difference is the tuned model's figure minus the other's."""
    names = [arm.name for arm in outcome.arms]
    asked = {name: models.tuned if name == "tuned" else models.base for name in names}
    output.emit(
        {
            "object": "afina.comparison",
            "held_out": len(outcome.trial.talks),
            "held_out_in_training": outcome.trial.seen,
            "prompt": {
                "system": outcome.choice.prompt.system is not None,
                "examples": len(outcome.choice.prompt.examples),
                "losses": outcome.choice.losses,
            },
            "arms": [
                {"name": arm.name, "model": asked[arm.name], "prompt_tokens": arm.prompt_tokens}
                for arm in outcome.arms
            ],
            "metrics": [
                {"metric": row.metric, **dict(zip(names, map(asdict, row.figures), strict=True))}
                for row in outcome.comparison.rows
            ],
            "verdicts": [
                {**asdict(one), "win_rate": one.duels.win_rate} for one in outcome.comparison.verdicts
            ],
            "prompting_is_enough": outcome.comparison.prompting_is_enough,
        }
    )
