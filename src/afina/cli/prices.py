"""`afina prices`: what a million tokens of a model cost."""

from typing import Annotated, TypedDict, cast
from urllib.parse import quote

import typer

from afina.cli.client import connected
from afina.cli.output import Json, console, emit, show_table

app = typer.Typer(help="Set, list and delete the prices by which costs are reckoned.", no_args_is_help=True)

PATH = "/afina/prices"
Model = Annotated[str, typer.Argument(help="The name of a base or of a tuned model.", show_default=False)]
Usd = typer.Option(min=0, help="US dollars for a million tokens.")


class Price(TypedDict):
    """A price as the server shows it."""

    model: str
    input: float
    cached_input: float
    output: float
    training: float


class Prices(TypedDict):
    """All prices."""

    data: list[Price]


@app.command("set")
def set_price(
    *,
    model: Model,
    input: Annotated[float, Usd],
    output: Annotated[float, Usd],
    cached_input: Annotated[float | None, Usd] = None,
    training: Annotated[float, Usd] = 0.0,
    json: Json = False,
) -> None:
    """Give a model a price; those tuned from it cost the same, unless they have their own."""
    body = {
        "model": model,
        "input": input,
        "output": output,
        "cached_input": cached_input,
        "training": training,
    }
    with connected() as client:
        price = cast(Price, client.post(PATH, body=body, cast_to=object))
    return emit(price) if json else console().print(price["model"])


@app.command("list")
def list_prices(json: Json = False) -> None:
    """List all prices, in US dollars for a million tokens."""
    with connected() as client:
        prices = cast(Prices, client.get(PATH, cast_to=object))
    if json:
        for price in prices["data"]:
            emit(price)
        return
    rows = (
        (p["model"], *(f"{p[kind]:g}" for kind in ("input", "cached_input", "output", "training")))
        for p in prices["data"]
    )
    show_table(("MODEL", "INPUT", "CACHED", "OUTPUT", "TRAINING"), rows)


@app.command("delete")
def delete_price(model: Model) -> None:
    """From now on a model costs nothing."""
    with connected() as client:
        client.delete(f"{PATH}/{quote(model, safe='')}", cast_to=object)
    console().print(model)
