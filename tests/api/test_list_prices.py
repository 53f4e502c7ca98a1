"""OpenAI's prices, by the names that people use."""

from datetime import date

import pytest

from afina.api import list_prices
from afina.serving.registry import OPENAI_NAMES


@pytest.mark.parametrize(
    ("name", "usd_per_million"),
    [
        ("gpt-3.5-turbo", 8.0),
        ("gpt-3.5-turbo-0125", 8.0),
        ("gpt-4o-mini", 3.0),
        ("gpt-4o-mini-2024-07-18", 3.0),
        ("gpt-4o-2024-08-06", 25.0),
        ("gpt-4.1-nano-2025-04-14", 1.5),
        ("babbage-002", 0.4),
        ("ft:gpt-4o-mini-2024-07-18:org:suffix:abc12345", 3.0),
    ],
)
def test_a_name_has_its_model_s_price(name: str, usd_per_million: float):
    price = list_prices.of(name)
    assert price is not None and price.usd_per_million == usd_per_million


@pytest.mark.parametrize(
    "name", ["afina-tiny", "ft:afina-tiny:personal::abcdefgh", "gpt-4o-mini-2", "gpt-5", ""]
)
def test_any_other_name_has_none(name: str):
    assert list_prices.of(name) is None


def test_every_name_that_leads_to_the_bundled_base_has_a_price():
    assert [name for name in OPENAI_NAMES if list_prices.of(name) is None] == []


def test_every_price_has_a_day_and_a_source():
    for name, price in list_prices.TABLE.items():
        assert name == price.model and price.source and date.fromisoformat(price.as_of)


@pytest.mark.parametrize(
    ("tokens", "name", "usd"),
    [(300_000, "gpt-3.5-turbo", 2.4), (300_000, "gpt-4o-mini", 0.9), (1, "gpt-4.1", 0.000025)],
)
def test_what_tokens_cost(tokens: int, name: str, usd: float):
    assert list_prices.usd(tokens, list_prices.TABLE[name]) == usd
