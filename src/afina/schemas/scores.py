"""How likely a model finds given answers."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from afina.schemas.record import Record, Request

MOST_INPUTS = 64


class CreateScores(Request):
    """The body of `POST /v1/afina/scores`: each input is what a row of a training file may be."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    inputs: Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=MOST_INPUTS)]


class Score(Record):
    """Of the assistant's tokens with weight 1: their number, mean loss in nats, and how many were likeliest."""

    object: Literal["afina.score"] = "afina.score"
    tokens: int
    loss: float
    correct: int


class Scores(Record):
    """One score for each input, in their order."""

    object: Literal["list"] = "list"
    data: list[Score]
