"""Continuous batching: rows join at any step, each with its own adapter, parameters and random numbers."""

import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain

import torch
from torch import Tensor

from afina.engine.adapters import Adapter
from afina.engine.cache import Cache, Decode, Prefill
from afina.engine.choice import Place, choose
from afina.engine.model import Model
from afina.engine.prefix_cache import BLOCK, PrefixCache, names
from afina.engine.shares import Stack, apart
from afina.engine.types import Finish, Matcher, SamplingParams, Token
from afina.errors import FormTooComplex, InvalidRequest, NotFinite

# More rows than this wait for one to end.
MAX_ROWS = 64
# Prompts are computed together up to so many tokens, so that nobody waits long for the next token.
PROMPT_TOKENS = 1024
NOT_FINITE = "The adapter's outputs are not finite; it cannot be sampled."
Prompt = tuple[str, int, tuple[int, ...]]  # a salt, an adapter and the ids that it continues
STUCK = "The form that the reply is held to has grown too complex; simplify its schema."


@dataclass(slots=True, eq=False)
class Row:
    """One prompt being continued; `deliver` gets its tokens, and an exception where it cannot go on."""

    adapter: Adapter | None
    prompt: list[int]
    params: SamplingParams
    deliver: Callable[[Token | Exception], None]
    made: list[int] = field(default_factory=list)
    dropped: bool = False
    recalled: int = 0
    matcher: Matcher | None = field(init=False)
    blocks: list[bytes] = field(init=False)
    named_at: int = field(init=False)

    def __post_init__(self) -> None:
        self.name_blocks()
        self.matcher = None if self.params.grammar is None else self.params.grammar.start()

    def name_blocks(self) -> None:
        """Name what the prompt is made of, by the adapter as it is now."""
        self.named_at = self.version
        # The last token is computed in any case: its logits are asked for.
        self.blocks = names(self.adapter, self.prompt[:-1], self.params.salt)

    @property
    def version(self) -> int:
        """The step that its adapter has reached."""
        return 0 if self.adapter is None else self.adapter.steps

    @property
    def key(self) -> Prompt:
        """What its next logits depend on before it has made a token."""
        return self.params.salt, id(self.adapter), tuple(self.prompt)

    @property
    def place(self) -> Place:
        """Where it stands."""
        allowed = None if self.matcher is None else self.matcher.allowed()
        return Place(self.params, len(self.prompt) + len(self.made), self.made, allowed)

    def take(self, token: Token) -> None:
        """Its next token."""
        self.made.append(token.id)
        if self.matcher is not None:
            self.matcher.take(token.id)


class Sampler:
    """The rows in work: `rows[i]` owns slot i of the cache. Only `add` and `live` are for other threads."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.waiting: deque[Row] = deque()
        self.rows: list[Row] = []
        self.cache = Cache(model)
        self.prefixes = PrefixCache()
        self.stack = Stack()

    def add(self, *rows: Row) -> None:
        """Queue rows; they join at the next step. Raises InvalidRequest for what cannot be sampled."""
        for row in rows:
            check(self.model, row.prompt, row.params)
        self.waiting.extend(rows)

    @property
    def busy(self) -> bool:
        """Whether a step would find something to do."""
        return bool(self.waiting or self.rows)

    @property
    def live(self) -> int:
        """Rows somebody still listens to."""
        return sum(not row.dropped for row in [*self.waiting, *self.rows])

    @torch.inference_mode()
    def step(self) -> None:
        """One unit of work: the prompts of new rows, else one token for every row."""
        self._sweep()
        arrivals = self._arrivals()
        if arrivals:
            self._run(self._prefill, arrivals)
        elif self.rows:
            self._run(self._decode, self.rows)

    def _sweep(self) -> None:
        """Rows that nobody listens to any more leave before anything is computed."""
        while self.waiting and self.waiting[0].dropped:
            self.waiting.popleft()
        for row in [row for row in self.rows if row.dropped]:
            self._leave(row)

    def _arrivals(self) -> list[Row]:
        """Rows that join now, the oldest first. One that begins like another waits to find that in the cache, unless
        its prompt is the other's: then they are computed as one.
        """
        chosen: list[Row] = []
        begun, alike, tokens = set[bytes](), set[Prompt](), 0
        # Of a copy: other threads add rows meanwhile.
        for row in list(self.waiting)[: MAX_ROWS - len(self.rows)]:
            if row.named_at != row.version:
                row.name_blocks()
            if row.key in alike:
                chosen.append(row)
                continue
            known = self.prefixes.known(row.blocks)
            if not begun.isdisjoint(row.blocks[known : known + 1]):
                continue
            tokens += len(row.prompt) - known * BLOCK
            if chosen and tokens > PROMPT_TOKENS:
                break
            chosen.append(row)
            alike.add(row.key)
            begun.update(row.blocks[known:])
        for row in chosen:
            self.waiting.remove(row)
        return chosen

    def _run(self, work: Callable[[list[Row]], None], rows: list[Row]) -> None:
        """A failure reaches those whose rows were computed, and nobody else."""
        rows = list(rows)
        try:
            work(rows)
        except Exception as error:
            # The frames hold the tensors of the step; who keeps the error must not keep them.
            traceback.clear_frames(error.__traceback__)
            for row in rows:
                self._leave(row)
                row.deliver(error)

    def end(self, error: Exception) -> None:
        """Nothing will be sampled any more; everyone who waits is told."""
        for row in [*self.waiting, *self.rows]:
            row.deliver(error)

    def _leave(self, row: Row) -> None:
        if row in self.rows:
            slot = self.rows.index(row)
            self.cache.release(slot)
            self.rows[slot] = self.rows[-1]
            self.rows.pop()
            if not self.rows:
                self.stack.forget()

    def _prefill(self, arrived: list[Row]) -> None:
        """Compute each prompt once; all but the first of the rows that have it are forked from that one."""
        leaders: dict[Prompt, Row] = {}
        for row in arrived:
            leaders.setdefault(row.key, row)
        rows = list(leaders.values())
        slots = [self._join(row) for row in rows]
        held = [self._recall(slot, row.blocks) for slot, row in zip(slots, rows, strict=True)]
        ids = [row.prompt[have:] for row, have in zip(rows, held, strict=True)]
        positions = [range(have, len(row.prompt)) for row, have in zip(rows, held, strict=True)]
        owners = [row.adapter for row, part in zip(rows, ids, strict=True) for _ in part]
        hidden = self.model.hidden(
            list(chain(*ids)), list(chain(*positions)), Prefill(self.cache, slots, held),
            shares=apart(owners, self.model.device),
        )  # fmt: skip
        for slot, row in zip(slots, rows, strict=True):
            self._keep(slot, row.blocks)
        known = dict(zip(leaders, held, strict=True))
        for row in arrived:
            row.recalled = known[row.key]
            if row is not leaders[row.key]:
                self.cache.fork(slots[rows.index(leaders[row.key])])
                self.rows.append(row)
        last = {row.key: end - 1 for row, end in zip(rows, accumulate(map(len, ids)), strict=True)}
        logits = self.model.logits(hidden[list(last.values())])
        places = {key: place for place, key in enumerate(last)}
        self._deliver(arrived, logits[[places[row.key] for row in arrived]])

    def _join(self, row: Row) -> int:
        slot = self.cache.take(len(row.prompt))
        self.rows.append(row)
        return slot

    def _recall(self, slot: int, blocks: list[bytes]) -> int:
        """Fill a slot with what is known of these blocks; tokens filled."""
        known = blocks[: self.prefixes.known(blocks)]
        for i, block in enumerate(self.prefixes.read(known)):
            self.cache.write(slot, i * BLOCK, block)
        return len(known) * BLOCK

    def _keep(self, slot: int, blocks: list[bytes]) -> None:
        """Remember what a slot begins with."""
        for i in range(self.prefixes.known(blocks), len(blocks)):
            self.prefixes.keep(blocks[i], self.cache.read(slot, i * BLOCK, (i + 1) * BLOCK))

    def _decode(self, rows: list[Row]) -> None:
        self.cache.extend()
        ids = [row.made[-1] for row in rows]
        positions = [length - 1 for length in self.cache.lengths]
        owners = [row.adapter for row in rows]
        hidden = self.model.hidden(
            ids, positions, Decode(self.cache), shares=self.stack.shares(owners, self.model.device)
        )
        self._deliver(rows, self.model.logits(hidden))

    def _deliver(self, rows: list[Row], logits: Tensor) -> None:
        """One token to each row from logits [rows, vocab]; rows that end leave."""
        places = [row.place for row in rows]
        for row, place, token in zip(rows, places, choose(logits, places), strict=True):
            if token is None:
                self._leave(row)
                stuck = place.allowed and not any(place.allowed)
                row.deliver(FormTooComplex(STUCK) if stuck else NotFinite(NOT_FINITE))
                continue
            row.take(token)
            finish = self._finish(row)
            if finish is not None:
                self._end_well(row)
            row.deliver(replace(token, finish=finish, recalled=row.recalled))

    def _end_well(self, row: Row) -> None:
        """A row that ended well leaves, its text remembered for the turn that follows.

        Not where its adapter was trained meanwhile: no single version of it has computed what the slot holds.
        """
        if row.named_at == row.version:
            said = row.prompt + row.made[:-1]  # The last token was chosen, but never computed.
            self._keep(self.rows.index(row), names(row.adapter, said, row.params.salt))
        self._leave(row)

    def _finish(self, row: Row) -> Finish | None:
        if row.made[-1] in row.params.stop_ids:
            return "stop"
        if row.matcher is not None and row.matcher.over:
            return "stop"
        full = len(row.prompt) + len(row.made) >= self.model.max_positions
        return "length" if full or len(row.made) >= row.params.max_tokens else None


def check(model: Model, prompt: list[int], params: SamplingParams) -> None:
    """Raise InvalidRequest for a prompt or parameters that cannot be sampled."""
    if not prompt or not all(0 <= i < model.vocab_size for i in prompt):
        raise InvalidRequest(
            f"A prompt needs at least one id, all within the vocabulary of {model.vocab_size}."
        )
    if len(prompt) >= model.max_positions:
        raise InvalidRequest(
            f"This model's maximum context length is {model.max_positions} tokens. However, the prompt has "
            f"{len(prompt)} tokens. Please reduce the length of the messages.",
            code="context_length_exceeded",
        )
    if params.max_tokens < 1:
        raise InvalidRequest("max_tokens must be at least 1.", param="max_tokens")
    if not 0 <= params.temperature < float("inf"):
        raise InvalidRequest("temperature must be a finite number of at least 0.", param="temperature")
    if not 0 < params.top_p <= 1:
        raise InvalidRequest("top_p must be above 0 and at most 1.", param="top_p")
    if params.top_k is not None and params.top_k < 1:
        raise InvalidRequest("top_k must be at least 1.", param="top_k")
    if not 0 <= params.min_p <= 1:
        raise InvalidRequest("min_p must be between 0 and 1.", param="min_p")
    if params.logprobs is not None and params.logprobs < 0:
        raise InvalidRequest("logprobs must not be negative.", param="logprobs")
    if not all(0 <= id < model.vocab_size for id in params.bias):
        raise InvalidRequest(
            f"A biased id is outside the vocabulary of {model.vocab_size}.", param="logit_bias"
        )
