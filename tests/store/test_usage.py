"""Sums of what was used, on every database."""

from dataclasses import replace

from afina.store import projects, usage
from afina.store.database import Database
from afina.store.usage import Question, Used


def test_rows_are_summed_by_bucket_and_group(database: Database, project: str, other: str):
    with database.system() as system:
        organization = projects.get(
            system, projects.every(system)[0].organization_id, project
        ).organization_id
        usage.record(
            system, [Used(project, "completions", "m", 5, 7, 2), Used(other, "completions", "m", 1, 1)]
        )
        usage.record(system, [Used(project, "training", "m", 100, batch=True)])
        asked = Question(organization, start=0, end=2**40, width=86_400, kinds=["completions"])
        [whole] = usage.sums(system, asked)
        assert (whole.input_tokens, whole.cached_tokens, whole.output_tokens, whole.requests) == (6, 2, 8, 2)
        assert (whole.project_id, whole.model, whole.batch) == (None, None, None)
        assert whole.bucket % 86_400 == 0
        apart = usage.sums(system, replace(asked, group_by=frozenset({"project_id"})))
        assert {(one.project_id, one.input_tokens) for one in apart} == {(project, 5), (other, 1)}
        only = replace(asked, kinds=["training", "completions"], batch=True, group_by=frozenset({"batch"}))
        assert [(one.kind, one.batch, one.input_tokens) for one in usage.sums(system, only)] == [
            ("training", True, 100)
        ]
        assert usage.sums(system, replace(asked, organization_id="org-other")) == []
        assert usage.sums(system, replace(asked, end=1)) == []
        assert usage.sums(system, replace(asked, models=["n"])) == []
