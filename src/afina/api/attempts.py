"""Creates that a client sends again: one object comes of them, and the reply says that it was there."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response

from afina import ids
from afina.api.auth import token
from afina.errors import InvalidRequest
from afina.store import idempotency, keys
from afina.store.idempotency import Attempt
from afina.store.keys import Key
from afina.store.scope import Scope, System

LONGEST_KEY = 255
REPLAYED = {"idempotent-replayed": "true"}
Made = TypeVar("Made")


@dataclass(frozen=True)
class Resending:
    """What the headers say about earlier attempts: the user's key, the client's count of its retries."""

    key: str | None
    retries: int
    token: str = field(repr=False)

    def attempt(self, route: str, body_sha256: str) -> Attempt:
        """This request as an attempt to create what its body describes."""
        return Attempt(route, self.key, body_sha256, self.retries)

    def secret(self, salt: str) -> str:
        """A new API key that only the salt and the token of who asks for it give again."""
        return ids.derived_api_key(hmac.digest(self.token.encode(), salt.encode(), "sha512"))


async def read(request: Request) -> Resending:
    """The headers `Idempotency-Key` and `x-stainless-retry-count`."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {LONGEST_KEY} ASCII characters.", code="invalid_idempotency_key"
        )
    count = request.headers.get("x-stainless-retry-count", "")
    return Resending(key, int(count) if count.isdecimal() and len(count) < 4 else 0, token(request))


Again = Annotated[Resending, Depends(read)]


def replayed(scope: Scope, attempt: Attempt, response: Response) -> idempotency.Made | None:
    """What an equal attempt has made before; then the reply says so."""
    known = idempotency.replay(scope, attempt)
    if known is not None:
        response.headers.update(REPLAYED)
    return known


def once(
    scope: Scope,
    attempt: Attempt,
    response: Response,
    *,
    find: Callable[[Scope, str], Made],
    make: Callable[[Scope], tuple[str, Made]],
) -> Made:
    """What `make` makes (its id, and itself), or what an equal attempt has made before."""
    if (known := replayed(scope, attempt, response)) is not None:
        return find(scope, known.object_id)
    identifier, made = make(scope)
    idempotency.remember(scope, attempt, identifier)
    return made


def once_with_secret(
    scope: Scope,
    attempt: Attempt,
    response: Response,
    *,
    again: Resending,
    make: Callable[[str], Key],
    show: Callable[[Key, str], Made],
) -> Made:
    """As `once`, for an API key, whose secret is stored nowhere and yet the same in a replay.

    It is made of the asking key's token, which we do not have, and of a salt, which we forget after a day.
    """
    known = replayed(scope, attempt, response)
    if known is None:
        salt = secrets.token_hex(32)
        secret = again.secret(salt)
        key = make(secret)
        idempotency.remember(scope, attempt, key.id, detail={"salt": salt})
        return show(key, secret)
    secret = again.secret(str(known.detail["salt"]))
    if (found := keys.find(System(scope.connection), secret)) is None:
        raise InvalidRequest(
            "This was first asked for with another API key, to which alone its secret is shown again. "
            "Use that one, or a new Idempotency-Key.",
            code="idempotency_key_reused",
        )
    return show(found, secret)
