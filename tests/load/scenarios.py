"""What is asked under load: L1 reads one job, L2 walks all jobs, L3 follows a running job, L10 submits many jobs."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx

from load.arrivals import Ask, Replies, at_rate, together
from load.seed import Past, job_id

ROUNDS = 3  # of each side, in turns: what else this machine does falls on both
JOBS = "/v1/fine_tuning/jobs"


@dataclass(frozen=True)
class Sides:
    """The two servers: ours, and the one that does nothing."""

    ours: httpx.AsyncClient
    stub: httpx.AsyncClient


@dataclass(frozen=True)
class Outcome:
    """One scenario's figures, and what had to hold and did not."""

    name: str
    ours: Replies
    stub: Replies
    broken: list[str]

    @property
    def ratio(self) -> float:
        """Our 95th percentile as a multiple of the stub's."""
        return self.ours.at(95) / self.stub.at(95)


async def side_by_side(
    sides: Sides, ask: Callable[[httpx.AsyncClient], Ask], *, count: int, rate: float
) -> list[Replies]:
    """The same requests to both servers, round by round."""
    ours: list[Replies] = []
    stub: list[Replies] = []
    for _ in range(ROUNDS):
        for client, replies in ((sides.ours, ours), (sides.stub, stub)):
            replies.append(await at_rate(client, ask(client), count=count // ROUNDS, per_second=rate))
    return [together(ours), together(stub)]


def outcome(name: str, replies: list[Replies], *, most: float, broken: list[str] | None = None) -> Outcome:
    """The figures with their bound: failures break it, and a ratio above `most`."""
    found = Outcome(name, *replies, broken=list(broken or []))
    if found.ours.failures or found.stub.failures:
        found.broken.append(f"{found.ours.failures} of ours and {found.stub.failures} of the stub's failed")
    if found.ratio > most:
        found.broken.append(f"p95 is {found.ratio:.1f} times the stub's, more than {most:g}")
    return found


async def read_jobs(sides: Sides, past: Past, *, count: int, rate: float) -> Outcome:
    """L1: GET of one job among all of them."""

    def ask(client: httpx.AsyncClient) -> Ask:
        return lambda n: client.build_request("GET", f"{JOBS}/{job_id(n * 7919 % past.jobs)}")

    return outcome("L1 read a job", await side_by_side(sides, ask, count=count, rate=rate), most=3)


async def list_jobs(sides: Sides, past: Past, *, count: int, rate: float) -> Outcome:
    """L2: the first page of the list; and all pages, with none twice, none missed, the last as quick as the first."""

    def ask(client: httpx.AsyncClient) -> Ask:
        return lambda n: client.build_request("GET", JOBS, params={"limit": 20})

    replies = await side_by_side(sides, ask, count=count, rate=rate)
    return outcome("L2 list jobs", replies, most=3, broken=await walked(sides.ours, past))


async def walked(client: httpx.AsyncClient, past: Past) -> list[str]:
    """What was wrong with a walk over all pages."""
    seen: list[str] = []
    took: list[float] = []
    async for page, seconds in pages(client):
        seen += page
        took.append(seconds)
    mine = [each for each in seen if each.startswith("ftjob-past")]
    tenth = max(1, len(took) // 10)
    first, last = (sum(part) / tenth for part in (took[:tenth], took[-tenth:]))
    wrong = (
        []
        if len(mine) == len(set(mine)) == past.jobs
        else [f"{len(mine)} jobs seen, {len(set(mine))} of them different"]
    )
    return wrong + (
        [f"the last pages took {last / first:.1f} times as long as the first"] if last > 1.5 * first else []
    )


async def pages(client: httpx.AsyncClient) -> AsyncIterator[tuple[list[str], float]]:
    """The ids of each page, and its seconds."""
    after: dict[str, str] = {}
    while True:
        begun = time.monotonic()
        page = (await client.get(JOBS, params={"limit": 20, **after})).raise_for_status().json()
        yield [job["id"] for job in page["data"]], time.monotonic() - begun
        if not page["has_more"]:
            return
        after = {"after": page["data"][-1]["id"]}


async def follow_events(sides: Sides, past: Past, *, watchers: int, seconds: int) -> Outcome:
    """L3: many clients look at one job's events once a second each."""

    def ask(client: httpx.AsyncClient) -> Ask:
        return lambda n: client.build_request("GET", f"{JOBS}/{job_id(0)}/events", params={"limit": 20})

    replies = await side_by_side(sides, ask, count=watchers * seconds, rate=watchers)
    return outcome("L3 follow events", replies, most=3)


async def submit_jobs(sides: Sides, *, file: str, count: int, rate: float) -> Outcome:
    """L10: submits of which every fifth repeats the one before it; the stub writes and syncs a line for each."""
    run = uuid.uuid4().hex

    def ask(client: httpx.AsyncClient) -> Ask:
        def request(n: int) -> httpx.Request:
            key = f"{run}-{n - 1 if n % 5 == 4 else n}-{asked[client]}"
            body = {"model": "afina-tiny", "training_file": file, "metadata": {"run": run}}
            return client.build_request("POST", JOBS, json=body, headers={"idempotency-key": key})

        asked[client] = asked.get(client, 0) + 1
        return request

    asked: dict[httpx.AsyncClient, int] = {}
    replies = await side_by_side(sides, ask, count=count, rate=rate)
    made = await number_of(sides.ours, run)
    wanted = len(replies[0].seconds) * 4 // 5
    broken = [] if made == wanted else [f"{made} jobs were made, {wanted} were wanted"]
    return outcome("L10 submit jobs", replies, most=5, broken=broken)


async def number_of(client: httpx.AsyncClient, run: str) -> int:
    """How many jobs a run has made."""
    found, after = 0, {}
    while True:
        page = (
            (await client.get(JOBS, params={"limit": 100, "metadata[run]": run, **after}))
            .raise_for_status()
            .json()
        )
        found += len(page["data"])
        if not page["has_more"]:
            return found
        after = {"after": page["data"][-1]["id"]}
