"""Models as graders: what they are asked, and how a number or a label is read out of what they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, JsonValue, ValidationError

from afina.errors import AfinaError
from afina.graders import templates
from afina.graders.errors import GradingFailed
from afina.schemas.graders import (
    GraderErrors,
    GraderTokens,
    JudgeMessage,
    JudgeSampling,
    JudgeText,
    LabelModelGrader,
    ScoreModelGrader,
)

JsonObject = dict[str, JsonValue]
STEPS: JsonObject = {
    "type": "array",
    "maxItems": 8,
    "items": {
        "type": "object",
        "properties": {
            "description": {"type": "string", "maxLength": 400},
            "conclusion": {"type": "string", "maxLength": 400},
        },
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True)
class Said:
    """A grading model's reply; `model` is the one that answered. `refused`: it would not grade."""

    text: str
    model: str
    tokens: GraderTokens
    refused: bool = False


class Ask(Protocol):
    """Asks a model by its name; `form` is the JSON Schema that its reply has. Raises AfinaError."""

    async def __call__(
        self, model: str, messages: list[JsonObject], *, form: JsonObject, sampling: JudgeSampling
    ) -> Said:
        """The model's reply."""
        ...


class Scored(BaseModel, strict=True, allow_inf_nan=False):
    """What is read of a score."""

    result: float


class Labelled(BaseModel, strict=True):
    """What is read of a label."""

    result: str


async def score(grader: ScoreModelGrader, names: Mapping[str, JsonValue], ask: Ask) -> float:
    """The model's number, within the grader's range."""
    said = await answer(grader, names, ask, form=form({"type": "number"}))
    least, most = grader.range or (0.0, 1.0)
    try:
        return min(max(Scored.model_validate_json(said.text).result, least), most)
    except ValidationError:
        raise unread("a number") from None


async def label(grader: LabelModelGrader, names: Mapping[str, JsonValue], ask: Ask) -> float:
    """1 for a label that passes, 0 for another one."""
    said = await answer(grader, names, ask, form=form({"type": "string", "enum": [*grader.labels]}))
    try:
        chosen = Labelled.model_validate_json(said.text).result
    except ValidationError:
        chosen = None
    if chosen not in grader.labels:
        raise unread("one of the labels")
    return float(chosen in grader.passing_labels)


def form(result: JsonObject) -> JsonObject:
    """The reply that graders of OpenAI's give: the steps of the thought, then the result."""
    return {
        "type": "object",
        "properties": {"steps": STEPS, "result": result},
        "required": ["steps", "result"],
        "additionalProperties": False,
    }


async def answer(
    grader: ScoreModelGrader | LabelModelGrader,
    names: Mapping[str, JsonValue],
    ask: Ask,
    *,
    form: JsonObject,
) -> Said:
    """What the model says; what the server cannot do is an error of this grade."""
    messages = [rendered(message, names) for message in grader.input]
    try:
        said = await ask(
            grader.model, messages, form=form, sampling=grader.sampling_params or JudgeSampling()
        )
    except AfinaError as error:
        flags = GraderErrors(model_grader_server_error=True, model_grader_server_error_details=error.message)
        raise GradingFailed(f"the grading model could not be asked: {error.message}", flags) from error
    if said.refused:
        raise GradingFailed("the grading model refused", GraderErrors(model_grader_refusal_error=True))
    return said


def rendered(message: JudgeMessage, names: Mapping[str, JsonValue]) -> JsonObject:
    """A message of a chat; parts of text are one text."""
    texts = (part.text if isinstance(part, JudgeText) else part for part in message.parts)
    written = [templates.parse(text, "input").render(names) for text in texts if isinstance(text, str)]
    return {"role": message.role, "content": "\n".join(written)}


def unread(expected: str) -> GradingFailed:
    """A reply without a result."""
    return GradingFailed(
        f"the grading model's reply holds no JSON object whose 'result' is {expected}",
        GraderErrors(model_grader_parse_error=True),
    )
