"""Chats kept by request, with their messages."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables."""
