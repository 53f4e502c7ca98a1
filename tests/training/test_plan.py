"""What "auto" means, at both sides of every boundary."""

import pytest

from afina.data.tokens import TokenStats
from afina.schemas.fine_tuning import DpoHyperparameters, SupervisedHyperparameters
from afina.training import plan
from afina.training.plan import BaseFacts

SMALL = BaseFacts(parameters=1_000_000, hidden_size=256, context=2048)


def stats(examples: int, *, rows: int | None = None, tokens: int = 100) -> TokenStats:
    """`tokens` of each row."""
    rows = examples if rows is None else rows
    return TokenStats(examples, rows, rows * tokens, rows, 0, tokens)


@pytest.mark.parametrize(
    ("examples", "epochs"),
    [
        (1, 25),
        (4, 25),
        (5, 20),
        (10, 10),
        (33, 3),
        (34, 3),
        (8_333, 3),
        (8_334, 2),
        (12_500, 2),
        (12_501, 1),
        (25_001, 1),
        (10**7, 1),
    ],
)
def test_epochs(examples, epochs):
    assert plan.epochs(examples) == epochs


@pytest.mark.parametrize(
    ("examples", "tokens", "size"),
    [
        (10, 100, 1),  # fewer than sixteen rows: one each
        (31, 100, 1),
        (32, 100, 2),  # an epoch keeps sixteen steps
        (160, 100, 10),
        (10_000, 100, 49),  # a pass of 4992 tokens is full
        (10_000, 1_000, 20),  # 0.2% of the rows
        (10_000, 2_000, 20),
        (128_000, 2_000, 256),  # 0.2% is 256, which is the most
        (10**6, 2_000, 256),
    ],
)
def test_batch_size(examples, tokens, size):
    data = stats(examples, tokens=tokens)
    assert plan.resolve(SupervisedHyperparameters(), data, SMALL).batch_size == size


def test_an_example_of_several_rows_counts_with_all_of_them():
    asked = SupervisedHyperparameters(n_epochs=1, batch_size=8, learning_rate_multiplier=1)
    assert plan.total_steps(asked, stats(10, rows=160)) == 20
    auto = SupervisedHyperparameters()
    several, single = (plan.resolve(auto, data, SMALL) for data in (stats(10, rows=160), stats(160)))
    assert several.batch_size == single.batch_size


def test_a_pair_counts_once():
    asked = DpoHyperparameters(n_epochs=1, batch_size=8, learning_rate_multiplier=1)
    assert plan.total_steps(asked, stats(160, rows=480)) == 20
    assert plan.resolve(DpoHyperparameters(), stats(160, rows=480), SMALL).batch_size == 10


@pytest.mark.parametrize(
    ("parameters", "tokens"),
    [
        (3_000_000, 8192),
        (3_100_000, 8064),
        (7_000_000, 3520),
        (40_000_000, 576),
        (50_000_000, 512),
        (10**10, 512),
    ],
)
def test_token_budget(parameters, tokens):
    assert plan.token_budget(BaseFacts(parameters, 256, 2048)) == tokens


def test_learning_rate():
    def rate(multiplier: float, hidden_size: int, kind=SupervisedHyperparameters) -> float:
        planned = kind(n_epochs=1, batch_size=1, learning_rate_multiplier=multiplier)
        return plan.learning_rate(planned, BaseFacts(1, hidden_size, 1))

    assert rate(1.0, 2000) == 5e-4
    assert rate(3.0, 2000) == 3 * rate(1.0, 2000)
    assert rate(1.0, 500) == pytest.approx(5e-4 * 4**0.781)
    assert rate(1.0, 2000, DpoHyperparameters) == pytest.approx(5e-5)


def test_all_weights_are_trained_at_a_tenth_of_the_rate():
    planned = SupervisedHyperparameters(n_epochs=1, batch_size=1, learning_rate_multiplier=1.0)
    rates = [plan.learning_rate(planned, SMALL, full=full) for full in (False, True)]
    assert rates[1] == pytest.approx(rates[0] / 10)


def test_beta():
    assert plan.beta(plan.resolve(DpoHyperparameters(), stats(160), SMALL)) == 0.1
    assert plan.beta(DpoHyperparameters(beta=2.0)) == 2.0
    assert plan.beta(SupervisedHyperparameters()) is None


@pytest.mark.parametrize(
    ("steps", "warmup"), [(1, 0), (19, 0), (20, 1), (2_000, 100), (2_020, 100), (10**6, 100)]
)
def test_warmup(steps, warmup):
    assert plan.warmup_steps(steps) == warmup


@pytest.mark.parametrize(("steps", "every"), [(1, 5), (100, 5), (101, 6), (120, 6), (2_000, 100)])
def test_validation(steps, every):
    assert plan.validate_every(steps) == every


def test_what_was_asked_for_is_taken():
    asked = SupervisedHyperparameters(n_epochs=7, batch_size=5, learning_rate_multiplier=0.5)
    assert plan.resolve(asked, stats(10_000), SMALL) == asked
    assert plan.resolved(asked) == (7, 5, 0.5)


def test_every_auto_becomes_a_number():
    found = plan.resolve(SupervisedHyperparameters(n_epochs=2), stats(160), SMALL)
    assert plan.resolved(found) == (2, 10, 1.0)


def test_the_facts_of_a_base_come_from_its_headers(base):
    facts = BaseFacts.read(base)
    embedding, attention, mlp, norms = 8192 * 16, 16 * 16 * 2 + 16 * 8 * 2, 3 * 16 * 32, 3 * 16
    linears = {"q_proj": 32, "k_proj": 24, "v_proj": 24, "o_proj": 32}
    linears |= {"gate_proj": 48, "up_proj": 48, "down_proj": 48}
    kept = 10 * 16 + 11 * 16 + 13 * 8 + 4 * 32
    assert facts == BaseFacts(embedding + attention + mlp + norms, 16, 512, linears, 8192, kept)
