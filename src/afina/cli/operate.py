"""Operator commands: they work on the data directory of this machine, not over HTTP.

What they need (the database, the engine's library) is imported when they run: client commands stay light.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from afina.cli.output import Json, console, emit
from afina.settings import from_environment

Data = Annotated[Path | None, typer.Option(help="The data directory; ./afina-data, if not given.")]

COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port to listen on.")] = None,
    data: Data = None,
    workers: Annotated[int | None, typer.Option(help="How many; 0 serves without working.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="Cores of one engine; 0 for all.")] = None,
    runs_per_host: Annotated[int | None, typer.Option(min=1, help="Runs that share one base.")] = None,
    database_url: Annotated[str | None, typer.Option(help="postgresql://...; SQLite, if not given.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    json: Json = False,
) -> None:
    """Start the server and its workers, and keep them running until Ctrl-C or SIGTERM."""
    from afina.cli.serve import run

    settings = from_environment().with_flags(
        host=host,
        port=port,
        data=data,
        workers=workers,
        threads=threads,
        runs_per_host=runs_per_host,
        database_url=database_url,
        log_level=log_level,
    )
    run(settings, json=json)


def fsck(data: Data = None, json: Json = False) -> None:
    """Check every promise that the data directory makes; exit 0 when all hold. Not while it is served."""
    from afina.cli.fsck import check

    findings = check(from_environment().with_flags(data=data))
    for finding in findings:
        if json:
            emit(asdict(finding))
        else:
            line = f"{finding.subject}: {finding.detail} - {finding.cure}"
            console().print(f"[red]{finding.invariant}[/] {escape(line)}")
    if findings:
        raise typer.Exit(1)
    if not json:
        console().print("[green]every invariant holds[/]")


def doctor(data: Data = None, json: Json = False) -> None:
    """Look at what this machine has, and say what is missing; exit 1 if something is in the way."""
    from afina.cli.doctor import examine

    bad = False
    for seen in examine(from_environment().with_flags(data=data)):
        bad = bad or seen.level == "bad"
        if json:
            emit(asdict(seen))
        else:
            line = f"{seen.name:<12} {seen.found}" + (f" - {seen.cure}" if seen.cure else "")
            console().print(f"[{COLOURS[seen.level]}]{seen.level:>4}[/]  {escape(line)}")
    if bad:
        raise typer.Exit(1)


def models_add(
    name: Annotated[
        str | None, typer.Argument(help="What it will be called: qwen3-4b.", show_default=False)
    ] = None,
    *,
    source: Annotated[str | None, typer.Option(help="A folder, or ORGANIZATION/MODEL on the hub.")] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="Another name that means it, such as gpt-4o-mini; repeatable.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit on the hub.")] = None,
    thinking: Annotated[
        Literal["auto", "off", "on", "none"],
        typer.Option(help="Whether it thinks aloud; auto is off, where its template has a switch."),
    ] = "auto",
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy a folder's files, instead of using them there.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Register it even if it seems too large.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show the bases that we recommend.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a model a base that jobs and chats can name; a server that runs need not be restarted."""
    if listing:
        from afina.cli import catalogue

        return catalogue.show(json=json)
    if name is None or source is None:
        raise typer.BadParameter("NAME and --source are needed, or --list")
    from afina.cli.models_add import Wish, add

    wish = Wish(
        name=name,
        source=source,
        aliases=alias or (),
        revision=revision,
        thinking=thinking,
        copy=copy,
        force=force,
    )
    return add(from_environment().with_flags(data=data), wish, json=json)
