"""`afina models`: bases, and what jobs made of them."""

from typing import Annotated

import typer

from afina.cli.client import connected
from afina.cli.output import Json, ago, console, emit, show_fields, show_table

app = typer.Typer(help="List and delete models.", no_args_is_help=True)

ModelId = Annotated[str, typer.Argument(help="A model's name: afina-tiny, ft:...", show_default=False)]


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the models that can be named in a request."""
    with connected() as client:
        found = list(client.models.list())
    if json:
        for model in found:
            emit(model.to_dict())
        return
    show_table(("MODEL", "OWNED BY", "CREATED"), ((m.id, m.owned_by, ago(m.created)) for m in found))


@app.command("get")
def get_model(model: ModelId, json: Json = False) -> None:
    """Show one model."""
    with connected() as client:
        found = client.models.retrieve(model)
    if json:
        return emit(found.to_dict())
    return show_fields((("model", found.id), ("owned by", found.owned_by), ("created", ago(found.created))))


@app.command("delete")
def delete_model(model: ModelId, json: Json = False) -> None:
    """Delete a tuned model; a base cannot be deleted."""
    with connected() as client:
        reply = client.models.delete(model)
    emit(reply.to_dict()) if json else console().print(f"deleted {reply.id}")
