"""Which other projects may use a tuned model."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.record import Record, Request


class CreatePermissions(Request):
    """The body of `POST /fine_tuning/checkpoints/{model}/permissions`."""

    project_ids: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]], Field(min_length=1, max_length=100)
    ]


class CheckpointPermission(Record):
    """A project that may use another one's tuned model."""

    id: str
    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    created_at: int
    project_id: str
