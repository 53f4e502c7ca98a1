"""Rows of evals: pages in two orders, the life of a run, items that get their results, and what deleting takes away."""

import pytest
from sqlalchemy import select, text, update

from afina.errors import FenceLost, IllegalMove, InvalidRequest, NotFound
from afina.schemas.eval_runs import EvalError, EvalRun, ItemResult, Sample, SampleMessage
from afina.store import archiving, eval_items, eval_runs, evals, work
from afina.store.database import Database
from afina.store.eval_items import Settled
from afina.store.eval_tables import eval_items as items_table
from afina.store.eval_tables import evals as evals_table
from afina.store.scope import Scope
from afina.store.work import Claim


@pytest.fixture
def run(database: Database, project: str, new_eval, new_run) -> EvalRun:
    with database.scope(project) as scope:
        return new_run(scope, new_eval(scope))


@pytest.fixture
def claim(database: Database, run: EvalRun) -> Claim:
    with database.system() as system:
        found = work.claim(system, "w", [eval_runs.KIND], lease_seconds=60)
    assert found is not None and found.subject == run.id
    return found


def test_pages_in_the_order_of_creation_and_of_the_last_change(database: Database, project: str, new_eval):
    with database.scope(project) as scope:
        made = [new_eval(scope, created_at=moment).id for moment in (5, 5, 7)]
        for identifier, moment in zip(made, (9, 9, 8), strict=True):
            scope.connection.execute(
                update(evals_table).where(evals_table.c.id == identifier).values(updated_at=moment)
            )

        def walk(**order: bool) -> list[str]:
            found, after = [], None
            while True:
                page = evals.page(scope, after=after, limit=1, **order)
                found += [each.id for each in page.data]
                if not page.has_more:
                    return found
                after = page.last_id

        assert walk() == made
        assert walk(ascending=False) == made[::-1]
        assert walk(by_update=True) == [made[2], made[0], made[1]]
        assert walk(by_update=True, ascending=False) == [made[1], made[0], made[2]]
        assert evals.page(scope, after="eval_none", by_update=True).data == []


def test_a_change_moves_the_moment_of_the_last_one(database: Database, project: str, new_eval):
    with database.scope(project) as scope:
        made = new_eval(scope)
        changed = evals.change(scope, made.id, {"name": "Another", "metadata": {"a": "b"}})
        assert (changed.name, changed.metadata) == ("Another", {"a": "b"})
        assert changed.updated_at > made.updated_at == made.created_at
        assert changed.testing_criteria == made.testing_criteria


def test_a_run_is_seen_only_in_its_eval(database: Database, project: str, run: EvalRun, new_eval):
    with database.scope(project) as scope:
        other = new_eval(scope)
        assert eval_runs.page(scope, other.id).data == []
        for look in (eval_runs.get, eval_runs.cancel, eval_runs.delete):
            with pytest.raises(NotFound):
                look(scope, other.id, run.id)
        assert eval_runs.get(scope, run.eval_id, run.id) == run
        assert [each.id for each in eval_runs.page(scope, run.eval_id, status="queued").data] == [run.id]
        assert eval_runs.page(scope, run.eval_id, status="failed").data == []


def test_a_run_moves_by_the_table(database: Database, project: str, run: EvalRun, claim: Claim):
    with database.scope(project) as scope:
        with pytest.raises(IllegalMove):
            eval_runs.move(scope, run, "completed", fence=claim.fence)
        begun = eval_runs.move(scope, run, "in_progress", fence=claim.fence)
        error = EvalError(code="c", message="m")
        ended = eval_runs.move(scope, begun, "failed", fence=claim.fence, changes={"error": error})
        assert eval_runs.get(scope, run.eval_id, run.id) == ended
        assert (ended.status, ended.error) == ("failed", error)
        told = select(text("type FROM outbox")).where(text("subject = :id"))
        assert scope.connection.execute(told, {"id": run.id}).scalars().all() == ["eval.run.failed"]
        with pytest.raises(InvalidRequest, match="Cannot cancel a run with status 'failed'"):
            eval_runs.cancel(scope, run.eval_id, run.id)


@pytest.mark.parametrize("end", [eval_runs.cancel, eval_runs.delete])
def test_whoever_worked_on_a_run_that_is_ended_has_lost_it(
    database: Database, project: str, run: EvalRun, claim: Claim, end
):
    with database.scope(project) as scope:
        end(scope, run.eval_id, run.id)
    with pytest.raises(FenceLost), database.scope(project) as scope:
        eval_runs.held(scope, run.id, fence=claim.fence)


def test_a_run_is_canceled_once(database: Database, project: str, run: EvalRun):
    with database.scope(project) as scope:
        assert eval_runs.cancel(scope, run.eval_id, run.id).status == "canceled"
        assert eval_runs.cancel(scope, run.eval_id, run.id).status == "canceled"


def settled(identifier: str, passed: bool) -> Settled:
    result = ItemResult(name="same", type="string_check", passed=passed, score=float(passed))
    sample = Sample(output=[SampleMessage(role="assistant", content="\0 ñ")])
    return Settled(identifier, "pass" if passed else "fail", [result], sample)


def test_items_wait_until_they_have_results(database: Database, project: str, run: EvalRun):
    rows = [({"n": number}, {"output_text": "x"} if number else None) for number in range(5)]
    with database.scope(project) as scope:
        eval_items.add(scope, run.eval_id, run.id, rows[:2], first=0)
        eval_items.add(scope, run.eval_id, run.id, rows[2:], first=2)
        waiting = eval_items.waiting(scope, run.id, after=-1, limit=9)
        assert [(each.datasource_item, each.recorded) for each in waiting] == rows
        assert [each.datasource_item_id for each in waiting] == list(range(5))
        assert eval_items.page(scope, run.id).data == []
        with pytest.raises(NotFound):
            eval_items.get(scope, run.id, waiting[0].id)

        eval_items.settle(scope, run.id, [settled(waiting[3].id, True), settled(waiting[1].id, False)])
        left = eval_items.waiting(scope, run.id, after=1, limit=9)
        assert [each.datasource_item_id for each in left] == [2, 4]
        page = eval_items.page(scope, run.id).data
        assert [(each.datasource_item_id, each.status) for each in page] == [(1, "fail"), (3, "pass")]
        assert page[0] == eval_items.get(scope, run.id, waiting[1].id)
        assert page[0].sample.output[0].content == "\0 ñ" and page[0].results[0].name == "same"
        assert [each.datasource_item_id for each in eval_items.page(scope, run.id, status="pass").data] == [3]


def test_an_eval_goes_with_all_its_runs(database: Database, project: str, run: EvalRun, new_run):
    with database.scope(project) as scope:
        eval = evals.get(scope, run.eval_id)
        new_run(scope, eval)
        eval_items.add(scope, eval.id, run.id, [({}, None)], first=0)
        evals.delete(scope, eval.id)
        with pytest.raises(NotFound):
            evals.get(scope, eval.id)
        assert scope.connection.execute(select(items_table.c.id)).first() is None
        assert scope.connection.execute(text("SELECT 1 FROM work")).first() is None


def test_runs_end_with_their_project(database: Database, other: str, new_eval, new_run):
    with database.scope(other) as scope:
        organization, run = scope.organization_id, new_run(scope, new_eval(scope))
        archiving.archive(scope, actor="a")
    with database.system() as system:
        ended = eval_runs.find(Scope(system.connection, other, organization), run.id)
        assert ended is not None and ended.status == "canceled"
        assert work.claim(system, "w", [eval_runs.KIND], lease_seconds=60) is None
