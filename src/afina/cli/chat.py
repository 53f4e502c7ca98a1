"""`afina chat`: talk to a model; words appear as they are made."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from afina.cli.client import connected, refusal
from afina.cli.output import CommandFailed, Json, aside, complain, console, emit

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam

WARNING_HEADER = "x-afina-warning"


@dataclass(frozen=True)
class Options:
    """How to answer; None leaves it to the server."""

    model: str
    max_tokens: int | None
    temperature: float | None
    seed: int | None


def chat(
    model: Annotated[str, typer.Argument(help="A model's name: see afina models list.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(help="One question; without it, a conversation.")] = None,
    *,
    system: Annotated[str | None, typer.Option(help="What the model should be told first.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 for the likeliest words.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same answer.")] = None,
    json: Json = False,
) -> None:
    """Ask a model, or talk with it until Ctrl-D; a prompt may be piped in."""
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
        if not prompt:
            raise CommandFailed("nothing was piped in", cure="give a question: afina chat MODEL PROMPT")
    if json and prompt is None:
        raise CommandFailed("--json answers one prompt", cure="give it: afina chat MODEL PROMPT --json")
    options = Options(model, max_tokens, temperature, seed)
    messages: list[ChatCompletionMessageParam] = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    with connected() as client:
        if prompt is None:
            return converse(client, options, messages)
        messages.append({"role": "user", "content": prompt})
        if json:
            return emit_answer(client, options, messages)
        answer(client, options, messages)
        return None


def converse(client: "OpenAI", options: Options, messages: "list[ChatCompletionMessageParam]") -> None:
    """Turn after turn, until the person ends the input."""
    import readline as readline  # the line can be edited, and earlier ones recalled

    from openai import BadRequestError

    aside().print(f"[dim]talking to {escape(options.model)}; Ctrl-D ends[/]")
    while True:
        try:
            said = console().input("[bold cyan]> [/]").strip()
        except EOFError:
            return console().print()
        if said:
            messages.append({"role": "user", "content": said})
            try:
                messages.append({"role": "assistant", "content": answer(client, options, messages)})
            except BadRequestError as error:  # a turn that is too long, say: the talk goes on without it
                messages.pop()
                complain(refusal(error))


def answer(client: "OpenAI", options: Options, messages: "list[ChatCompletionMessageParam]") -> str:
    """Print an answer as it comes, and return it; what the server warns of goes to stderr."""
    reply = client.chat.completions.with_raw_response.create(
        model=options.model,
        messages=messages,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        seed=options.seed,
        stream=True,
    )
    warn(reply.headers.get(WARNING_HEADER))
    words: list[str] = []
    for chunk in reply.parse():
        word = (chunk.choices[0].delta.content or "") if chunk.choices else ""
        words.append(word)
        sys.stdout.write(word)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return "".join(words)


def emit_answer(client: "OpenAI", options: Options, messages: "list[ChatCompletionMessageParam]") -> None:
    """The whole completion as one document."""
    reply = client.chat.completions.with_raw_response.create(
        model=options.model,
        messages=messages,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        seed=options.seed,
    )
    warn(reply.headers.get(WARNING_HEADER))
    emit(reply.parse().to_dict())


def warn(text: str | None) -> None:
    """A remark of the server, such as that the tiny base stands in for another model."""
    if text:
        aside().print(f"[yellow]{escape(text)}[/]")
