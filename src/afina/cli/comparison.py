"""Three arms on the same held-out conversations: what is asked of the server, in which order, and what came of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from afina.cli import comparison_words
from afina.cli.arms import Player, mean_loss
from afina.cli.chat import warn
from afina.cli.client import connected_async
from afina.cli.comparison_data import Trial
from afina.cli.judged import judged
from afina.cli.output import aside
from afina.evals.compare import Arm, ArmName, Comparison, compare
from afina.evals.prompts import Prompt

PLAIN = Prompt()


@dataclass(frozen=True)
class Models:
    """Who is compared with whom, how long answers may be, and which model grades them, if one does."""

    base: str
    tuned: str
    max_tokens: int
    judge: str | None = None


@dataclass(frozen=True)
class Choice:
    """The prompt that is used, and the loss on other training rows by which it won, by number of examples."""

    prompt: Prompt
    judges: int
    losses: Mapping[int, float]


@dataclass(frozen=True)
class Outcome:
    """Everything there is to say."""

    trial: Trial
    choice: Choice
    arms: tuple[Arm, ...]
    comparison: Comparison


def run(trial: Trial, models: Models, *, headings: Sequence[str]) -> Outcome:
    """Play all arms, showing how far it is on stderr, and compare them."""
    screen, words = aside(), comparison_words.chosen()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=work(trial, models))
        stage = Stage(
            say=lambda key, arm: progress.update(task, description=words[key].format(arm=words.get(arm, ""))),
            done=lambda count: progress.advance(task, count),
        )
        choice, arms = asyncio.run(play(trial, models, stage))
    return Outcome(trial, choice, arms, compare(trial.cases, arms, headings))


@dataclass(frozen=True)
class Stage:
    """Who hears what is being done, and of every conversation that is through."""

    say: Callable[[str, str], None]
    done: Callable[[int], None]


def work(trial: Trial, models: Models) -> int:
    """Conversations to be answered, scored or graded."""
    choosing = len(trial.drawn.prompts(trial.system)) * len(trial.drawn.judges)
    return choosing + 3 * (3 if models.judge else 2) * len(trial.talks)


async def play(trial: Trial, models: Models, stage: Stage) -> tuple[Choice, tuple[Arm, ...]]:
    """The chosen prompt and all arms, the tuned one last."""
    heard: set[str | None] = set()
    async with connected_async() as client:
        player = Player(client, models.max_tokens, done=stage.done, warn=heard.add)
        stage.say("choosing", "")
        choice = await choose(player, models.base, trial)
        plan: tuple[tuple[ArmName, str, Prompt], ...] = (
            ("base", models.base, PLAIN),
            ("prompted", models.base, choice.prompt),
            ("tuned", models.tuned, PLAIN),
        )
        arms: list[Arm] = []
        for name, model, prompt in plan:
            stage.say("answering", name)
            replies = await player.replies(model, prompt, trial.talks)
            stage.say("scoring", name)
            likelihoods = await player.likelihoods(model, prompt, trial.talks)
            stage.say("grading", name)
            grades = await judged(client, models.judge, trial, replies, done=stage.done)
            arms.append(Arm(name, replies, likelihoods, grades))
    for text in heard:
        warn(text)
    return choice, tuple(arms)


async def choose(player: Player, model: str, trial: Trial) -> Choice:
    """The number of examples with the lowest loss on training rows that are none of them, nor held out."""
    prompts, judges = trial.drawn.prompts(trial.system), trial.drawn.judges
    if len(prompts) == 1:
        return Choice(prompts[0], 0, {})
    losses: dict[int, float] = {}
    for prompt in prompts:
        if (found := await player.likelihoods_if_they_fit(model, prompt, judges)) is not None:
            losses[len(prompt.examples)] = mean_loss(found)
    best = min(prompts, key=lambda prompt: losses.get(len(prompt.examples), inf))
    return Choice(best, len(judges), losses)
