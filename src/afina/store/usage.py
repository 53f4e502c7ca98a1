"""What replies and jobs have used: one row each, summed by time and by whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.sql.elements import KeyedColumnElement

from afina.schemas.usage import UsageKind
from afina.store import clock
from afina.store.scope import System, Transaction
from afina.store.tables import projects, usage

GROUPS = ("project_id", "api_key_id", "model", "batch")


@dataclass(frozen=True)
class Used:
    """Tokens of one reply, or of one finished job (`training`); `api_key_id` is None where no key asked."""

    project_id: str
    kind: UsageKind
    model: str
    input_tokens: int
    output_tokens: int = 0
    cached_tokens: int = 0
    api_key_id: str | None = None
    requests: int = 1
    batch: bool = False


@dataclass(frozen=True)
class Question:
    """Which rows count: from `start` to before `end` in unix seconds, of one organisation; empty lists are all."""

    organization_id: str
    start: int
    end: int
    width: int
    kinds: Sequence[UsageKind]
    project_ids: Sequence[str] = ()
    api_key_ids: Sequence[str] = ()
    models: Sequence[str] = ()
    batch: bool | None = None
    group_by: frozenset[str] = field(default_factory=frozenset[str])


@dataclass(frozen=True)
class Sum:
    """The rows of one bucket and one group; what was not grouped by is None. Buckets begin at multiples of a width."""

    bucket: int
    kind: UsageKind
    project_id: str | None
    api_key_id: str | None
    model: str | None
    batch: bool | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    requests: int


def record(transaction: Transaction, used: Sequence[Used]) -> None:
    """Add rows, all of them with the time that it is now."""
    now = clock.seconds(transaction)
    rows = [{**vars(one), "batch": int(one.batch), "at": now} for one in used]
    transaction.connection.execute(insert(usage), rows)


def sums(system: System, question: Question) -> list[Sum]:
    """What was used, by bucket and group, the oldest first."""
    grouped = [name for name in GROUPS if name in question.group_by]
    bucket = (usage.c.at - usage.c.at % question.width).label("bucket")
    keys: list[KeyedColumnElement[object]] = [usage.c.kind, *(usage.c[name] for name in grouped)]
    counts = ("input_tokens", "cached_tokens", "output_tokens", "requests")
    query = select(bucket, *keys, *(func.sum(usage.c[name]).label(name) for name in counts))
    query = query.join(projects, projects.c.id == usage.c.project_id).where(*conditions(question))
    query = query.group_by("bucket", *keys).order_by("bucket", *keys)
    return [of_row(dict(row)) for row in system.connection.execute(query).mappings()]


def conditions(question: Question) -> list[ColumnElement[bool]]:
    """The rows that count."""
    found = [
        projects.c.organization_id == question.organization_id,
        usage.c.kind.in_(question.kinds),
        usage.c.at >= question.start,
        usage.c.at < question.end,
    ]
    lists = {"project_id": question.project_ids, "api_key_id": question.api_key_ids, "model": question.models}
    found += [usage.c[name].in_(list(values)) for name, values in lists.items() if values]
    if question.batch is not None:
        found.append(usage.c.batch == int(question.batch))
    return found


def of_row(row: dict[str, object]) -> Sum:
    """A row with its numbers as Python's, and None for what was not grouped by."""
    number = {name: int(str(row[name])) for name in ("bucket", "requests")}
    tokens = {name: int(str(row[name])) for name in ("input_tokens", "cached_tokens", "output_tokens")}
    group = {name: row.get(name) for name in GROUPS}
    if group["batch"] is not None:
        group["batch"] = bool(group["batch"])
    return Sum(**{"kind": row["kind"], **number, **tokens, **group})  # type: ignore[arg-type]
