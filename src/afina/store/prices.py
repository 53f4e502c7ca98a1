"""Prices of an organisation: one for each model that has one, in force for all usage, also for what was before it."""

from collections.abc import Sequence

from sqlalchemy import delete as delete_from
from sqlalchemy import select

from afina import ids
from afina.errors import NotFound, clipped
from afina.schemas.prices import Price, SetPrice
from afina.store import audit, clock
from afina.store.price_tables import prices
from afina.store.rows import from_row, upsert
from afina.store.scope import Scope, System


def put(scope: Scope, asked: SetPrice, *, actor: str) -> Price:
    """Give a model of this organisation a price, or another one."""
    values: dict[str, object] = asked.model_dump(exclude={"model"})
    values["cached_input"] = asked.input if asked.cached_input is None else asked.cached_input
    values["updated_at"] = clock.seconds(scope)
    key = {"organization_id": scope.organization_id, "model": asked.model}
    statement = upsert(scope, prices).values(id=ids.prefixed("price_"), **key, **values)
    statement = statement.on_conflict_do_update(index_elements=list(key), set_=values).returning(prices)
    price = from_row(Price, scope.connection.execute(statement).one())
    audit.record(scope, "price.set", price.id, actor=actor, detail={"model": asked.model, **values})
    return price


def delete(scope: Scope, model: str, *, actor: str) -> Price:
    """From now on the model costs nothing."""
    mine = (prices.c.organization_id == scope.organization_id) & (prices.c.model == model)
    row = scope.connection.execute(delete_from(prices).where(mine).returning(prices)).one_or_none()
    if row is None:
        raise NotFound(f"The model `{clipped(model)}` has no price.", param="model")
    audit.record(scope, "price.deleted", str(row.id), actor=actor, detail={"model": model})
    return from_row(Price, row)


def every(system: System, organization_id: str) -> list[Price]:
    """All prices of an organisation, by model."""
    query = select(prices).where(prices.c.organization_id == organization_id).order_by(prices.c.model)
    return [from_row(Price, row) for row in system.connection.execute(query)]


def price_of(found: Sequence[Price], model: str) -> Price | None:
    """The price of a model: its own, or else that of its base."""
    return max(
        (price for price in found if price.covers(model)), key=lambda price: len(price.model), default=None
    )
