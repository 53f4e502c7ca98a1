"""`/v1/afina/prices`: what the operator asks for a million tokens of a model; by these `costs` is reckoned."""

from typing import Annotated

from fastapi import APIRouter, Depends

from afina.api.auth import Admin
from afina.api.body import Body, json_body
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.prices import Price, SetPrice
from afina.schemas.record import Deleted, Page
from afina.store import prices

router = APIRouter(prefix="/afina/prices", route_class=ThreadedRoute)


@router.post("")
def put(
    caller: Admin, rooms: InRooms, body: Annotated[Body[SetPrice], Depends(json_body(SetPrice))]
) -> Price:
    """Give a model a price; to do so again changes it."""
    with rooms.database.scope(caller.project_id) as scope:
        return prices.put(scope, body.value, actor=caller.key_id)


@router.get("")
def page(caller: Admin, rooms: InRooms) -> Page[Price]:
    """All prices, by model."""
    with rooms.database.system(read=True) as system:
        data = prices.every(system, caller.organization_id)
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return Page[Price](data=data, first_id=ends[0], last_id=ends[1], has_more=False)


@router.delete("/{model:path}")
def delete(model: str, caller: Admin, rooms: InRooms) -> Deleted:
    """From now on a model costs nothing."""
    with rooms.database.scope(caller.project_id) as scope:
        deleted = prices.delete(scope, model, actor=caller.key_id)
    return Deleted(id=deleted.id, object="afina.price.deleted")
