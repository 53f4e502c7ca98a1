"""Items that were added to a conversation between its turns, and those that were taken out of it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """What a conversation began with has been taken over by its first response, where it has one."""
    op.add_column("conversations", sa.Column("removed", sa.JSON(), nullable=True))
    conversations = sa.table("conversations", sa.column("items", sa.JSON()), sa.column("last_response_id"))
    taken = conversations.c.last_response_id.is_not(None)
    op.execute(conversations.update().where(taken).values(items=[]))
