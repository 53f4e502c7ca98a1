"""One grade: a grader, a sample and an item in; a reward out, or the reasons why there is none."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import JsonValue
from pydantic_core import from_json

from afina.graders import formula, judges, similarity, strings, templates
from afina.graders.check import parts
from afina.graders.errors import GradingFailed, unavailable
from afina.graders.judges import Ask, Said
from afina.graders.sandbox import Sandbox
from afina.graders.sandbox import require as require_boundary
from afina.schemas.graders import (
    Grader,
    GraderDetails,
    GraderErrors,
    GraderMetadata,
    GraderRun,
    GraderTokens,
    JudgeSampling,
    LabelModelGrader,
    MultiGrader,
    PartGrader,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)

JsonObject = dict[str, JsonValue]
Embed = Callable[[list[str]], Awaitable[list[list[float]]]]


@dataclass(frozen=True)
class Means:
    """What grading may use: models to ask, vectors of unit length where there is an encoder, and a sandbox."""

    ask: Ask
    sandbox: Sandbox
    embed: Embed | None = None


@dataclass(frozen=True)
class Grade:
    """`reward` is None where grading failed: then `errors` and `reason` say why, and it must not count as 0."""

    reward: float | None
    seconds: float
    errors: GraderErrors = field(default_factory=GraderErrors)
    reason: str | None = None
    sub_rewards: Mapping[str, float] = field(default_factory=dict[str, float])
    said: tuple[Said, ...] = ()


def sample_of(text: str) -> JsonObject:
    """The namespace `sample` of a reply that is only text; `output_json` is there where the text is JSON."""
    choice: JsonObject = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    found: JsonObject = {"output_text": text, "output_tools": [], "choices": [choice]}
    with suppress(ValueError):
        found["output_json"] = from_json(text, allow_inf_nan=False)
    return found


def require(grader: Grader, *, encoder: bool) -> None:
    """400 `grader_unavailable` for what this server cannot compute; may take a second, once."""
    for part, _ in parts(grader, ""):
        match part:
            case PythonGrader():
                require_boundary()
            case TextSimilarityGrader(evaluation_metric="cosine") if not encoder:
                raise unavailable("cosine compares vectors, and no encoder is configured (AFINA_ENCODER)")
            case TextSimilarityGrader():
                similarity.require(part.evaluation_metric)
            case _:
                pass


async def grade(grader: Grader, sample: JsonObject, item: JsonObject, *, means: Means) -> Grade:
    """Grade one sample. Raises InvalidRequest where this server cannot compute the grader at all."""
    if isinstance(grader, MultiGrader):
        return await combined(grader, sample, item, means=means)
    begun = time.monotonic()
    said: list[Said] = []

    async def noted(
        model: str, messages: list[JsonObject], *, form: JsonObject, sampling: JudgeSampling
    ) -> Said:
        said.append(await means.ask(model, messages, form=form, sampling=sampling))
        return said[-1]

    asking = Means(noted, means.sandbox, means.embed)
    try:
        reward = await rewarded(grader, sample, item, means=asking)
    except GradingFailed as failure:
        return Grade(None, time.monotonic() - begun, failure.flags, failure.reason, said=tuple(said))
    except templates.MissingVariable as missing:
        return missed(missing.path, time.monotonic() - begun)
    return Grade(reward, time.monotonic() - begun, said=tuple(said))


async def rewarded(grader: PartGrader, sample: JsonObject, item: JsonObject, *, means: Means) -> float:
    """The reward of one grader; GradingFailed or MissingVariable where there is none."""
    names: JsonObject = {"item": item, "sample": sample}
    match grader:
        case StringCheckGrader():
            return strings.check(grader.operation, *both(grader, names))
        case TextSimilarityGrader():
            return await similar(grader, *both(grader, names), means=means)
        case PythonGrader():
            return await means.sandbox.grade(grader.source, sample, item)
        case ScoreModelGrader():
            return await judges.score(grader, names, means.ask)
        case LabelModelGrader():
            return await judges.label(grader, names, means.ask)


def both(grader: StringCheckGrader | TextSimilarityGrader, names: JsonObject) -> tuple[str, str]:
    """The text that is graded, and the reference."""
    text, reference = templates.parse(grader.input, "input"), templates.parse(grader.reference, "reference")
    return text.render(names), reference.render(names)


async def similar(grader: TextSimilarityGrader, text: str, reference: str, *, means: Means) -> float:
    """By a library in a thread of its own, or by the encoder."""
    if grader.evaluation_metric != "cosine":
        return await asyncio.to_thread(similarity.similarity, grader.evaluation_metric, text, reference)
    await asyncio.to_thread(require, grader, encoder=means.embed is not None)
    assert means.embed is not None
    one, other = await means.embed([text, reference])
    return similarity.cosine(one, other)


async def combined(grader: MultiGrader, sample: JsonObject, item: JsonObject, *, means: Means) -> Grade:
    """The formula's value; none where one of its graders has none."""
    begun, named = time.monotonic(), grader.named
    found = await asyncio.gather(*(grade(part, sample, item, means=means) for part in named.values()))
    rewards = {name: g.reward for name, g in zip(named, found, strict=True) if g.reward is not None}
    said = tuple(one for g in found for one in g.said)
    errors, reward = together([g.errors for g in found]), None
    reason = next((f"{name}: {g.reason}" for name, g in zip(named, found, strict=True) if g.reason), None)
    if reason is None:
        try:
            reward = formula.parse(grader.calculate_output, set(named))(rewards)
        except formula.FormulaError as error:
            errors, reason = GraderErrors(formula_parse_error=True), str(error)
    return Grade(reward, time.monotonic() - begun, errors, reason, rewards, said)


def together(errors: list[GraderErrors]) -> GraderErrors:
    """All flags, and the first details of each kind."""
    pairs = ((name, value) for error in reversed(errors) for name, value in error if value)
    return GraderErrors.model_validate(dict(pairs))


def missed(path: templates.Path, seconds: float) -> Grade:
    """A template names what is not there: a reply that is no JSON, or a variable that is none."""
    if path.steps[:2] == ("sample", "output_json"):
        flags, reason = GraderErrors(sample_parse_error=True), f"{path.text} is not in a JSON reply"
    else:
        flags, reason = GraderErrors(invalid_variable_error=True), f"there is no {path.text}"
    return Grade(None, seconds, flags, reason)


def reply(grader: Grader, found: Grade) -> GraderRun:
    """The grade as OpenAI's `graders/run` says it."""
    usage: dict[str, GraderTokens] = {}
    for one in found.said:
        usage[one.model] = added(usage.get(one.model, GraderTokens()), one.tokens)
    return GraderRun(
        reward=found.reward or 0.0,
        sub_rewards=dict(found.sub_rewards),
        metadata=GraderMetadata(
            name=grader.name,
            type=grader.type,
            errors=found.errors,
            execution_time=found.seconds,
            scores=dict(found.sub_rewards),
            token_usage=sum(tokens.total for tokens in usage.values()) if usage else None,
            sampled_model_name=found.said[0].model if found.said else None,
        ),
        model_grader_token_usage_per_model=usage,
        afina=GraderDetails(reason=found.reason),
    )


def added(one: GraderTokens, other: GraderTokens) -> GraderTokens:
    """Both counts together."""
    return GraderTokens(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
    )
