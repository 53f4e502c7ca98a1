"""A multipart form taken apart as it arrives: small fields into memory, the file to whoever stores it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from afina.errors import InvalidRequest, RequestTooLarge, clipped

MAX_OVERHEAD = 64 * 1024  # bytes that are not the file's: headers, fields, boundaries, what lies around them
MAX_FIELDS = 32
MEBIBYTE = 1024 * 1024
HEAD = 16  # first bytes of the file, by which other formats are known


@dataclass
class Part:
    """One part while it arrives."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    name: str = ""
    is_file: bool = False
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Expected:
    """The one part that holds a file: what it is called, how long it may be, and what helps where it is longer."""

    name: str
    max_bytes: int
    cure: str = ""

    def too_large(self) -> RequestTooLarge:
        """The refusal of what is longer."""
        text = f"File is too large. Max {self.max_bytes // MEBIBYTE} MB{self.cure}."
        return RequestTooLarge(text, param=self.name, code="file_too_large")


class Form:
    """Feed it the body; then `fields` are known, and of the file in it the name, length and first bytes."""

    def __init__(self, content_type: str, store: Callable[[bytes], object], *, expected: Expected):
        self.store = store
        self.expected = expected
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.file_bytes = 0
        self.head = b""
        self.fed = 0
        self.ended = False
        self.part = Part()
        self.header_name = bytearray()
        self.header_value = bytearray()
        self.parser = MultipartParser(
            boundary(content_type),
            {
                "on_part_begin": self.begin_part,
                "on_part_data": self.take_data,
                "on_part_end": self.end_part,
                "on_header_field": self.take_header_name,
                "on_header_value": self.take_header_value,
                "on_header_end": self.end_header,
                "on_headers_finished": self.end_headers,
                "on_end": self.end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self.fed += len(chunk)
        try:
            self.parser.write(chunk)
        except FormParserError:
            raise malformed("The multipart body is not well-formed.") from None
        if self.fed - self.file_bytes > MAX_OVERHEAD:
            raise malformed(f"More than {MAX_OVERHEAD} bytes of the multipart body lie outside of the file.")

    def finish(self) -> None:
        """Nothing follows: a body that stops before its last boundary was cut."""
        if not self.ended:
            raise malformed("The multipart body ends before its last boundary.")

    def begin_part(self) -> None:
        """The next part's headers follow."""
        self.part = Part()

    def take_header_name(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header's name."""
        self.header_name += data[start:end]

    def take_header_value(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header's value."""
        self.header_value += data[start:end]

    def end_header(self) -> None:
        """One header is whole."""
        self.part.headers[self.header_name.decode("latin-1").lower()] = self.header_value.decode("latin-1")
        self.header_name.clear()
        self.header_value.clear()

    def end_headers(self) -> None:
        """From here on the part's data follow: it must be known where they go."""
        options = parse_options_header(self.part.headers.get("content-disposition"))[1]
        name = options.get(b"name")
        if name is None:
            raise malformed("A part of the multipart body has no name.")
        self.part.name = name.decode("utf-8", "replace")
        is_file = self.part.name == self.expected.name
        taken = self.filename is not None if is_file else self.part.name in self.fields
        if taken:
            shown = clipped(self.part.name)
            raise InvalidRequest(f"Duplicate parameter '{shown}'.", param=shown, code="duplicate_parameter")
        if len(self.fields) >= MAX_FIELDS:
            raise malformed(f"The form has more than {MAX_FIELDS} fields.")
        if is_file:
            self.part.is_file = True
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def take_data(self, data: bytes, start: int, end: int) -> None:
        """A piece of the part's data."""
        if not self.part.is_file:
            self.part.data += data[start:end]
            return
        piece = data[start:end]
        self.file_bytes += len(piece)
        if self.file_bytes > self.expected.max_bytes:
            raise self.expected.too_large()
        self.head = (self.head + piece)[:HEAD] if len(self.head) < HEAD else self.head
        self.store(piece)

    def end_part(self) -> None:
        """The part is whole."""
        if not self.part.is_file:
            self.fields[self.part.name] = self.part.data.decode("utf-8", "replace")

    def end(self) -> None:
        """The last boundary was seen."""
        self.ended = True


def boundary(content_type: str) -> bytes:
    """What separates the parts."""
    found = parse_options_header(content_type)[1].get(b"boundary")
    if not found or len(found) > 70:
        raise malformed(
            "The Content-Type of a multipart body must name its boundary, 1 to 70 characters long."
        )
    return found


def malformed(message: str) -> InvalidRequest:
    """The body is not the form that it says it is."""
    return InvalidRequest(message, code="invalid_multipart")
