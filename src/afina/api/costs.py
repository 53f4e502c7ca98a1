"""`/v1/organization/costs`: what was used, times what the operator asks for it.

Your own hardware sends no bill: where no price is set, amounts are 0.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter

from afina.api.auth import Admin
from afina.api.buckets import MEASURED, WIDTHS, InLists, Time, allowed, ask, at_most, paged, stretch
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.prices import Price
from afina.schemas.usage import Amount, BucketPage, CostsResult
from afina.store import prices
from afina.store.usage import Question, Sum

router = APIRouter(prefix="/organization/costs", route_class=ThreadedRoute)

LIMITS = (7, 180)


@dataclass(frozen=True)
class Line:
    """So many tokens of one kind, at a price for a million of them."""

    whose: Sum
    name: str
    tokens: int
    price: float

    @property
    def usd(self) -> float:
        """What they cost."""
        return self.tokens * self.price / 1e6


@router.get("")
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
    """Tokens in, cached, out and trained on, each at its price; what has none costs 0."""
    groups = allowed(named.group_by, ("project_id", "user_id", "line_item", "api_key_id", "api_source"))
    width = WIDTHS[bucket_width]
    found = stretch(start_time, end_time, width, limit=at_most(limit, LIMITS), page=page)
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
    with rooms.database.system(read=True) as system:
        known = prices.every(system, caller.organization_id)
    wanted = set(named.line_items)
    lines = [line for one in sums for line in lines_of(one, known) if not wanted or line.name in wanted]
    return paged(found, summed(lines, groups), width)


def lines_of(one: Sum, known: Sequence[Price]) -> Iterator[Line]:
    """The lines of a sum that is one model's; those without tokens are left out, but for what came in."""
    price = prices.price_of(known, one.model or "")
    if one.kind == "training":
        yield Line(one, f"{one.model}, training_tokens", one.input_tokens, price.training if price else 0.0)
        return
    fresh = one.input_tokens - one.cached_tokens
    yield Line(one, f"{one.model}, input_tokens", fresh, price.input if price else 0.0)
    if one.cached_tokens:
        cached = price.cached_input if price else 0.0
        yield Line(one, f"{one.model}, cached_input_tokens", one.cached_tokens, cached)
    if one.output_tokens:
        yield Line(one, f"{one.model}, output_tokens", one.output_tokens, price.output if price else 0.0)


def summed(lines: Iterable[Line], groups: frozenset[str]) -> Iterator[tuple[int, CostsResult]]:
    """One result for each group of lines in each bucket."""
    totals: dict[tuple[int, str | None, str | None, str | None], list[Line]] = {}
    for line in lines:
        one = line.whose
        name = line.name if "line_item" in groups else None
        totals.setdefault((one.bucket, name, one.project_id, one.api_key_id), []).append(line)
    for (bucket, name, project_id, api_key_id), group in totals.items():
        result = CostsResult(
            amount=Amount(value=round(sum(line.usd for line in group), 12)),
            line_item=name,
            project_id=project_id,
            api_key_id=api_key_id,
            quantity=sum(line.tokens for line in group) if name else None,
            quantity_unit="tokens" if name else None,
        )
        yield bucket, result
