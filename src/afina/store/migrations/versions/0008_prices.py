"""What an operator asks for tokens, what a replayed create answers, and whose key asked for a response."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Rows that are there already need neither a detail nor a key."""
    op.add_column("idempotency", sa.Column("detail", sa.JSON(), nullable=True))
    op.add_column("responses", sa.Column("api_key_id", sa.Text(), nullable=True))
    op.create_table(
        "prices",
        sa.Column("seq", COUNT, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("organization_id", sa.Text(), sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        *(usd(name) for name in ("input", "cached_input", "output", "training")),
        sa.Column("updated_at", COUNT, nullable=False),
        sa.UniqueConstraint("organization_id", "model"),
        sqlite_autoincrement=True,
    )


def usd(name: str) -> sa.Column[float]:
    """US dollars for a million tokens."""
    return sa.Column(name, sa.Double(), nullable=False)
