"""Embeddings: texts or token ids in, vectors out; the same objects on the way to a host."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from afina.schemas.inputs import Ids, by_first_item
from afina.schemas.record import Record, Request

ENCODER = "afina-encoder"  # what hosts call the encoder of the installation

Text = Annotated[str, Field(min_length=1)]
Input = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Annotated[list[Text], Field(max_length=2048)], Tag("texts")]
    | Annotated[Ids, Tag("ids")]
    | Annotated[Annotated[list[Ids], Field(max_length=2048)], Tag("rows")],
    by_first_item("Expected a string, token ids, or an array of either that is not empty"),
]
Encoding = Literal["float", "base64"]


class CreateEmbeddings(Request):
    """The body of `POST /embeddings`; `dimensions` keeps the first ones, at unit length again."""

    input: Input
    model: Annotated[str, Field(min_length=1, max_length=256)]
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Encoding | None = None
    user: Annotated[str, Field(max_length=512)] | None = None


class Embedding(Record):
    """A vector as numbers, or as base64 of float32 with the lowest byte first."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Record):
    """Tokens in."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Record):
    """The vectors, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
