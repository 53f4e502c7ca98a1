"""What the routes share: the rooms below, opened once for the application."""

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from afina.api.callers import Callers
from afina.blobs import Blobs
from afina.graders.sandbox import Sandbox
from afina.serving.router import Router
from afina.settings import Settings
from afina.store.database import Database


@dataclass(frozen=True)
class Rooms:
    """The rooms that a request walks through."""

    settings: Settings
    database: Database
    callers: Callers
    blobs: Blobs
    router: Router
    sandbox: Sandbox
    joins: CapacityLimiter  # uploads being completed: each reads all its bytes, and others need threads too


async def of(request: Request) -> Rooms:
    """The application's rooms. Dependencies that wait for nothing are async, for they need no thread then."""
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(of)]
