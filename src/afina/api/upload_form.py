"""What a form must say about a file before it is kept."""

import hashlib
from collections.abc import Set
from dataclasses import dataclass

from afina.api.multipart import Form
from afina.blobs import Written
from afina.data.jsonl import refusal
from afina.errors import InvalidRequest, clipped
from afina.schemas.files import EXPIRES_AFTER, KEPT_BY_DEFAULT, UPLOAD_PURPOSES, FileObject

LINE_PURPOSES = ("fine-tune", "batch")  # their files hold one JSON object a line
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"


@dataclass(frozen=True)
class NewFile:
    """A form that was found right; `expires_after` in seconds."""

    filename: str
    purpose: str
    expires_after: int | None

    def file(self, identifier: str, written: Written, *, now: int) -> FileObject:
        """The record of its stored bytes."""
        kept = self.expires_after or KEPT_BY_DEFAULT.get(self.purpose)
        return FileObject(
            id=identifier,
            bytes=written.bytes,
            created_at=now,
            expires_at=None if kept is None else now + kept,
            filename=self.filename,
            purpose=self.purpose,
            sha256=written.sha256,
        )

    def fingerprint(self, written: Written) -> str:
        """Two uploads are equal when all that was sent is."""
        parts = (self.filename, self.purpose, str(self.expires_after), written.sha256)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_upload(form: Form) -> NewFile:
    """The form's fields and file, or the 400 that tells what is wrong with them."""
    refuse_others(form, {"purpose", ANCHOR, SECONDS})
    if form.filename is None:
        raise required("file")
    if "purpose" not in form.fields:
        raise required("purpose")
    purpose = form.fields["purpose"]
    check_purpose(purpose)
    filename = basename(form.filename)
    if form.file_bytes == 0:
        raise InvalidRequest("File is empty.", param="file", code="empty_file")
    check_name(filename, purpose)
    check_head(form.head, purpose)
    return NewFile(filename, purpose, expires_after(form.fields))


def refuse_others(form: Form, known: Set[str]) -> None:
    """A form has no fields but those that are known."""
    for name in form.fields:
        if name not in known:
            raise InvalidRequest(
                f"Unknown parameter: '{clipped(name)}'.", param=clipped(name), code="unknown_parameter"
            )


def required(name: str) -> InvalidRequest:
    """A field that every upload has."""
    return InvalidRequest(f"'{name}' is a required property", param=name, code="missing_required_parameter")


def check_purpose(purpose: str) -> None:
    """Some purposes only jobs and batches may give."""
    if purpose in UPLOAD_PURPOSES:
        return
    known = ", ".join(f"'{name}'" for name in UPLOAD_PURPOSES)
    made_here = purpose in ("fine-tune-results", "batch_output", "assistants_output")
    text = "this purpose is output-only" if made_here else "it is none of those that exist"
    raise InvalidRequest(
        f"Invalid 'purpose': {text}. Supported values are: {known}.", param="purpose", code="invalid_purpose"
    )


def basename(sent: str, *, param: str = "file") -> str:
    """The last part of a name that may be a whole path; the blob is found by id, never by this."""
    name = sent.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if letter.isprintable()).strip()
    if not name.lstrip(".") or name.lower() == ".jsonl":
        raise InvalidRequest("The file has no name.", param=param, code="invalid_filename")
    if len(name.encode()) > 255:
        raise InvalidRequest(
            "The file's name is longer than 255 bytes.", param=param, code="invalid_filename"
        )
    return name


def check_name(filename: str, purpose: str) -> None:
    """A file of JSON lines says so in its name."""
    if purpose in LINE_PURPOSES and not filename.lower().endswith(".jsonl"):
        raise invalid_format("the file must be a .jsonl file, and its name must say so")


def check_head(head: bytes, purpose: str) -> None:
    """What can be told from the first bytes; the rest is told by the job that reads the file."""
    if purpose in LINE_PURPOSES and (reason := refusal(head)) is not None:
        raise invalid_format(reason)


def invalid_format(reason: str) -> InvalidRequest:
    """Not a file of JSON lines."""
    return InvalidRequest(f"Invalid file format: {reason}.", param="file", code="invalid_file_format")


def expires_after(fields: dict[str, str]) -> int | None:
    """`expires_after[seconds]`, counted from the file's creation."""
    if ANCHOR not in fields and SECONDS not in fields:
        return None
    least, most = EXPIRES_AFTER
    text = fields.get(SECONDS, "")
    seconds = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if fields.get(ANCHOR) != "created_at" or not least <= seconds <= most:
        raise InvalidRequest(
            f"Invalid 'expires_after': anchor must be 'created_at' and seconds must be between {least} and {most}.",
            param="expires_after",
            code="invalid_value",
        )
    return seconds
