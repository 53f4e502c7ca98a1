"""Uploads: a large file that arrives in parts."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.files import ExpiresAfter, FileObject
from afina.schemas.record import Record, Request, internal

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]

MAX_PARTS = 10_000


class CreateUpload(Request):
    """What is going to be uploaded."""

    filename: str
    purpose: str
    bytes: Annotated[int, Field(ge=0)]
    mime_type: Annotated[str, Field(max_length=255)]
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Request):
    """The parts in their order; an `md5` that is no MD5 (32 hexadecimal digits) is not looked at."""

    part_ids: Annotated[list[str], Field(max_length=MAX_PARTS)]
    md5: str | None = None


class Upload(Record):
    """A file on its way; `expires_after` in seconds is the future file's."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: UploadStatus = "pending"
    file: FileObject | None = None
    project_id: str = internal("")
    mime_type: str = internal("")
    expires_after: int | None = internal()
    file_id: str | None = internal()

    @property
    def folder(self) -> str:
        """Where the blobs of its parts lie."""
        return f"uploads/{self.id}"


class UploadPart(Record):
    """A piece of a file; its bytes are a blob of its own until the upload is completed."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str
    project_id: str = internal("")
    bytes: int = internal(0)
    sha256: str = internal("")

    @property
    def blob(self) -> str:
        """The key of its bytes."""
        return f"uploads/{self.upload_id}/{self.id}"
