"""Responses, each with its own input: what was said before is in those that it goes on from."""

from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import select, update

from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.response_items import Item
from afina.schemas.response_replies import FINAL, Response, ResponseStatus, StoredResponse
from afina.store import audit, outbox, work
from afina.store.response_tables import responses
from afina.store.rows import columns, from_row
from afina.store.scope import Scope


def insert(scope: Scope, stored: StoredResponse) -> None:
    """Keep a response of this project."""
    response = stored.response
    row = {
        "id": response.id,
        "project_id": scope.project_id,
        "created_at": response.created_at,
        **said(stored),
    }
    scope.connection.execute(insert_into(responses).values(row))


def said(stored: StoredResponse) -> dict[str, object]:
    """The columns that change while a response is made."""
    return {"status": stored.response.status, **columns(responses, dict(stored))}


def get(scope: Scope, response_id: str, *, hold: bool = False) -> StoredResponse:
    """One response of this project; `hold` keeps others from changing it before this transaction ends."""
    found = find(scope, response_id, hold=hold)
    if found is None:
        raise unknown(response_id)
    return found


def find(scope: Scope, response_id: str, *, hold: bool = False) -> StoredResponse | None:
    """One response, or None."""
    query = select(responses).where(responses.c.project_id == scope.project_id, responses.c.id == response_id)
    row = scope.connection.execute(query.with_for_update() if hold else query).one_or_none()
    return None if row is None else from_row(StoredResponse, row)


def unknown(response_id: str) -> NotFound:
    """Not there, or not yours."""
    return NotFound(f"Response with id '{clipped(response_id)}' not found.", param="response_id")


def finish(scope: Scope, stored: StoredResponse, *, while_in: ResponseStatus) -> bool:
    """Write what has become of a response; False where its status is another by now, such as `cancelled`."""
    mine = (responses.c.project_id == scope.project_id) & (responses.c.id == stored.response.id)
    changed = update(responses).where(mine, responses.c.status == while_in).values(said(stored))
    return scope.connection.execute(changed).rowcount == 1


def cancel(scope: Scope, response_id: str) -> StoredResponse:
    """End a response in the background; only such a one can be ended by anybody but who waits for it."""
    stored = get(scope, response_id, hold=True)
    response = stored.response
    if not response.background:
        raise InvalidRequest("Cannot cancel a synchronous response.", param="response_id")
    if response.status in FINAL:
        return stored
    ended = response.model_copy(update={"status": "cancelled"})
    cancelled = stored.model_copy(update={"response": ended, "request": None})
    finish(scope, cancelled, while_in=response.status)
    work.remove(scope, response_id)
    outbox.add(scope, "response.cancelled", response_id)
    return cancelled


def going_on(scope: Scope) -> list[str]:
    """The ids of the project's responses in the background that have not ended, oldest first."""
    mine = responses.c.project_id == scope.project_id
    query = select(responses.c.id).where(mine, responses.c.status.not_in(sorted(FINAL)))
    return list(scope.connection.execute(query.order_by(responses.c.seq)).scalars())


def delete(scope: Scope, response_id: str, *, actor: str = "api") -> Response:
    """Forget a response; what goes on from it can no longer be continued."""
    response = get(scope, response_id).response
    mine = (responses.c.project_id == scope.project_id) & (responses.c.id == response_id)
    scope.connection.execute(delete_from(responses).where(mine))
    work.remove(scope, response_id)
    audit.record(scope, "response.deleted", response_id, actor=actor)
    return response


def completed(scope: Scope, *, after: int, limit: int) -> list[tuple[int, StoredResponse]]:
    """The project's responses that have come to their end, oldest first, each with the place to go on from."""
    query = select(responses).where(
        responses.c.project_id == scope.project_id,
        responses.c.status.in_(("completed", "incomplete")),
        responses.c.seq > after,
    )
    found = scope.connection.execute(query.order_by(responses.c.seq).limit(limit))
    return [(row.seq, from_row(StoredResponse, row)) for row in found]


def history(scope: Scope, response_id: str | None, *, param: str = "previous_response_id") -> list[Item]:
    """All that was said up to a response and in it, oldest first; 400 where a part of it is gone or not said yet."""
    turns: list[list[Item]] = []
    while response_id is not None:
        stored = find(scope, response_id)
        if stored is None:
            message = f"Previous response with id '{clipped(response_id)}' not found."
            raise InvalidRequest(message, param=param, code="previous_response_not_found")
        if stored.response.status not in FINAL:
            message = f"The response '{clipped(response_id)}' is not finished yet; wait for it."
            raise InvalidRequest(message, param=param, code="previous_response_not_finished")
        turns.append([*stored.input, *stored.response.output])
        response_id = stored.previous_response_id
    return [item for turn in reversed(turns) for item in turn]
