"""`python -m afina.host`: one base model on one socket. Started by a worker's executor, and dies with it."""

import argparse
import signal
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from afina.host import encoder
from afina.host.app import create_app
from afina.processes import die_with, log_to_stderr
from afina.schemas.embeddings import ENCODER
from afina.schemas.moderations import MODERATOR
from afina.settings import from_environment


def main() -> None:
    """Serve until SIGTERM; runs write a resume point on the way out."""
    arguments = parse(sys.argv[1:])
    die_with(arguments.parent, signal.SIGKILL)
    log_to_stderr(from_environment().log_level)
    app = app_of(arguments)
    uvicorn.run(app, uds=arguments.socket, log_level="warning", access_log=False, timeout_graceful_shutdown=5)


def app_of(arguments: argparse.Namespace) -> FastAPI:
    """What answers for the model: an engine, or an encoder under one of the two names that mean one."""
    source, name, threads = arguments.source, arguments.base, arguments.threads
    if name in (ENCODER, MODERATOR):
        return encoder.create_app(source, name=name, threads=threads)
    return create_app(source, name=name, dtype=arguments.dtype, threads=threads)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line: one base, one socket."""
    parser = argparse.ArgumentParser(prog="afina.host", description=__doc__)
    parser.add_argument("--base", required=True, help="the base model's name")
    parser.add_argument("--source", required=True, type=Path, help="the folder of its files")
    parser.add_argument("--socket", required=True, help="the Unix socket to listen on")
    parser.add_argument("--parent", required=True, type=int, help="the process to die with")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, required=True, help="how many cores the engine computes on")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
