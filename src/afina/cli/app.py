"""The table of commands, and the one place where an error becomes a line and an exit code."""

import sys
import traceback
from typing import Annotated

import typer

from afina import __version__
from afina.cli import (
    batches,
    chat,
    chats,
    check,
    compare,
    estimate,
    evals,
    files,
    jobs,
    keys,
    models,
    operate,
    prices,
)
from afina.cli.output import complain
from afina.errors import AfinaError

app = typer.Typer(
    name="afina",
    help="Fine-tune and serve models on your own hardware, through OpenAI's API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Client commands talk to OPENAI_BASE_URL (default http://127.0.0.1:8400/v1) with OPENAI_API_KEY.",
)
app.add_typer(files.app, name="files")
app.add_typer(jobs.app, name="jobs")
app.add_typer(batches.app, name="batches")
app.command("chat")(chat.chat)
app.add_typer(chats.app, name="chats")
app.add_typer(evals.app, name="evals")
app.command("compare")(compare.compare)
app.command("check")(check.check)
app.command("estimate")(estimate.estimate)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(prices.app, name="prices")
app.command("serve", rich_help_panel="On this machine")(operate.serve)
app.command("fsck", rich_help_panel="On this machine")(operate.fsck)
app.command("models-add", rich_help_panel="On this machine")(operate.models_add)
app.command("doctor", rich_help_panel="On this machine")(operate.doctor)


def show_version(wanted: bool) -> None:
    """Print the version and leave, when asked."""
    if wanted:
        typer.echo(f"afina {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command; `--debug` is read by `main`, which is outside of them all."""


def main() -> None:
    """Run one command: exit 0, 1 after an error (one line on stderr), 2 for wrong usage, 130 for Ctrl-C."""
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(arguments)
    except (AfinaError, OSError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        complain(error)
        sys.exit(1)
