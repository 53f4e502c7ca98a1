"""Responses, kept so that a later one can go on from them."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables."""
