"""OpenAI's list prices for supervised fine-tuning, each with where it was read; a table, not a promise."""

import re

from afina.schemas.estimates import ListPrice

COLLECTED = "2026-11-22"
DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
GUIDE = "OpenAI's fine-tuning guide"
OTHERS = "third-party listings"
UNCHECKED = "not verified"

TABLE = {
    price.model: price
    for price in (
        ListPrice(
            model="gpt-3.5-turbo",
            usd_per_million=8.0,
            as_of="2023-08-22",
            source="OpenAI's announcement of that day",
        ),
        ListPrice(model="gpt-4o", usd_per_million=25.0, as_of=COLLECTED, source=OTHERS),
        ListPrice(model="gpt-4o-mini", usd_per_million=3.0, as_of=COLLECTED, source=GUIDE),
        ListPrice(model="gpt-4.1", usd_per_million=25.0, as_of=COLLECTED, source=OTHERS),
        ListPrice(model="gpt-4.1-mini", usd_per_million=5.0, as_of=COLLECTED, source=OTHERS),
        ListPrice(model="gpt-4.1-nano", usd_per_million=1.5, as_of=COLLECTED, source=OTHERS),
        ListPrice(model="babbage-002", usd_per_million=0.4, as_of=COLLECTED, source=UNCHECKED),
        ListPrice(model="davinci-002", usd_per_million=6.0, as_of=COLLECTED, source=UNCHECKED),
    )
}


def of(name: str) -> ListPrice | None:
    """The price of the model that a name means at OpenAI, with its date or without; None for any other name.

    A tuned model costs as much as its base to train further.
    """
    base = name.removeprefix("ft:").partition(":")[0]
    return TABLE.get(DATED.sub("", base))


def usd(tokens: int, price: ListPrice) -> float:
    """What training on so many tokens costs; those of the validation file are free."""
    return round(tokens * price.usd_per_million / 1e6, 6)
