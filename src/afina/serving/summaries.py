"""A conversation in short: asked of the model itself, and carried by the client in a form that only we read."""

import base64
import binascii

from afina.errors import InvalidRequest
from afina.schemas.response_items import CompactionItem, MessageItem

MARK = "afina1."
ORDER = (
    "Summarise this conversation so that it can go on from your summary alone. Keep names, numbers, decisions, "
    "open questions and the results of tools. Write nothing else."
)
LEAD = "This is what was said so far, in short:\n\n"


def order() -> MessageItem:
    """What a model is asked for a summary with."""
    return MessageItem(role="user", content=ORDER)


def packed(summary: str, *, id: str) -> CompactionItem:
    """A summary as the item that stands for the conversation."""
    return CompactionItem(id=id, encrypted_content=MARK + base64.b64encode(summary.encode()).decode())


def summary_text(item: CompactionItem) -> str:
    """What an item of ours tells the model; one that another server made cannot be read."""
    try:
        if not item.encrypted_content.startswith(MARK):
            raise ValueError
        summary = base64.b64decode(item.encrypted_content.removeprefix(MARK), validate=True).decode()
    except (ValueError, binascii.Error):
        message = "The 'encrypted_content' of a 'compaction' item was not made by this server; send the items instead."
        raise InvalidRequest(message, param="input", code="invalid_encrypted_content") from None
    return LEAD + summary
