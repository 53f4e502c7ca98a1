"""The form of a reply: JSON of a schema, tool calls, or either; written as vLLM's structural tags are."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from afina.schemas.record import Request


class JsonForm(Request):
    """JSON that the schema describes, and nothing beside it."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, JsonValue]


class Tag(Request):
    """JSON between two texts."""

    type: Literal["tag"] = "tag"
    begin: Annotated[str, Field(min_length=1)]
    content: JsonForm
    end: str


Tags = Annotated[list[Tag], Field(min_length=1)]


class TagsForm(Request):
    """Tags alone, at least one; with `stop_after_first`, exactly one."""

    type: Literal["tags_with_separator"] = "tags_with_separator"
    tags: Tags
    separator: str
    at_least_one: Literal[True] = True
    stop_after_first: bool = False


class TriggeredForm(Request):
    """Free text, in which the trigger is followed by what one of the tags says; with `stop_after_first`, by its end."""

    type: Literal["triggered_tags"] = "triggered_tags"
    triggers: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1)]
    tags: Tags
    stop_after_first: bool = False


class EitherForm(Request):
    """One of several forms."""

    type: Literal["or"] = "or"
    elements: "Annotated[list[Form], Field(min_length=1)]"


Form = Annotated[JsonForm | TagsForm | TriggeredForm | EitherForm, Field(discriminator="type")]
EitherForm.model_rebuild()


class StructuralTag(Request):
    """`response_format` of a request to a host."""

    type: Literal["structural_tag"] = "structural_tag"
    format: Form
