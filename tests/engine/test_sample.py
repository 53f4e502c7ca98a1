"""Sampling: greedy ids against generate(), rows that share steps, randomness, stopping, leaving."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest
import torch
from peft import PeftModel

from afina.engine import adapters, losses, model
from afina.engine.engine import Engine
from afina.engine.prefix_cache import BLOCK, PrefixCache
from afina.engine.types import AdamW, AdapterSpec, Batch, SamplingParams, Sequence, Token
from afina.errors import InvalidRequest, NotFound, RunFailed
from tiny_families import CONFIGS

GREEDY = SamplingParams(max_tokens=24, temperature=0)


def prompt(seed: int, length: int) -> list[int]:
    return torch.randint(0, 97, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


PROMPTS = [prompt(0, 5), prompt(1, 23), prompt(2, 1), prompt(3, 70), prompt(4, 11)]


async def collect(engine, adapter, ids, params) -> list[Token]:
    return [token async for token in engine.sample(adapter, ids, params)]


def ids(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]


def generate(network, prompt: list[int], length: int) -> list[int]:
    inputs = torch.tensor([prompt])
    options = {"do_sample": False, "max_new_tokens": length, "pad_token_id": 0}
    return network.generate(inputs, attention_mask=torch.ones_like(inputs), **options)[
        0, len(prompt) :
    ].tolist()


@pytest.mark.parametrize("name", CONFIGS)
async def test_greedy_ids_equal_generate_alone_and_beside_others(name, base, judge, stirred, tmp_path):
    for n in (1, 2):
        adapter = stirred(model.load(base(name)), AdapterSpec(rank=3, seed=n))
        adapters.write(tmp_path / str(n), adapters.snapshot(adapter, state=False))
    networks = [
        judge(base(name)),
        *(PeftModel.from_pretrained(judge(base(name)), tmp_path / n).eval() for n in "12"),
    ]
    expected = [[generate(network, p, 16) for p in PROMPTS[1:4]] for network in networks]
    params = SamplingParams(max_tokens=16, temperature=0)
    engine = await Engine.open(base(name), threads=1)
    for n in "12":
        await engine.create_adapter(n, None, start=tmp_path / n)
    asked = [(adapter, p) for adapter in (None, "1", "2") for p in PROMPTS[1:4]]
    alone = [ids(await collect(engine, adapter, p, params)) for adapter, p in asked[::3]]
    together = [
        ids(t) for t in await asyncio.gather(*(collect(engine, adapter, p, params) for adapter, p in asked))
    ]
    await engine.close()
    assert alone == [e[0] for e in expected]
    assert together == [row for rows in expected for row in rows]
    assert expected[0] != expected[1] != expected[2]


async def test_logprobs_are_those_of_the_whole_sequence(engine):
    params = SamplingParams(max_tokens=30, temperature=1.3, seed=4, logprobs=3)
    tokens = await collect(engine, None, PROMPTS[0], params)
    whole = (*PROMPTS[0], *ids(tokens))
    weights = (0.0,) * len(PROMPTS[0]) + (1.0,) * len(tokens)
    (scores,) = await engine.logprobs(None, [Sequence(whole, weights)])
    assert [t.logprob for t in tokens] == pytest.approx(scores.values, abs=1e-4)
    for token, argmax in zip(tokens, scores.argmax, strict=True):
        assert len(token.top) == 3 and token.top[0][1] >= token.top[1][1] >= token.top[2][1]
        assert (token.top[0][0] == token.id) == argmax


async def test_a_seed_gives_the_same_tokens_whatever_runs_beside_it(engine):
    def params(seed):
        return SamplingParams(max_tokens=30, temperature=1.0, top_p=0.9, seed=seed)

    alone = [ids(await collect(engine, None, PROMPTS[0], params(seed))) for seed in (1, 2, 1)]
    together = await asyncio.gather(*(collect(engine, None, p, params(1)) for p in PROMPTS))
    assert alone[0] == alone[2] == ids(together[0])
    assert alone[0] != alone[1]


async def test_the_cache_grows_and_slots_move(engine, judge, base):
    asked = list(zip(PROMPTS, [90, 3, 140, 40, 77], strict=True))
    expected = [generate(judge(base("llama")), p, n) for p, n in asked]
    params = [SamplingParams(max_tokens=n, temperature=0) for _, n in asked]
    rows = await asyncio.gather(
        *(collect(engine, None, p, q) for (p, _), q in zip(asked, params, strict=True))
    )
    assert [ids(row) for row in rows] == expected
    assert engine.rows == 0


@pytest.fixture
def computed(engine) -> Iterator[list[int]]:
    """How many tokens each pass runs through the model."""
    passes: list[int] = []
    layers = engine._model.body.layers
    hook = layers[0].register_forward_pre_hook(lambda _, args: passes.append(args[0].size(1)))
    yield passes
    hook.remove()


async def test_what_a_prompt_begins_with_is_computed_once(engine, computed):
    begin, params = prompt(5, 3 * BLOCK), SamplingParams(max_tokens=1, temperature=0)
    cold = [ids(await collect(engine, None, begin + prompt(6, 9), params))]
    assert computed == [3 * BLOCK + 9]
    await collect(engine, None, begin + prompt(7, 5), params)
    await collect(engine, None, begin, params)
    assert computed[1:] == [5, BLOCK]  # The last token of a prompt is needed, and with it its block.
    assert [ids(await collect(engine, None, begin + prompt(6, 9), params))] == cold
    assert computed[3:] == [9]


async def test_prompts_that_arrive_together_and_begin_alike_share_too(engine, judge, base, computed):
    begin, params = prompt(5, 2 * BLOCK), SamplingParams(max_tokens=4, temperature=0)
    asked = [begin + prompt(10 + n, 3 + n) for n in range(6)]
    got = [ids(t) for t in await asyncio.gather(*(collect(engine, None, p, params) for p in asked))]
    assert sum(computed) <= 2 * BLOCK + sum(3 + n for n in range(6)) + 6 * 3
    assert got == [generate(judge(base("llama")), p, 4) for p in asked]


async def test_a_turn_that_follows_finds_what_was_said(engine, computed):
    first = prompt(5, BLOCK)
    said = ids(await collect(engine, None, first, SamplingParams(max_tokens=BLOCK + 2, temperature=0)))
    computed.clear()
    await collect(engine, None, first + said + prompt(6, 3), SamplingParams(max_tokens=1, temperature=0))
    assert computed == [2 + 3]


async def test_no_adapter_reads_what_another_or_an_earlier_self_computed(engine, computed):
    begin, params = prompt(5, BLOCK + 1), SamplingParams(max_tokens=1, temperature=0)
    for name in "ab":
        await engine.create_adapter(name, AdapterSpec(rank=2))
    for name in (None, "a", "b", "a"):
        await collect(engine, name, begin, params)
    assert computed == [BLOCK + 1] * 3 + [1]
    await engine.forward_backward("a", Batch((Sequence(begin, [0.0] + [1.0] * BLOCK),)), losses.cross_entropy)
    await engine.optim_step("a", AdamW(lr=0.1))
    computed.clear()
    await collect(engine, "a", begin, params)
    assert computed == [BLOCK + 1]


async def test_a_salt_keeps_prompts_apart_and_a_token_says_what_was_recalled(engine, computed):
    begin = prompt(5, BLOCK + 1)
    for salt, recalled in (("", 0), ("a", 0), ("a", BLOCK), ("b", 0), ("", BLOCK)):
        computed.clear()
        params = SamplingParams(max_tokens=2, temperature=0, salt=salt)
        tokens = await collect(engine, None, begin, params)
        assert [token.recalled for token in tokens] == [recalled] * 2
        assert computed == [BLOCK + 1 - recalled, 1]


def test_the_least_recently_used_beginnings_are_forgotten():
    block = {0: torch.zeros(2, 1, BLOCK, 4)}
    cache = PrefixCache(room=3 * block[0].nbytes)
    for name in (b"a", b"b", b"c"):
        cache.keep(name, block)
    assert len(cache.read([b"a", b"b"])) == 2
    cache.keep(b"d", block)
    assert cache.known([b"a", b"b", b"c"]) == 2
    assert cache.known([b"c"]) == 0
    assert cache.size == 3 * block[0].nbytes


def test_a_block_that_is_kept_again_counts_once():
    block = {0: torch.zeros(2, 1, BLOCK, 4)}
    cache = PrefixCache(room=2 * block[0].nbytes)
    for name in (b"a", b"b", b"b", b"c", b"c"):
        cache.keep(name, block)
    assert cache.known([b"b", b"c"]) == 2
    assert cache.size == 2 * block[0].nbytes


async def test_the_last_row_takes_its_memory_with_it(engine):
    async with aclosing(engine.sample(None, PROMPTS[0], GREEDY)) as tokens:
        await anext(tokens)
        assert engine._sampler.cache.slabs[0].numel() > 0
        assert len([token async for token in tokens]) == 23
    assert not engine._sampler.cache.slabs


async def test_it_stops_at_a_stop_id_at_max_tokens_and_at_the_context(engine):
    free = await collect(engine, None, PROMPTS[0], GREEDY)
    assert len(free) == 24 and free[-1].finish == "length" and {t.finish for t in free[:-1]} == {None}
    stop = free[7].id
    stopped = await collect(
        engine, None, PROMPTS[0], SamplingParams(max_tokens=24, temperature=0, stop_ids=(stop,))
    )
    assert ids(stopped) == ids(free)[: ids(free).index(stop) + 1] and stopped[-1].finish == "stop"
    full = await collect(engine, None, prompt(9, 300), SamplingParams(max_tokens=1000, temperature=0))
    assert len(full) == 20 and full[-1].finish == "length"


async def test_a_row_that_nobody_listens_to_is_freed(engine):
    endless = SamplingParams(max_tokens=300, temperature=0)
    async with aclosing(engine.sample(None, PROMPTS[0], endless)) as tokens:
        await anext(tokens)
        assert engine.rows == 1
    assert engine.rows == 0
    task = asyncio.create_task(collect(engine, None, PROMPTS[1], endless))
    beside = await collect(engine, None, PROMPTS[0], GREEDY)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.rows == 0
    assert ids(await collect(engine, None, PROMPTS[0], GREEDY)) == ids(beside)
    assert engine._sampler.cache.lengths == []


async def test_a_broken_adapter_fails_its_rows_and_spoils_no_other(engine):
    """The last row gets the slot of the broken one, and the long first row makes it read over its own end."""
    await engine.create_adapter("broken", AdapterSpec(rank=2))
    with torch.no_grad():
        for parameter in engine._adapters["broken"].parameters:
            parameter.fill_(float("nan"))
    expected = [ids(await collect(engine, None, p, GREEDY)) for p in PROMPTS[:2]]
    asked = [(None, PROMPTS[1]), ("broken", PROMPTS[3]), (None, PROMPTS[0])]
    long, broken, short = await asyncio.gather(
        *(collect(engine, adapter, p, GREEDY) for adapter, p in asked), return_exceptions=True
    )
    assert isinstance(broken, RunFailed)
    assert [ids(short), ids(long)] == expected


async def test_a_failing_step_reaches_its_callers_and_the_engine_goes_on(engine, monkeypatch):
    expected = await collect(engine, None, PROMPTS[0], GREEDY)

    def fails():
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(engine._sampler.cache, "extend", fails)
        rows = await asyncio.gather(
            *(collect(engine, None, p, GREEDY) for p in PROMPTS[:2]), return_exceptions=True
        )
    assert [type(row) for row in rows] == [MemoryError, MemoryError]
    assert engine.rows == 0
    assert await collect(engine, None, PROMPTS[0], GREEDY) == expected


async def test_more_rows_than_places_wait_their_turn(engine, monkeypatch):
    monkeypatch.setattr("afina.engine.sample.MAX_ROWS", 2)
    expected = await collect(engine, None, PROMPTS[0], GREEDY)
    rows = await asyncio.gather(*(collect(engine, None, PROMPTS[0], GREEDY) for _ in range(5)))
    assert [ids(row) for row in rows] == [ids(expected)] * 5


@pytest.mark.parametrize(
    ("ids", "params", "words"),
    [
        ([], GREEDY, "at least one id"),
        ([97], GREEDY, "vocabulary of 97"),
        ([-1], GREEDY, "vocabulary of 97"),
        ([1] * 320, GREEDY, "maximum context length is 320"),
        ([1], SamplingParams(max_tokens=0), "max_tokens"),
        ([1], SamplingParams(temperature=-1.0), "temperature"),
        ([1], SamplingParams(temperature=float("nan")), "temperature"),
        ([1], SamplingParams(top_p=0.0), "top_p"),
        ([1], SamplingParams(top_p=1.5), "top_p"),
        ([1], SamplingParams(logprobs=-1), "logprobs"),
    ],
)
async def test_what_cannot_be_sampled_is_refused(engine, ids, params, words):
    with pytest.raises(InvalidRequest, match=words):
        await collect(engine, None, ids, params)
    with pytest.raises(NotFound):
        await collect(engine, "absent", [1], GREEDY)
    assert engine.rows == 0


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
async def test_extreme_temperatures_are_the_limits(engine, temperature):
    params = SamplingParams(max_tokens=10, temperature=temperature, seed=1)
    tokens = ids(await collect(engine, None, PROMPTS[0], params))
    greedy = ids(await collect(engine, None, PROMPTS[0], SamplingParams(max_tokens=10, temperature=0)))
    assert (tokens == greedy) == (temperature < 1)


async def test_rollouts_are_what_their_samples_would_be_alone(engine):
    """Four replies to each of two prompts, one longer than a block of the cache and one within it."""
    asked = [(p, k) for p in (PROMPTS[3], PROMPTS[0]) for k in range(4)]
    params = [SamplingParams(max_tokens=12, seed=k) for _, k in asked]
    made = await engine.rollouts(None, [p for p, _ in asked], params)
    alone = [await collect(engine, None, p, how) for (p, _), how in zip(asked, params, strict=True)]
    assert [ids(of) for of in made] == [ids(of) for of in alone]
    assert len({tuple(ids(of)) for of in made}) > 2
    for of, one in zip(made, alone, strict=True):
        assert [t.logprob for t in of] == pytest.approx([t.logprob for t in one], abs=1e-5)
        assert of[-1].finish == "length"


async def test_the_prompt_of_a_group_is_computed_once(engine, monkeypatch):
    seen: list[int] = []
    hidden = model.Model.hidden

    def counted(self, ids, *others, **named):
        seen.append(len(ids))
        return hidden(self, ids, *others, **named)

    monkeypatch.setattr(model.Model, "hidden", counted)
    params = [SamplingParams(max_tokens=3, seed=k) for k in range(8)]
    await engine.rollouts(None, [PROMPTS[3]] * 8, params)
    assert seen == [len(PROMPTS[3]), 8, 8]


async def test_more_rollouts_than_places_come_one_after_the_other(engine):
    params = [SamplingParams(max_tokens=3, seed=k) for k in range(150)]
    made = await engine.rollouts(None, [PROMPTS[0]] * 150, params)
    assert all(len(of) == 3 for of in made)
    assert engine.rows == 0


async def test_rollouts_that_cannot_be_sampled_are_refused_together(engine):
    with pytest.raises(InvalidRequest):
        await engine.rollouts(None, [PROMPTS[0], []], [GREEDY, GREEDY])
    assert engine.rows == 0


async def test_the_sampler_and_the_trainer_agree_on_what_a_token_is_worth(engine):
    """The ratio of policy gradients is one where they do."""
    await engine.create_adapter("a", AdapterSpec(rank=4, seed=1))
    whole = Batch((Sequence(tuple(PROMPTS[1]), (1.0,) * len(PROMPTS[1])),))
    await engine.forward_backward("a", whole, losses.cross_entropy)
    await engine.optim_step("a", AdamW(lr=0.05))
    params = [SamplingParams(max_tokens=10, seed=k) for k in range(4)]
    made = await engine.rollouts("a", [PROMPTS[3]] * 4, params)
    sequences = [Sequence(tuple(PROMPTS[3]), (0.0,) * len(PROMPTS[3]))]
    sequences += [Sequence(tuple(ids(of)), (1.0,) * len(of), 0, group=k) for k, of in enumerate(made)]
    scored = (await engine.logprobs("a", sequences))[1:]
    for of, found in zip(made, scored, strict=True):
        assert [t.logprob for t in of] == pytest.approx(list(found.values), abs=1e-4)
