"""The tables of uploads and of batches."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table

from afina.store.tables import Count, Words, document, listed, metadata, number, project, words

STAGES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")

uploads = listed(
    "uploads",
    project(),
    number("bytes"),
    number("created_at"),
    number("expires_at"),
    words("filename"),
    words("purpose"),
    words("mime_type"),
    words("status"),
    number("expires_after", optional=True),
    words("file_id", optional=True),
    Index(None, "project_id", "status"),
    Index(None, "status", "expires_at"),
)

upload_parts = listed(
    "upload_parts",
    project(),
    words("upload_id", ForeignKey("uploads.id")),
    number("created_at"),
    number("bytes"),
    words("sha256"),
    Index(None, "upload_id", "seq"),
)

batches = listed(
    "batches",
    project(),
    words("endpoint"),
    words("model", optional=True),
    document("errors", optional=True),
    words("input_file_id"),
    words("status"),
    words("output_file_id", optional=True),
    words("error_file_id", optional=True),
    number("created_at"),
    number("expires_at"),
    *(number(f"{stage}_at", optional=True) for stage in STAGES),
    document("request_counts"),
    document("usage"),
    document("metadata", optional=True),
    number("output_expires_after", optional=True),
    Index(None, "project_id", "seq"),
    Index(None, "project_id", "status"),
)

# What a batch's requests were answered with, by the number of their line, until it becomes a file.
batch_results = Table(
    "batch_results",
    metadata,
    Column("batch_id", Words(), ForeignKey("batches.id"), primary_key=True),
    Column("line", Count, primary_key=True, autoincrement=False),
    project(),
    Column("good", Boolean(), nullable=False),
    words("result"),
)
