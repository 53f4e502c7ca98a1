"""Graders, field by field as OpenAI's: one JSON for graders/run, for evals and for reinforcement."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from afina.schemas.chat_messages import JsonObject, either
from afina.schemas.record import Record, Request

Metric = Literal[
    "cosine",
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]
MOST_SOURCE_BYTES = 256 * 1024
MOST_GRADERS = 20


def check_source(value: str) -> str:
    """OpenAI's limit, in bytes."""
    if len(value.encode()) > MOST_SOURCE_BYTES:
        raise PydanticCustomError(
            "invalid_value", "Expected at most {most} bytes", {"most": MOST_SOURCE_BYTES}
        )
    return value


def check_range(value: list[float]) -> list[float]:
    """Two numbers, the smaller one first."""
    if len(value) != 2 or value[0] >= value[1]:
        raise PydanticCustomError("invalid_value", "Expected two numbers, the smaller one first")
    return value


Name = Annotated[str, Field(min_length=1, max_length=256)]
Source = Annotated[str, AfterValidator(check_source)]
Range = Annotated[list[float], AfterValidator(check_range)]


class Echoed(Request):
    """Goes back to its owner as it came: what was not said is not there."""

    @model_serializer(mode="wrap")
    def without_nulls(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what is null."""
        return {key: value for key, value in dump(self).items() if value is not None}


class StringCheckGrader(Echoed):
    """`like` and `ilike` ask whether the input contains the reference; there are no wildcards."""

    type: Literal["string_check"]
    name: Name
    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]


class TextSimilarityGrader(Echoed):
    """How near the input is to the reference."""

    type: Literal["text_similarity"]
    name: Name
    input: str
    reference: str
    evaluation_metric: Metric


class PythonGrader(Echoed):
    """`source` defines one function, `grade(sample, item)`, that returns a number."""

    type: Literal["python"]
    name: Name
    source: Source
    image_tag: Literal["2025-05-08"] | None = None


class JudgeText(Echoed):
    """Text as one of several parts of a message."""

    type: Literal["input_text", "output_text"]
    text: str


class JudgeImage(Echoed):
    """An image as one of several parts of a message."""

    type: Literal["input_image"]
    image_url: str
    detail: str | None = None


class JudgeAudio(Echoed):
    """Speech as one of several parts of a message."""

    type: Literal["input_audio"]
    input_audio: JsonObject


JudgePart = Annotated[JudgeText | JudgeImage | JudgeAudio, Field(discriminator="type")]
TextOrPart = Annotated[
    Annotated[str, Tag("text")] | Annotated[JudgePart, Tag("object")],
    either("Expected a string or a content part"),
]
JudgeContent = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[JudgePart, Tag("object")]
    | Annotated[list[TextOrPart], Field(min_length=1), Tag("list")],
    either("Expected a string, a content part or an array of them"),
]


class JudgeMessage(Echoed):
    """What the grading model is told; texts are templates."""

    role: Literal["user", "assistant", "system", "developer"]
    content: JudgeContent
    type: Literal["message"] | None = None

    @property
    def parts(self) -> list[str | JudgeText | JudgeImage | JudgeAudio]:
        """The content, also where it is only one part."""
        return self.content if isinstance(self.content, list) else [self.content]


class JudgeSampling(Echoed):
    """How the grading model is sampled. `max_completions_tokens` is spelt as OpenAI spells it."""

    seed: int | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_completions_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


Messages = Annotated[list[JudgeMessage], Field(min_length=1, max_length=128)]


class ScoreModelGrader(Echoed):
    """A model says a number; it is kept within `range`, 0 to 1 where none is given."""

    type: Literal["score_model"]
    name: Name
    model: Name
    input: Messages
    range: Range | None = None
    sampling_params: JudgeSampling | None = None


class LabelModelGrader(Echoed):
    """A model chooses a label; those of `passing_labels` are worth 1, the others 0."""

    type: Literal["label_model"]
    name: Name
    model: Name
    input: Messages
    labels: Annotated[list[Name], Field(min_length=1, max_length=128)]
    passing_labels: Annotated[list[Name], Field(max_length=128)]
    sampling_params: JudgeSampling | None = None


PartGrader = Annotated[
    StringCheckGrader | TextSimilarityGrader | PythonGrader | ScoreModelGrader | LabelModelGrader,
    Field(discriminator="type"),
]


def one_or_many(value: object) -> str | None:
    """OpenAI's types declare one grader, its guide and its server take a map: a grader's `type` is a word."""
    match value:
        case {"type": str()}:
            return "one"
        case dict():
            return "many"
        case _:
            return "one" if isinstance(value, Echoed) else None


class MultiGrader(Echoed):
    """A formula over the rewards of graders that it names. OpenAI's guide leaves the name out."""

    type: Literal["multi"]
    name: Name = "multi"
    graders: Annotated[
        Annotated[PartGrader, Tag("one")]
        | Annotated[dict[Name, PartGrader], Field(min_length=1, max_length=MOST_GRADERS), Tag("many")],
        Discriminator(
            one_or_many,
            custom_error_type="invalid_type",
            custom_error_message="Expected an object of graders by their names",
        ),
    ]
    calculate_output: Annotated[str, Field(min_length=1, max_length=4096)]

    @property
    def named(self) -> dict[str, PartGrader]:
        """The graders by the names that the formula knows them by."""
        return self.graders if isinstance(self.graders, dict) else {self.graders.name: self.graders}


Grader = Annotated[
    StringCheckGrader
    | TextSimilarityGrader
    | PythonGrader
    | ScoreModelGrader
    | LabelModelGrader
    | MultiGrader,
    Field(discriminator="type"),
]


class ValidateGrader(Request):
    """The body of `POST /fine_tuning/alpha/graders/validate`."""

    grader: Grader


class RunGrader(ValidateGrader):
    """The body of `POST /fine_tuning/alpha/graders/run`."""

    model_sample: str
    item: JsonObject | None = None


class ValidatedGrader(Record):
    """The grader, as it was understood."""

    grader: Grader


class GraderErrors(Record):
    """What went wrong, in OpenAI's eleven kinds; all false where a reward is one."""

    formula_parse_error: bool = False
    sample_parse_error: bool = False
    truncated_observation_error: bool = False
    unresponsive_reward_error: bool = False
    invalid_variable_error: bool = False
    other_error: bool = False
    python_grader_server_error: bool = False
    python_grader_server_error_type: str | None = None
    python_grader_runtime_error: bool = False
    python_grader_runtime_error_details: str | None = None
    model_grader_server_error: bool = False
    model_grader_server_error_details: str | None = None
    model_grader_refusal_error: bool = False
    model_grader_parse_error: bool = False


class GraderTokens(Record):
    """What a grading model read and wrote."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total(self) -> int:
        """Both ways."""
        return self.prompt_tokens + self.completion_tokens


class GraderMetadata(Record):
    """How a grade came about; times in seconds."""

    name: str
    type: str
    errors: GraderErrors
    execution_time: float
    scores: dict[str, float] = {}
    token_usage: int | None = None
    sampled_model_name: str | None = None


class GraderDetails(Record):
    """Ours beyond OpenAI's fields: in words, why there is no reward."""

    reason: str | None = None


class GraderRun(Record):
    """The reply to a run. Where an error is flagged, `reward` is 0 because the field has to be a number."""

    reward: float
    sub_rewards: dict[str, float]
    metadata: GraderMetadata
    model_grader_token_usage_per_model: dict[str, GraderTokens]
    afina: GraderDetails = GraderDetails()
