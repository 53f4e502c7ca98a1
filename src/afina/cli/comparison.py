"""Three arms on the same held-out conversations: what is asked of the server, in which order, and what came of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from afina.cli import comparison_words, conversations
from afina.cli.arms import Player, mean_loss
from afina.cli.chat import warn
from afina.cli.client import connected_async
from afina.cli.output import CommandFailed, aside
from afina.data.messages import Conversation
from afina.evals.compare import Arm, ArmName, Case, Comparison, compare
from afina.evals.prompts import Draw, Prompt, draw, identity, said

PLAIN = Prompt()


@dataclass(frozen=True)
class Models:
    """Who is compared with whom, and how long answers may be."""

    base: str
    tuned: str
    max_tokens: int


@dataclass(frozen=True)
class Trial:
    """What is asked: the held-out conversations, and what a prompt may be made of."""

    talks: tuple[Conversation, ...]
    system: str | None
    drawn: Draw
    seen: int | None  # held-out conversations that are in the training file too; None without such a file

    @property
    def prompted(self) -> bool:
        """Whether there is anything to put before a question."""
        return self.system is not None or bool(self.drawn.examples)


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


def prepare(held_out: Path, *, train: Path | None, system: str | None) -> Trial:
    """Read the files; held-out rows whose last answer is no text cannot be compared and are left out."""
    talks = tuple(talk for talk in conversations.read(held_out) if said(talk.messages[-1]))
    if not talks:
        raise CommandFailed(f"{held_out} holds no answer in words", cure="compare on answers that are text")
    rows = [] if train is None else conversations.read(train)
    known = {identity(row) for row in rows}
    seen = None if train is None else sum(identity(talk) in known for talk in talks)
    return Trial(talks, None if system is None else text_or_file(system), draw(rows, talks), seen)


def text_or_file(text: str) -> str:
    """The text of a file of that name, where there is one."""
    try:
        return Path(text).read_text("utf-8").strip() if Path(text).is_file() else text
    except OSError:  # longer than a name may be
        return text
    except UnicodeDecodeError:
        raise CommandFailed(f"{text} is not UTF-8 text", cure="save it as UTF-8") from None


def run(trial: Trial, models: Models, *, headings: Sequence[str]) -> Outcome:
    """Play all arms, showing how far it is on stderr, and compare them."""
    screen, words = aside(), comparison_words.chosen()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=work(trial))
        stage = Stage(
            say=lambda key, arm: progress.update(task, description=words[key].format(arm=words.get(arm, ""))),
            done=lambda count: progress.advance(task, count),
        )
        choice, arms = asyncio.run(play(trial, models, stage))
    return Outcome(trial, choice, arms, compare(cases(trial.talks), arms, headings))


@dataclass(frozen=True)
class Stage:
    """Who hears what is being done, and of every conversation that is through."""

    say: Callable[[str, str], None]
    done: Callable[[int], None]


def work(trial: Trial) -> int:
    """Conversations to be answered or scored."""
    choosing = len(trial.drawn.prompts(trial.system)) * len(trial.drawn.judges)
    return choosing + (3 if trial.prompted else 2) * 2 * len(trial.talks)


def cases(talks: Sequence[Conversation]) -> list[Case]:
    """The last question of each conversation, and its answer."""
    found: list[Case] = []
    for talk in talks:
        asked = [said(message) for message in talk.messages if message["role"] == "user"]
        found.append(Case(asked[-1] if asked else "", said(talk.messages[-1])))
    return found


async def play(trial: Trial, models: Models, stage: Stage) -> tuple[Choice, tuple[Arm, ...]]:
    """The chosen prompt and all arms, the tuned one last."""
    heard: set[str | None] = set()
    async with connected_async() as client:
        player = Player(client, models.max_tokens, done=stage.done, warn=heard.add)
        stage.say("choosing", "")
        choice = await choose(player, models.base, trial)
        plan: list[tuple[ArmName, str, Prompt]] = [("base", models.base, PLAIN)]
        if trial.prompted:
            plan.append(("prompted", models.base, choice.prompt))
        plan.append(("tuned", models.tuned, PLAIN))
        arms: list[Arm] = []
        for name, model, prompt in plan:
            stage.say("answering", name)
            replies = await player.replies(model, prompt, trial.talks)
            stage.say("scoring", name)
            arms.append(Arm(name, replies, await player.likelihoods(model, prompt, trial.talks)))
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
