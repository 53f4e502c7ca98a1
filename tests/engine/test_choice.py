"""The next token of every row: chance by (seed, position) alone, what parameters leave, and penalties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.engine.choice import Place, choose, draw, uniform
from afina.engine.types import SamplingParams

LOGITS = torch.tensor([0.1, 0.6, 0.05, 0.25]).log()


def drawn(params: SamplingParams, count: int, logits: torch.Tensor = LOGITS) -> list[int]:
    places = [Place(params, position) for position in range(count)]
    return draw(logits.expand(count, -1), places).tolist()


@given(st.integers(), st.integers(0, 10**6))
def test_random_numbers_are_in_range_and_repeatable(seed: int, position: int):
    assert 0 <= uniform(seed, position) < 1
    assert uniform(seed, position) == uniform(seed, position) != uniform(seed, position + 1)


@pytest.mark.parametrize("params", [SamplingParams(seed=7), SamplingParams(seed=7, top_p=0.999999)])
def test_draws_follow_the_distribution(params: SamplingParams):
    counts = torch.tensor(drawn(params, 4000)).bincount(minlength=4)
    torch.testing.assert_close(counts / 4000, LOGITS.exp(), rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("params", "left"),
    [
        (SamplingParams(top_p=0.8), {1, 3}),
        (SamplingParams(top_p=0.01), {1}),
        (SamplingParams(top_k=3), {0, 1, 3}),
        (SamplingParams(min_p=0.4), {1, 3}),
        (SamplingParams(min_p=1.0), {1}),
        (SamplingParams(top_k=3, top_p=0.5), {1}),
        (SamplingParams(temperature=1e-300), {1}),
    ],
)
def test_parameters_leave_the_likeliest_tokens(params: SamplingParams, left: set[int]):
    assert set(drawn(params, 300)) == left


def test_a_row_is_drawn_alike_whatever_stands_beside_it():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 50, generator=random)
    kinds = (SamplingParams(seed=1), SamplingParams(seed=2, top_p=0.7), SamplingParams(temperature=0))
    places = [Place(kinds[i % 3], i) for i in range(6)]
    together = choose(logits, places)
    assert together == [choose(logits[i : i + 1], [place])[0] for i, place in enumerate(places)]


def test_a_token_without_probability_is_never_drawn():
    logits = torch.tensor([-1e9, 0.0, -1e9])
    assert set(drawn(SamplingParams(), 500, logits)) == {1}


def test_penalties_and_bias_change_the_choice_and_not_the_logprobs():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    plain = torch.log_softmax(logits, dim=-1)[0]
    greedy = {"temperature": 0.0, "logprobs": 1}
    cases = [
        (SamplingParams(**greedy), (0,), 0),
        (SamplingParams(**greedy, presence_penalty=1.5), (0,), 1),
        (SamplingParams(**greedy, presence_penalty=1.5), (0, 0, 1), 0),
        (SamplingParams(**greedy, frequency_penalty=0.6), (0,), 0),
        (SamplingParams(**greedy, frequency_penalty=0.6), (0, 0), 1),
        (SamplingParams(**greedy, bias={2: 5.0}), (), 2),
        (SamplingParams(**greedy, bias={0: -100.0}), (), 1),
    ]
    for params, made, expected in cases:
        [token] = choose(logits, [Place(params, 5, made)])
        assert token is not None and token.id == expected
        assert token.logprob == pytest.approx(float(plain[expected]))
        assert token.top == ((0, pytest.approx(float(plain[0]))),)


def test_a_row_that_is_not_finite_has_no_token():
    logits = torch.tensor([[0.0, float("nan")], [0.0, 1.0], [float("inf"), 0.0]])
    tokens = choose(logits, [Place(SamplingParams(seed=1), 0)] * 3)
    assert [token is None for token in tokens] == [True, False, True]


def bits(*ids: int) -> bytes:
    return bytes([sum(1 << id for id in ids)])


def test_only_what_is_allowed_is_chosen():
    rows = LOGITS.expand(3, -1)
    held = SamplingParams(temperature=0, logprobs=2)
    places = [Place(held, 0, allowed=bits(0, 2)), Place(held, 0), Place(held, 0, allowed=bits())]
    first, free, none = choose(rows, places)
    assert first and free and none is None
    assert (first.id, free.id) == (0, 1)
    assert first.logprob == pytest.approx(float(LOGITS[0])) and first.top == free.top
    hot = [Place(SamplingParams(temperature=50.0), i, allowed=bits(2, 3)) for i in range(300)]
    assert {token.id for token in choose(LOGITS.expand(300, -1), hot) if token} == {2, 3}


def test_a_bias_does_not_allow_what_is_not_allowed():
    params = SamplingParams(temperature=0, bias={1: 100.0})
    (token,) = choose(LOGITS[None], [Place(params, 0, allowed=bits(0, 3))])
    assert token and token.id == 3
