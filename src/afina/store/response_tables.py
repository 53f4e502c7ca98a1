"""The tables of responses and of the conversations that they belong to."""

from sqlalchemy import Index

from afina.store.tables import document, listed, number, project, words

responses = listed(
    "responses",
    project(),
    number("created_at"),
    words("status"),
    words("previous_response_id", optional=True),
    document("response"),
    document("input"),
    document("cuts"),
    document("request", optional=True),
    words("api_key_id", optional=True),
    Index(None, "project_id", "seq"),
)

conversations = listed(
    "conversations",
    project(),
    number("created_at"),
    document("metadata"),
    document("items"),
    document("removed", optional=True),
    words("last_response_id", optional=True),
    Index(None, "project_id", "seq"),
)
