"""Who a key stands for: looked up by its hash, and remembered until anything in the database changes."""

import time
from dataclasses import dataclass
from math import inf

from fastapi.concurrency import run_in_threadpool

from afina.errors import AuthenticationError
from afina.store import keys
from afina.store.database import Database
from afina.store.keys import Role

WRONG_KEY = (
    "Incorrect API key provided. Create one with `afina keys create`, or ask the owner of the project."
)
LONGEST_KEY = 512


@dataclass(frozen=True)
class Caller:
    """A valid key and the project it belongs to."""

    key_id: str
    role: Role
    project_id: str
    organization_id: str
    organization: str
    expires_in: float = inf  # seconds from when it was looked up


class Callers:
    """The callers of one version of the database: whatever is committed anywhere, a key is looked up anew."""

    def __init__(self, database: Database):
        self.database = database
        self.version: int | None = None
        self.known: dict[str, tuple[Caller, float]] = {}

    async def of(self, secret: str) -> Caller:
        """Who holds a token; 401 where nobody does any more."""
        if len(secret) > LONGEST_KEY:
            raise wrong_key()
        version, name = self.database.version(), keys.digest(secret)
        if version is None or version != self.version:
            self.version, self.known = version, {}
        caller, until = self.known.get(name, (None, 0.0))
        if caller is not None and time.monotonic() < until:
            return caller
        asked = time.monotonic()
        caller = await run_in_threadpool(self.look_up, secret)
        if version is not None and version == self.version:
            self.known[name] = (caller, asked + caller.expires_in)
        return caller

    def look_up(self, secret: str) -> Caller:
        """Who holds a token, as the rows have it; the keys of an archived project are as good as revoked."""
        with self.database.system(read=True) as system:
            held = keys.holder(system, secret)
        if held is None or held.key.revoked_at is not None:
            raise wrong_key()
        key = held.key
        if key.is_expired(held.now):
            raise AuthenticationError("This API key has expired.", code="expired_api_key")
        if held.archived:
            raise wrong_key()
        left = inf if key.expires_at is None else key.expires_at - held.now
        return Caller(key.id, key.role, key.project_id, held.organization_id, held.organization, left)


def wrong_key() -> AuthenticationError:
    """The same words for a key that never was and one that is no more."""
    return AuthenticationError(WRONG_KEY, code="invalid_api_key")
