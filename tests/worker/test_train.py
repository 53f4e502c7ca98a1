"""A job from the queue to a model that answers, whatever happens to it on the way."""

import errno
import hashlib

import pytest

from afina.engine.fake import FakeEngine
from afina.engine.types import StepReport
from afina.fsck import check
from afina.schemas.models import Manifest
from afina.store import checkpoints, moves
from afina.worker import publish, train
from afina.worker.context import Hold
from afina.worker.pause import pause
from afina.worker.sweep import forget_runs

STEPS = {"n_epochs": 2, "batch_size": 2}  # of ten examples: ten steps


def ended(rooms, *jobs):
    return all(rooms.job(job.id).status in ("succeeded", "failed", "cancelled") for job in jobs)


def sound(rooms) -> bool:
    return check(rooms.database, rooms.blobs, grace_seconds=0) == []


def listed(rooms, job):
    with rooms.database.read(rooms.project) as scope:
        return checkpoints.page(scope, job.id).data


def test_a_whole_job_on_the_real_engine(rooms, new_worker, chats, until):
    job = rooms.submit(validation_file=rooms.upload(chats(3, 90)).id, user_provided_suffix="sums", **STEPS)
    with new_worker():
        until(lambda: ended(rooms, job))
    done = rooms.job(job.id)
    assert (done.status, done.error, done.estimated_finish) == ("succeeded", None, None)
    assert done.fine_tuned_model.startswith("ft:tiny:personal:sums:")
    assert done.trained_tokens == 2 * done.afina.training_tokens
    assert rooms.steps(job.id) == list(range(1, 11))
    said = rooms.said(job.id)
    assert said[2:4] == ["Files validated, moving job to queued state", "Fine-tuning job started"]
    assert said[-2:] == [
        f"New fine-tuned model created: {done.fine_tuned_model}",
        "The job has successfully completed",
    ]
    assert [row.step_number for row in listed(rooms, job)] == [10, 5]
    assert listed(rooms, job)[0].fine_tuned_model_checkpoint == done.fine_tuned_model
    assert set(listed(rooms, job)[0].metrics) == {
        "step",
        "train_loss",
        "train_mean_token_accuracy",
        "full_valid_loss",
        "full_valid_mean_token_accuracy",
    }
    assert not (rooms.settings.data / "runs" / job.id).exists()
    assert sound(rooms)


def test_the_manifest_says_what_the_model_is(rooms, new_worker, until, fake_engine):
    job = rooms.submit(**STEPS)
    with new_worker():
        until(lambda: ended(rooms, job))
    model = rooms.model(rooms.job(job.id).fine_tuned_model)
    text = rooms.blobs.path(f"{model.folder}/manifest.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == model.manifest_sha256
    manifest = Manifest.model_validate_json(text)
    assert (manifest.model, manifest.job, manifest.seed) == (model.id, job.id, 3)
    assert manifest.spec["n_epochs"] == 2
    assert str(rooms.settings.data) not in text.decode()
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
def twin(rooms, new_worker, until):
    """What the job becomes when nobody disturbs it."""
    job = rooms.submit(**STEPS)
    with new_worker("twin"):
        until(lambda: ended(rooms, job))
    return rooms.weights(rooms.job(job.id).fine_tuned_model)


def test_a_drained_job_is_resumed_by_the_next_worker_and_ends_bit_by_bit_alike(
    rooms, new_worker, until, gate, twin
):
    job = rooms.submit(**STEPS)
    gate.closed_from = 4
    with new_worker("worker-1") as first:
        until(lambda: rooms.steps(job.id) == [1, 2, 3])
        first.context.draining.set()
        gate.open()
    assert rooms.job(job.id).status == "running"
    assert rooms.attempts(job.id) == 0
    put_down_at = rooms.steps(job.id)[-1]
    assert 4 <= put_down_at < 10
    with new_worker("worker-2"):
        until(lambda: ended(rooms, job))
    assert f"The run was interrupted; resuming from step {put_down_at}" in rooms.said(job.id)
    assert rooms.steps(job.id) == list(range(1, 11))
    assert [row.step_number for row in listed(rooms, job)] == [10, 5]
    assert rooms.weights(rooms.job(job.id).fine_tuned_model) == twin
    assert sound(rooms)


def test_a_paused_job_goes_on_after_a_restart_and_ends_bit_by_bit_alike(rooms, new_worker, until, gate, twin):
    job = rooms.submit(**STEPS)
    gate.closed_from = 4
    with new_worker("worker-1"):
        until(lambda: rooms.steps(job.id) == [1, 2, 3])
        rooms.pause(job.id)
        gate.closed_from = 5
        until(lambda: rooms.job(job.id).status == "paused" or rooms.steps(job.id)[-1] > 3)
        gate.open()
        until(lambda: rooms.job(job.id).status == "paused")
    paused = rooms.job(job.id)
    stopped_at = rooms.steps(job.id)[-1]
    assert (paused.wanted, paused.estimated_finish, rooms.attempts(job.id)) == (None, None, None)
    assert rooms.said(job.id)[-1] == f"The job has been paused after step {stopped_at}"
    assert listed(rooms, job)[0].step_number == stopped_at  # its model as it is can be tried meanwhile
    snapshot = rooms.model(listed(rooms, job)[0].fine_tuned_model_checkpoint)
    assert [path.name for path in sorted(rooms.blobs.path(snapshot.folder).iterdir())] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    ]
    rooms.resume(job.id)
    with new_worker("worker-2"):
        until(lambda: ended(rooms, job))
    assert f"The job goes on from step {stopped_at}" in rooms.said(job.id)
    assert rooms.steps(job.id) == list(range(1, 11))
    assert rooms.weights(rooms.job(job.id).fine_tuned_model) == twin
    assert sound(rooms)


def test_a_pause_that_is_taken_back_in_time_is_none(rooms, context, validated):
    job = validated(**STEPS)
    claim = rooms.claim("train")
    assert claim is not None
    hold = Hold(claim)
    assert not pause(context, hold)
    with rooms.database.scope(rooms.project) as scope:
        moves.move(scope, job.id, "running", fence=claim.fence, event="started")
    rooms.pause(job.id)
    assert train.wish(context, hold) == "paused"
    assert train.interrupted(context, hold)
    assert pause(context, hold)
    assert rooms.said(job.id)[-1] == "The job has been paused before its first step"


def test_the_run_folder_of_a_job_that_was_cancelled_while_paused_is_swept(rooms, validated):
    job, other = validated(), validated()
    for each in (job, other):
        (rooms.settings.data / "runs" / each.id / "1").mkdir(parents=True)
    rooms.cancel(job.id)
    assert forget_runs(rooms.database, rooms.settings.data / "runs") == 1
    assert [folder.name for folder in (rooms.settings.data / "runs").iterdir()] == [other.id]


def test_a_job_that_continues_a_model_starts_from_its_adapter(rooms, new_worker, until, gate):
    first = rooms.submit(n_epochs=1, batch_size=10)
    with new_worker():
        until(lambda: ended(rooms, first))
        name = rooms.job(first.id).fine_tuned_model
        shape = {"rank": 2, "alpha": 4.0}
        again = rooms.submit(n_epochs=1, batch_size=10, afina={"adapter": shape, "start": name})
        until(lambda: ended(rooms, again))
    done = rooms.job(again.id)
    assert done.status == "succeeded"
    assert rooms.weights(done.fine_tuned_model) != rooms.weights(name)
    losses = [row.metrics["train_loss"] for job in (first, again) for row in listed(rooms, job)]
    assert losses[1] < losses[0]  # its first step meets what the other's only step has learned
    folder = rooms.model(done.fine_tuned_model).folder
    manifest = Manifest.model_validate_json(rooms.blobs.path(f"{folder}/manifest.json").read_bytes())
    assert manifest.spec["start"] == name


@pytest.mark.parametrize("what", ["deleted", "damaged"])
def test_a_model_that_cannot_be_continued_fails_the_job(rooms, new_worker, until, fake_engine, what):
    first = rooms.submit(n_epochs=1, batch_size=10)
    with new_worker():
        until(lambda: ended(rooms, first))
        name = rooms.job(first.id).fine_tuned_model
        if what == "damaged":
            rooms.blobs.path(f"{rooms.model(name).folder}/adapter_model.safetensors").write_bytes(b"{}")
        start = name if what == "damaged" else "ft:tiny:personal::gone"
        again = rooms.submit(afina={"adapter": {"rank": 2, "alpha": 4.0}, "start": start})
        until(lambda: ended(rooms, again))
    code = {"damaged": "model_unavailable", "deleted": "model_not_found"}[what]
    assert (rooms.job(again.id).status, rooms.job(again.id).error.code) == ("failed", code)


def test_a_cancelled_queued_job_is_never_begun(rooms, new_worker, validated, until, fake_engine):
    job, other = validated(**STEPS), validated(**STEPS)
    rooms.cancel(job.id)
    with new_worker():
        until(lambda: ended(rooms, other))
    assert rooms.job(job.id).status == "cancelled"
    assert rooms.steps(job.id) == []


def test_a_cancelled_running_job_stops_and_leaves_nothing(rooms, new_worker, hosts, until, gate, fake_engine):
    job = rooms.submit(**STEPS)
    gate.closed_from = 7
    with new_worker() as worker:
        until(lambda: rooms.steps(job.id) == [1, 2, 3, 4, 5, 6])
        rooms.cancel(job.id)
        gate.open()
        until(lambda: not worker.loop.holds)
        assert hosts[0].health().runs == []
    assert rooms.job(job.id).status == "cancelled"
    assert rooms.steps(job.id)[-1] == 6
    assert rooms.said(job.id)[-1] == "The job has been cancelled"
    assert not (rooms.settings.data / "runs" / job.id).exists()
    assert sound(rooms)


def test_a_cancel_that_comes_before_publication_wins_and_leaves_no_files(
    rooms, new_worker, until, fake_engine, monkeypatch
):
    job = rooms.submit(n_epochs=1, batch_size=10)
    stored = publish.store_result

    def cancelled_meanwhile(*arguments):
        result = stored(*arguments)
        rooms.cancel(job.id)
        return result

    monkeypatch.setattr(publish, "store_result", cancelled_meanwhile)
    with new_worker() as worker:
        until(lambda: ended(rooms, job) and not worker.loop.holds)
    assert (rooms.job(job.id).status, rooms.job(job.id).fine_tuned_model) == ("cancelled", None)
    assert list(rooms.blobs.below("models")) == []
    assert sound(rooms)


def test_a_worker_that_died_before_the_status_is_followed_by_one_that_publishes(
    rooms, new_worker, context, validated, until, fake_engine, monkeypatch
):
    """The run is not repeated, and there is one model."""
    job = validated(n_epochs=1, batch_size=5)

    class Killed(BaseException):
        pass

    def dies_at_success(scope, id, to, **options):
        if to == "succeeded":
            raise Killed
        return move(scope, id, to, **options)

    move = moves.move
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(moves, "move", dies_at_success)
        train.train(context, Hold(rooms.claim("train")))
    assert rooms.job(job.id).status == "running"
    rooms.expire(job.id)
    with new_worker("worker-2"):
        until(lambda: ended(rooms, job))
    assert rooms.steps(job.id) == [1, 2]
    assert not any("interrupted" in text for text in rooms.said(job.id))
    with rooms.database.read(rooms.project) as scope:
        names = [model.id for model in publish.models.page(scope).data if model.kind == "tuned"]
    assert names == [rooms.job(job.id).fine_tuned_model]


def test_a_zombie_writes_nothing_and_its_run_is_stopped(rooms, new_worker, hosts, until, gate, fake_engine):
    job = rooms.submit(**STEPS)
    gate.closed_from = 4
    with new_worker() as worker:
        until(lambda: rooms.steps(job.id) == [1, 2, 3])
        (hold,) = worker.loop.holds
        assert rooms.steal(job.id).fence == hold.claim.fence + 1
        hold.lost.set()  # as the next beat will tell
        gate.open()
        until(lambda: not worker.loop.holds)
        assert hosts[0].health().runs == []
    assert rooms.steps(job.id) == [1, 2, 3]
    assert rooms.job(job.id).status == "running"
    assert (rooms.settings.data / "runs" / job.id).exists()  # it is the successor's


def test_a_host_that_dies_is_replaced_and_its_run_goes_on(rooms, new_worker, hosts, until, gate, fake_engine):
    job = rooms.submit(**STEPS)
    gate.closed_from = 6
    with new_worker():
        until(lambda: rooms.steps(job.id) == [1, 2, 3, 4, 5])
        hosts[0].process.kill()
        gate.open()
        until(lambda: ended(rooms, job))
    assert rooms.job(job.id).status == "succeeded"
    assert rooms.steps(job.id) == list(range(1, 11))
    assert any("interrupted; resuming from step" in text for text in rooms.said(job.id))
    assert len(hosts) == 2


def test_a_run_that_ends_its_host_at_the_same_place_each_time_fails_and_the_others_do_not(
    rooms, new_worker, hosts, until, gate, fake_engine, monkeypatch
):
    monkeypatch.setattr("afina.worker.attempts.pause_after", lambda failed: 0.0)
    poison = rooms.submit(**STEPS)
    good = [rooms.submit(**STEPS) for _ in range(2)]
    gate.fatal = {poison.id: 3}
    with new_worker():
        until(lambda: ended(rooms, poison, *good))
    assert rooms.job(poison.id).error.code == "worker_crashed"
    assert [rooms.job(job.id).status for job in good] == ["succeeded", "succeeded"]
    # Once perhaps among others, once further than before, and three times alone at the same place.
    assert 4 <= len(hosts) <= 6
    assert sound(rooms)


def test_a_run_that_is_gone_without_a_word_is_taken_up_again(
    rooms, new_worker, hosts, until, fake_engine, monkeypatch
):
    """As after a full disk: the host lives, the run does not."""
    monkeypatch.setattr("afina.worker.attempts.pause_after", lambda failed: 0.0)
    original, full = FakeEngine.optim_step, [True]

    async def no_room_once(self, adapter, params):
        if full and len(self.calls) > 8:
            full.clear()
            raise OSError(errno.ENOSPC, "No space left on device")
        return await original(self, adapter, params)

    monkeypatch.setattr(FakeEngine, "optim_step", no_room_once)
    job = rooms.submit(**STEPS)
    with new_worker():
        until(lambda: ended(rooms, job))
    assert (rooms.job(job.id).status, full, len(hosts)) == ("succeeded", [], 1)
    assert rooms.steps(job.id) == list(range(1, 11))


def test_runs_share_a_host_up_to_their_number(rooms, new_worker, hosts, until, gate, fake_engine):
    gate.closed_from = 2
    jobs = [rooms.submit(**STEPS) for _ in range(5)]
    with new_worker():
        until(lambda: sum(rooms.steps(job.id) == [1] for job in jobs) == 4)
        assert sorted(rooms.job(job.id).status for job in jobs) == ["queued"] + ["running"] * 4
        gate.open()
        until(lambda: ended(rooms, *jobs))
    assert {rooms.job(job.id).status for job in jobs} == {"succeeded"}
    assert len(hosts) == 1


def test_a_busy_database_is_waited_for_and_the_run_is_not_disturbed(
    rooms, new_worker, until, gate, fake_engine, monkeypatch
):
    job = rooms.submit(**STEPS)
    original, refused = train.look, []

    def busy_at_first(*arguments):
        if len(refused) < 5:
            refused.append(1)
            raise train.Unavailable("The database is busy.")
        return original(*arguments)

    monkeypatch.setattr(train, "look", busy_at_first)
    with new_worker():
        until(lambda: ended(rooms, job))
    assert rooms.job(job.id).status == "succeeded"
    assert not any("interrupted" in text for text in rooms.said(job.id))


def test_a_loss_that_is_no_number_ends_the_job(rooms, new_worker, until, fake_engine, monkeypatch):
    async def diverges(self, adapter, params):
        return StepReport(0, float("nan"), finite=False)

    monkeypatch.setattr(FakeEngine, "optim_step", diverges)
    job = rooms.submit(**STEPS)
    with new_worker():
        until(lambda: ended(rooms, job))
    done = rooms.job(job.id)
    assert (done.status, done.error.code, done.fine_tuned_model) == ("failed", "training_diverged", None)
    assert rooms.said(job.id)[-1].startswith("Training diverged at step 1")
    assert sound(rooms)
