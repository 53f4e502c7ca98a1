"""Webhook endpoints with their outbox, checkpoint permissions and what was used."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the tables."""
