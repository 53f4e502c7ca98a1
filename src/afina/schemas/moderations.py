"""Moderations: whether a text may be harmful, in thirteen ways."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from afina.schemas.inputs import by_first_item
from afina.schemas.record import Record, Request

MODERATOR = "afina-moderator"  # what hosts call the installation's classifier
CATEGORIES: tuple[str, ...] = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
Category = str


class TextInput(Request):
    """A text among several inputs; there is no other kind, for images are not looked at."""

    type: Literal["text"]
    text: str


def part_kind(value: object) -> str | None:
    """Whether a part of an input is a text."""
    match value:
        case {"type": "text"} | TextInput():
            return "text"
        case _:
            return None


Part = Annotated[
    Annotated[TextInput, Tag("text")],
    Discriminator(
        part_kind,
        custom_error_type="invalid_value",
        custom_error_message="Expected an input of type 'text': images are not looked at here",
    ),
]
Input = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[Annotated[list[str], Field(max_length=2048)], Tag("texts")]
    | Annotated[Annotated[list[Part], Field(max_length=2048)], Tag("parts")],
    by_first_item("Expected a string, or an array of strings or of inputs that is not empty"),
]


class CreateModeration(Request):
    """The body of `POST /moderations`; whatever model is asked for, there is one."""

    input: Input
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @property
    def texts(self) -> list[str]:
        """What is judged, each for itself; the parts of one input are judged together."""
        if isinstance(self.input, str):
            return [self.input]
        parts = [part.text for part in self.input if isinstance(part, TextInput)]
        return ["\n".join(parts)] if parts else [text for text in self.input if isinstance(text, str)]


class Moderation(Record):
    """What one input was found to be."""

    flagged: bool
    categories: dict[Category, bool]
    category_scores: dict[Category, float]
    category_applied_input_types: dict[Category, list[Literal["text"]]]


class ModerationList(Record):
    """The judgements, in the order of the inputs."""

    id: str
    model: str
    results: list[Moderation]


class Classify(Request):
    """What a host with a classifier is asked: token ids, as vLLM's `/classify` takes them too."""

    model: str
    input: list[list[int]]


class Classified(Record):
    """How likely each label is, for each input."""

    scores: list[dict[str, float]]
