"""Buckets of time: which of them a query asks for, and the sums that lie in each."""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from afina.api.rooms import Rooms
from afina.errors import InvalidRequest
from afina.schemas.record import Record
from afina.schemas.usage import Bucket, BucketPage, UsageKind
from afina.store import usage
from afina.store.usage import Question, Sum

DAY = 86_400
WIDTHS = {"1m": 60, "1h": 3600, "1d": DAY}
LATEST = 253_402_300_799  # the end of the year 9999
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
