"""A base is registered with its thinking mode."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """None: its template has no switch, or it was registered before."""
    op.add_column("models", sa.Column("thinking", sa.Text(), nullable=True))
