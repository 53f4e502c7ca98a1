"""`/v1/organization/usage`: what was used, in buckets of a minute, an hour or a day."""

from typing import Literal

from fastapi import APIRouter

from afina.api.auth import Admin
from afina.api.buckets import MEASURED, WIDTHS, InLists, Time, allowed, ask, at_most, paged, stretch
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.usage import BucketPage, CompletionsResult, EmbeddingsResult, ModerationsResult
from afina.store.usage import Question, Sum

router = APIRouter(prefix="/organization/usage", route_class=ThreadedRoute)

LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
Service = Literal[
    "audio_speeches",
    "audio_transcriptions",
    "code_interpreter_sessions",
    "completions",
    "decisions",
    "embeddings",
    "file_search_calls",
    "images",
    "moderations",
    "vector_stores",
    "web_search_calls",
]


@router.get("/{service}")
def read(
    *,
    service: Service,
    caller: Admin,
    rooms: InRooms,
    named: InLists,
    start_time: Time,
    end_time: Time | None = None,
    bucket_width: Literal["1m", "1h", "1d"] = "1d",
    batch: bool | None = None,
    limit: int | None = None,
    page: str | None = None,
) -> BucketPage[CompletionsResult | EmbeddingsResult | ModerationsResult]:
    """What was used of one service; those that are not offered here were never used."""
    known = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source")
    groups = allowed(named.group_by, known)
    width = WIDTHS[bucket_width]
    found = stretch(start_time, end_time, width, limit=at_most(limit, LIMITS[bucket_width]), page=page)
    question = Question(
        organization_id=caller.organization_id,
        start=found.start,
        end=found.end,
        width=width,
        kinds=[MEASURED[service]] if service in MEASURED else [],
        project_ids=named.project_ids,
        api_key_ids=named.api_key_ids,
        models=named.models,
        batch=batch,
        group_by=groups,
    )
    sums = ask(rooms, question, nobody=bool(named.user_ids))
    return paged(found, ((one.bucket, result_of(one, groups)) for one in sums), width)


def result_of(one: Sum, groups: frozenset[str]) -> CompletionsResult | EmbeddingsResult | ModerationsResult:
    """A sum as its service shows it."""
    whose = {"project_id": one.project_id, "api_key_id": one.api_key_id, "model": one.model}
    counts = {"input_tokens": one.input_tokens, "num_model_requests": one.requests}
    if one.kind == "embeddings":
        return EmbeddingsResult.model_validate(whose | counts)
    if one.kind == "moderations":
        return ModerationsResult.model_validate(whose | counts)
    more = {"input_cached_tokens": one.cached_tokens, "output_tokens": one.output_tokens, "batch": one.batch}
    tier = "default" if "service_tier" in groups else None
    return CompletionsResult.model_validate({**whose, **counts, **more, "service_tier": tier})
