"""Evals: what is asked of a model's answers, and of which items."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field

from afina.schemas.bounds import Metadata
from afina.schemas.chat_messages import JsonObject
from afina.schemas.graders import (
    LabelModelGrader,
    Messages,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)
from afina.schemas.record import Record, Request, internal

SPEAKERS = ("user", "assistant", "system", "developer")
Name = Annotated[str, Field(max_length=256)]


def known_speakers(value: object) -> object:
    """OpenAI's simple messages may have any role: one that no model knows is the user's."""
    if not isinstance(value, list):
        return value
    return [with_known_speaker(each) for each in cast("list[object]", value)]


def with_known_speaker(message: object) -> object:
    """A message whose role is one of four."""
    match message:
        case {"role": str(role)} if role not in SPEAKERS:
            return {**cast("dict[str, object]", message), "role": "user"}
        case _:
            return message


class TextSimilarityCriterion(TextSimilarityGrader):
    """An item passes with at least the threshold."""

    pass_threshold: float


class PythonCriterion(PythonGrader):
    """An item passes with at least the threshold; half of 1 where none is given."""

    pass_threshold: float | None = None


class ScoreModelCriterion(ScoreModelGrader):
    """An item passes with at least the threshold; the middle of the range where none is given."""

    pass_threshold: float | None = None


class LabelModelCriterion(LabelModelGrader):
    """An item passes with a label that does."""

    input: Annotated[Messages, BeforeValidator(known_speakers)]


Criterion = Annotated[
    StringCheckGrader | TextSimilarityCriterion | PythonCriterion | ScoreModelCriterion | LabelModelCriterion,
    Field(discriminator="type"),
]
Criteria = Annotated[list[Criterion], Field(min_length=1, max_length=64)]


class CustomItems(Request):
    """Items of one's own; with a sample schema, they are answered by a model or bring their answers along."""

    type: Literal["custom"]
    item_schema: JsonObject
    include_sample_schema: bool | None = None


class LoggedItems(Request):
    """Items out of what the server has kept; `stored_completions` is the older word."""

    type: Literal["logs", "stored_completions"]
    metadata: Metadata | None = None


class CreateEval(Request):
    """The body of `POST /evals`."""

    data_source_config: Annotated[CustomItems | LoggedItems, Field(discriminator="type")]
    testing_criteria: Criteria
    name: Name | None = None
    metadata: Metadata | None = None


class UpdateEval(Request):
    """What changes in an eval; what is not named stays, and `metadata` is replaced as a whole."""

    name: Name | None = None
    metadata: Metadata | None = None


class CustomSource(Record):
    """Where items come from, and which form they have."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["custom"] = "custom"
    body: JsonObject = Field(alias="schema")

    @property
    def item_schema(self) -> JsonObject:
        """The form of an item."""
        properties = self.body["properties"]
        assert isinstance(properties, dict)
        item = properties["item"]
        assert isinstance(item, dict)
        return item


class LoggedSource(Record):
    """Items out of what the server has kept, as far as it carries the metadata."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["logs", "stored_completions"]
    body: JsonObject = Field(alias="schema")
    metadata: dict[str, str] | None = None

    @property
    def item_schema(self) -> JsonObject:
        """Kept items have the form in which they were kept."""
        return {}


class Eval(Record):
    """An eval."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: str
    object: Literal["eval"] = "eval"
    created_at: int
    name: str
    data_source_config: Annotated[CustomSource | LoggedSource, Field(discriminator="type")]
    testing_criteria: list[Criterion]
    metadata: dict[str, str] | None = None
    updated_at: int = internal(0)
    project_id: str = internal("")


class EvalDeleted(Record):
    """The reply to the DELETE of an eval."""

    eval_id: str
    object: Literal["eval.deleted"] = "eval.deleted"
    deleted: bool = True


class RunDeleted(Record):
    """The reply to the DELETE of a run."""

    run_id: str
    object: Literal["eval.run.deleted"] = "eval.run.deleted"
    deleted: bool = True


SAMPLE: JsonObject = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "output_text": {"type": "string"},
        "output_json": {"type": "object"},
        "output_tools": {"type": "array", "items": {"type": "object"}},
        "choices": {"type": "array", "items": {"type": "object"}},
        "input": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": "object"},
    },
}
LOGGED: JsonObject = {
    "type": "object",
    "properties": {
        "input": {"type": "array", "items": {"type": "object"}},
        "output": {"type": "array", "items": {"type": "object"}},
        "metadata": {"type": "object"},
    },
    "required": ["input"],
}


def source_of(config: CustomItems | LoggedItems) -> CustomSource | LoggedSource:
    """The configuration as it is shown: with the form of both namespaces."""
    if isinstance(config, LoggedItems):
        body = both(LOGGED, SAMPLE)
        return LoggedSource.model_validate({"type": config.type, "schema": body, "metadata": config.metadata})
    sample = SAMPLE if config.include_sample_schema else None
    return CustomSource.model_validate({"schema": both(config.item_schema, sample)})


def both(item: JsonObject, sample: JsonObject | None) -> JsonObject:
    """The form of an item and, where there is one, of its sample."""
    named = {"item": item} if sample is None else {"item": item, "sample": sample}
    return {"type": "object", "properties": {**named}, "required": [*named]}
