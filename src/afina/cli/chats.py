"""`afina chats`: what models answered where a request said `store`, and a training file of it."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, TypedDict, cast

import typer

from afina.cli.client import connected
from afina.cli.jobs import Pair, given, named
from afina.cli.output import Json, Limit, ago, aside, console, emit, show_table, size

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

app = typer.Typer(help="List, export and delete stored chats.", no_args_is_help=True)

ModelFilter = Annotated[str | None, typer.Option("--model", "-m", help="Only what this model answered.")]
SHOWN = 60  # characters of a reply


class File(TypedDict):
    """The file that an export made."""

    id: str
    bytes: int


class LeftOut(TypedDict):
    """How many chats are no examples, and why."""

    cut_short: int
    unfit: int


class Export(TypedDict):
    """The reply to an export."""

    file: File
    examples: int
    left_out: LeftOut


@app.command("list")
def list_chats(
    model: ModelFilter = None, metadata: Pair = None, limit: Limit = 20, json: Json = False
) -> None:
    """List stored chats, newest first."""
    with connected() as client:
        from openai import omit

        page = client.chat.completions.list(
            model=model or omit, metadata=named(metadata) or omit, order="desc", limit=min(limit, 100)
        )
        found = list(islice(page, limit))
    if json:
        for chat in found:
            emit(chat.to_dict())
        return
    rows = ((chat.id, chat.model, ago(chat.created), reply_of(chat)) for chat in found)
    show_table(("ID", "MODEL", "CREATED", "REPLY"), rows)


def reply_of(chat: "ChatCompletion") -> str:
    """The beginning of what was answered, in one line."""
    message = chat.choices[0].message
    said = " ".join((message.content or "").split())
    calls = "" if said or not message.tool_calls else "(calls a tool)"
    return f"{said[:SHOWN]}..." if len(said) > SHOWN else said or calls


@app.command("export")
def export_chats(
    model: ModelFilter = None,
    metadata: Pair = None,
    name: Annotated[str | None, typer.Option(help="What the file shall be called.")] = None,
    json: Json = False,
) -> None:
    """Write stored chats into a training file of the project, and print its id."""
    body = given({"model": model, "metadata": named(metadata) or None, "filename": name})
    with connected() as client:
        made = cast(Export, client.post("/afina/chat_exports", body=body, cast_to=object))
    if json:
        return emit(made)
    left_out = made["left_out"]
    aside().print(f"{made['examples']} examples, {size(made['file']['bytes'])}")
    if left_out["cut_short"] or left_out["unfit"]:
        aside().print(f"left out: {left_out['cut_short']} cut short, {left_out['unfit']} unfit for training")
    return console().print(made["file"]["id"])


@app.command("delete")
def delete_chat(
    chat_id: Annotated[str, typer.Argument(help="A chat's id: chatcmpl-...", show_default=False)],
    json: Json = False,
) -> None:
    """Forget a stored chat; files that were made of it stay."""
    with connected() as client:
        gone = client.chat.completions.delete(chat_id)
    emit(gone.to_dict()) if json else console().print(f"deleted {gone.id}")
