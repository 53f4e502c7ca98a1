"""Creates that a client sends again: one object comes of them, and the reply says that it was there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response

from afina.errors import InvalidRequest
from afina.store import idempotency
from afina.store.idempotency import Attempt
from afina.store.scope import Scope

LONGEST_KEY = 255
Made = TypeVar("Made")


@dataclass(frozen=True)
class Resending:
    """What the headers say about earlier attempts: the user's key, the client's count of its retries."""

    key: str | None
    retries: int

    def attempt(self, route: str, body_sha256: str) -> Attempt:
        """This request as an attempt to create what its body describes."""
        return Attempt(route, self.key, body_sha256, self.retries)


async def read(request: Request) -> Resending:
    """The headers `Idempotency-Key` and `x-stainless-retry-count`."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {LONGEST_KEY} ASCII characters.", code="invalid_idempotency_key"
        )
    count = request.headers.get("x-stainless-retry-count", "")
    return Resending(key, int(count) if count.isdecimal() and len(count) < 4 else 0)


Again = Annotated[Resending, Depends(read)]


def once(
    scope: Scope,
    attempt: Attempt,
    response: Response,
    *,
    find: Callable[[Scope, str], Made],
    make: Callable[[Scope], tuple[str, Made]],
) -> Made:
    """What `make` makes (its id, and itself), or what an equal attempt has made before."""
    if (known := idempotency.replay(scope, attempt)) is not None:
        response.headers["idempotent-replayed"] = "true"
        return find(scope, known)
    identifier, made = make(scope)
    idempotency.remember(scope, attempt, identifier)
    return made
