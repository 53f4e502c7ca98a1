"""The table of prices."""

from sqlalchemy import Column, Double, ForeignKey, UniqueConstraint

from afina.store.tables import listed, number, words


def usd(name: str) -> Column[float]:
    """A column of US dollars for a million tokens."""
    return Column(name, Double(), nullable=False)


# By the name of a base or of a tuned model.
prices = listed(
    "prices",
    words("organization_id", ForeignKey("organizations.id")),
    words("model"),
    *(usd(name) for name in ("input", "cached_input", "output", "training")),
    number("updated_at"),
    UniqueConstraint("organization_id", "model"),
)
