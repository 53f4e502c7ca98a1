"""Files: what a user uploaded, and what a job left behind."""

from typing import Literal

from afina.schemas.record import Record, internal

UPLOAD_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


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
