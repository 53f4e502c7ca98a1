"""`/v1/organization/usage` and `/costs`: what was used, in buckets of a minute, an hour or a day.

Costs are quantities here: your own hardware sends no bill, so every amount is 0.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from afina.api.auth import Admin
from afina.api.rooms import InRooms, Rooms
from afina.errors import InvalidRequest
from afina.schemas.record import Record
from afina.schemas.usage import (
    Amount,
    Bucket,
    BucketPage,
    CompletionsResult,
    CostsResult,
    EmbeddingsResult,
    ModerationsResult,
    UsageKind,
)
from afina.store import usage
from afina.store.usage import Question, Sum

router = APIRouter(prefix="/organization")

DAY = 86_400
WIDTHS = {"1m": 60, "1h": 3600, "1d": DAY}
LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
COSTS_LIMIT = (7, 180)
LATEST = 253_402_300_799  # the end of the year 9999
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
MEASURED: dict[str, UsageKind] = {
    "completions": "completions",
    "embeddings": "embeddings",
    "moderations": "moderations",
}
Result = TypeVar("Result", bound=Record)
Time = Annotated[int, Query(ge=0, le=LATEST)]


@dataclass(frozen=True)
class Lists:
    """The query's lists, with the brackets that OpenAI's client writes or without."""

    project_ids: list[str]
    api_key_ids: list[str]
    models: list[str]
    line_items: list[str]
    user_ids: list[str]
    group_by: frozenset[str]


async def lists(request: Request) -> Lists:
    """All lists of a query."""

    def named(name: str) -> list[str]:
        query = request.query_params
        return query.getlist(name) + query.getlist(f"{name}[]")

    return Lists(
        project_ids=named("project_ids"),
        api_key_ids=named("api_key_ids"),
        models=named("models"),
        line_items=named("line_items"),
        user_ids=named("user_ids"),
        group_by=frozenset(named("group_by")),
    )


InLists = Annotated[Lists, Depends(lists)]


@dataclass(frozen=True)
class Stretch:
    """Buckets side by side, each a pair of start and end; `more` is where those after them begin."""

    buckets: list[tuple[int, int]]
    more: int | None

    @property
    def start(self) -> int:
        """Where the first bucket begins; 0 where there is none."""
        return self.buckets[0][0] if self.buckets else 0

    @property
    def end(self) -> int:
        """Where the last bucket ends; 0 where there is none."""
        return self.buckets[-1][1] if self.buckets else 0

    @property
    def next_page(self) -> str | None:
        """The way to the buckets after these."""
        return None if self.more is None else f"page_{self.more}"


def stretch(start: int, end: int | None, width: int, *, limit: int, page: str | None) -> Stretch:
    """At most `limit` buckets from `start`, or from where a page begins; one begins at each multiple of `width`.

    Without an `end` they go up to now.
    """
    end = int(time.time()) + 1 if end is None else end
    if page is not None:
        match = re.fullmatch(r"page_(\d{1,12})", page)
        start = int(match[1]) if match else end
    found: list[tuple[int, int]] = []
    while start < end and len(found) < limit:
        after = min(end, start - start % width + width)
        found.append((start, after))
        start = after
    return Stretch(found, start if start < end else None)


def allowed(asked: frozenset[str], known: Sequence[str]) -> frozenset[str]:
    """The groups of a query; what cannot be told apart is refused."""
    if not asked <= set(known):
        raise InvalidRequest(
            f"Invalid 'group_by': supported values are {', '.join(known)}.",
            param="group_by",
            code="invalid_value",
        )
    return asked


def at_most(limit: int | None, bounds: tuple[int, int]) -> int:
    """How many buckets; 0 means 1, as in all lists."""
    default, most = bounds
    if limit is not None and not 0 <= limit <= most:
        raise InvalidRequest(
            f"Invalid 'limit': must be between 1 and {most}.", param="limit", code="invalid_value"
        )
    return default if limit is None else max(1, limit)


def ask(rooms: Rooms, question: Question, *, nobody: bool) -> list[Sum]:
    """The sums; none for people, since keys here belong to projects."""
    if nobody or question.start == question.end or not question.kinds:
        return []
    with rooms.database.system(read=True) as system:
        return usage.sums(system, question)


def paged(found: Stretch, results: Iterable[tuple[int, Result]], width: int) -> BucketPage[Result]:
    """Results in their buckets; a bucket in which nothing was used is there, and empty."""
    by_bucket: dict[int, list[Result]] = {}
    for bucket, result in results:
        by_bucket.setdefault(bucket, []).append(result)
    data = [
        Bucket[Result](start_time=start, end_time=end, results=by_bucket.get(start - start % width, []))
        for start, end in found.buckets
    ]
    return BucketPage[Result](data=data, has_more=found.more is not None, next_page=found.next_page)


@router.get("/usage/{service}")
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


@router.get("/costs")
def costs(
    *,
    caller: Admin,
    rooms: InRooms,
    named: InLists,
    start_time: Time,
    end_time: Time | None = None,
    bucket_width: Literal["1d"] = "1d",
    limit: int | None = None,
    page: str | None = None,
) -> BucketPage[CostsResult]:
    """Lines of quantities: tokens in, tokens out, tokens trained on; amounts are 0."""
    groups = allowed(named.group_by, ("project_id", "user_id", "line_item", "api_key_id", "api_source"))
    width = WIDTHS[bucket_width]
    found = stretch(start_time, end_time, width, limit=at_most(limit, COSTS_LIMIT), page=page)
    question = Question(
        organization_id=caller.organization_id,
        start=found.start,
        end=found.end,
        width=width,
        kinds=[*MEASURED.values(), "training"],
        project_ids=named.project_ids,
        api_key_ids=named.api_key_ids,
        group_by=groups | {"model"},
    )
    sums = ask(rooms, question, nobody=bool(named.user_ids))
    wanted = set(named.line_items)
    lines = [
        (one, line, tokens) for one in sums for line, tokens in lines_of(one) if not wanted or line in wanted
    ]
    return paged(found, summed(lines, groups), width)


def lines_of(one: Sum) -> list[tuple[str, int]]:
    """The lines of a sum, and how many tokens each of them has."""
    first = "training_tokens" if one.kind == "training" else "input_tokens"
    found = [(f"{one.model}, {first}", one.input_tokens)]
    return [*found, (f"{one.model}, output_tokens", one.output_tokens)] if one.output_tokens else found


def summed(
    lines: Iterable[tuple[Sum, str, int]], groups: frozenset[str]
) -> Iterable[tuple[int, CostsResult]]:
    """One result for each group of lines in each bucket."""
    totals: dict[tuple[int, str | None, str | None, str | None], int] = {}
    for one, line, tokens in lines:
        group = (one.bucket, line if "line_item" in groups else None, one.project_id, one.api_key_id)
        totals[group] = totals.get(group, 0) + tokens
    for (bucket, line, project_id, api_key_id), tokens in totals.items():
        yield (
            bucket,
            CostsResult(
                amount=Amount(value=0.0),
                line_item=line,
                project_id=project_id,
                api_key_id=api_key_id,
                quantity=tokens if line else None,
                quantity_unit="tokens" if line else None,
            ),
        )
