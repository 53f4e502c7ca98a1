"""The tables of evals, of their runs, and of the items that runs go through."""

from sqlalchemy import ForeignKey, Index

from afina.store.tables import document, listed, number, project, words

evals = listed(
    "evals",
    project(),
    number("created_at"),
    number("updated_at"),
    words("name"),
    document("data_source_config"),
    document("testing_criteria"),
    document("metadata", optional=True),
    Index(None, "project_id", "seq"),
    Index(None, "project_id", "updated_at", "seq"),
)

eval_runs = listed(
    "eval_runs",
    project(),
    words("eval_id", ForeignKey("evals.id")),
    number("created_at"),
    words("name"),
    words("model"),
    words("status"),
    document("data_source"),
    document("result_counts"),
    document("per_model_usage"),
    document("per_testing_criteria_results"),
    document("error"),
    document("metadata", optional=True),
    Index(None, "eval_id", "seq"),
    Index(None, "project_id", "status"),
)

# An item is here from the run's beginning on; what became of it is null until it is known.
eval_items = listed(
    "eval_items",
    project(),
    words("eval_id"),
    words("run_id", ForeignKey("eval_runs.id")),
    number("created_at"),
    number("datasource_item_id"),
    document("datasource_item"),
    document("recorded", optional=True),  # the sample that the item brought along
    words("status", optional=True),
    document("results", optional=True),
    document("sample", optional=True),
    Index(None, "run_id", "seq"),
    Index(None, "run_id", "status", "seq"),
)
