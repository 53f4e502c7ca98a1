"""Files: what a user uploaded, and what a job or a batch left behind."""

from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from afina.schemas.record import Deleted, Record, Request, internal

UPLOAD_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
EXPIRES_AFTER = (3600, 2_592_000)
KEPT_BY_DEFAULT = {"batch": 2_592_000}  # seconds; files of all other purposes stay


def check_seconds(value: int) -> int:
    """An hour to thirty days."""
    least, most = EXPIRES_AFTER
    if not least <= value <= most:
        limits = {"least": least, "most": most}
        raise PydanticCustomError("out_of_range", "must be between {least} and {most}", limits)
    return value


class ExpiresAfter(Request):
    """When a file goes, counted from its creation."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, AfterValidator(check_seconds)]


class FileObject(Record):
    """A stored file; its bytes are the blob `files/{id}`."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None
    project_id: str = internal("")
    sha256: str = internal("")

    @property
    def blob(self) -> str:
        """The key of its bytes."""
        return f"files/{self.id}"


class Traces(Record):
    """What a file leaves behind: the models that are there and were trained on it, or validated with it."""

    models: list[str]


class FileDeleted(Deleted):
    """The reply to a file's DELETE: its row and bytes are gone, what was learned from it is not."""

    object: str = "file"
    afina: Traces
