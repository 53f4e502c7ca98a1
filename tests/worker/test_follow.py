"""What a run writes becomes rows once, in order, under one fence."""

import json
from pathlib import Path

import pytest

from afina.errors import FenceLost, Unavailable
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import CheckpointSaved, Failed, Finished, RunEvent, Started, Stepped, Stopped
from afina.store import checkpoints, models
from afina.worker import launch
from afina.worker.bases import find
from afina.worker.context import Hold
from afina.worker.follow import Clock, EventFile, Follower

TOTAL = 100


def metrics(step: int, **fields: float) -> StepMetrics:
    return StepMetrics(
        step=step, total_steps=TOTAL, train_loss=4 / step, train_mean_token_accuracy=0.5, **fields
    )


def stepped(*steps: int) -> list[RunEvent]:
    return [Stepped(metrics=metrics(step)) for step in steps]


class Run:
    """A run folder as a run leaves it."""

    def __init__(self, rooms, context, job):
        self.hold = Hold(rooms.claim("train"))
        spec = launch.write_spec(context, self.hold, job, find(context, "tiny"), resume=None)
        self.folder = Path(spec.folder)
        self.path = self.folder / "events.jsonl"

    def says(self, *events: RunEvent) -> None:
        with self.path.open("a") as file:
            file.writelines(event.model_dump_json(exclude_none=True) + "\n" for event in events)

    def checkpoint(self, step: int) -> CheckpointSaved:
        adapter = self.folder / f"checkpoints/step-{step}"
        adapter.mkdir(parents=True)
        (adapter / "adapter_model.safetensors").write_text(f"weights of step {step}")
        (adapter / "adapter_config.json").write_text("{}")
        return CheckpointSaved(path=f"checkpoints/step-{step}", metrics=metrics(step))


@pytest.fixture
def job(validated):
    return validated(n_epochs=2, batch_size=5)


@pytest.fixture
def new_run(rooms, context, job):
    """A new claim's run; the claim before it is lost."""

    made: list[Run] = []

    def make() -> Run:
        if made:
            rooms.expire(job.id)
        made.append(Run(rooms, context, job))
        return made[-1]

    return make


@pytest.fixture
def listed(rooms, job):
    """The steps of the checkpoints that a user sees, newest first."""

    def steps():
        with rooms.database.read(rooms.project) as scope:
            return [row.step_number for row in checkpoints.page(scope, job.id, limit=100).data]

    return steps


def test_figures_become_events(rooms, context, job, new_run):
    run = new_run()
    run.says(Started(step=0, total_steps=TOTAL), *stepped(1, 2))
    follower = Follower(context, run.hold, job)
    file = EventFile(run.path)
    assert follower.turn(file) is None
    assert rooms.said(job.id, "metrics") == [
        "Step 1/100: training loss=4.00",
        "Step 2/100: training loss=2.00",
    ]
    run.says(*stepped(3), Stopped(step=3))
    assert follower.turn(file) == Stopped(step=3)
    assert (rooms.steps(job.id), follower.step) == ([1, 2, 3], 3)
    assert follower.turn(file) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"valid_loss": 1.234}, ", validation loss=1.23"),
        ({"full_valid_loss": 2.0}, ", full validation loss=2.00"),
    ],
)
def test_the_words_of_a_step(rooms, context, job, new_run, fields, words):
    run = new_run()
    run.says(Stepped(metrics=metrics(1, **fields)))
    Follower(context, run.hold, job).turn(EventFile(run.path))
    assert rooms.said(job.id, "metrics") == [f"Step 1/100: training loss=4.00{words}"]


def test_a_line_that_is_being_written_waits(rooms, context, job, new_run):
    run = new_run()
    run.says(*stepped(1))
    line = json.dumps({"kind": "step", "metrics": {"step": 2, "train_loss": 1.0}}).encode()
    file, follower = EventFile(run.path), Follower(context, run.hold, job)
    with run.path.open("ab", buffering=0) as writing:
        for byte in range(0, len(line), 9):
            writing.write(line[byte : byte + 9])
            follower.turn(file)
            assert rooms.steps(job.id) == [1]
        writing.write(b"\n")
    follower.turn(file)
    assert rooms.steps(job.id) == [1, 2]


def test_a_run_that_has_not_written_yet_says_nothing(context, job, new_run):
    run = new_run()
    assert Follower(context, run.hold, job).turn(EventFile(run.path)) is None


def test_a_resumed_run_repeats_no_figures(rooms, context, job, new_run):
    first = new_run()
    first.says(*stepped(1, 2, 3))
    second = new_run()
    follower = Follower(context, second.hold, job)
    assert follower.replay() is None
    assert follower.step == 3
    second.says(*stepped(3, 4), Finished(step=4, path="final"))
    assert follower.turn(EventFile(second.path)) == Finished(step=4, path="final")
    assert rooms.steps(job.id) == [1, 2, 3, 4]
    assert follower.folder == second.folder


def test_the_last_run_has_the_last_word(context, job, new_run):
    first = new_run()
    first.says(*stepped(1), Stopped(step=1))
    assert Follower(context, first.hold, job).replay() == Stopped(step=1)
    second = new_run()
    second.says(*stepped(2))
    assert Follower(context, second.hold, job).replay() is None
    second.says(Failed(code="training_diverged", message="no"))
    assert isinstance(Follower(context, second.hold, job).replay(), Failed)


def test_runs_are_replayed_by_number_not_by_letter(context, job, new_run):
    runs = [new_run() for _ in range(10)]
    assert [int(run.folder.name) for run in runs] == list(
        range(2, 12)
    )  # the first fence was the validation's
    runs[-1].says(Stopped(step=1))
    assert Follower(context, runs[-1].hold, job).replay() == Stopped(step=1)


def test_checkpoints_are_published_in_their_place(rooms, context, job, new_run, listed):
    run = new_run()
    run.says(*stepped(1), run.checkpoint(1), *stepped(2))
    Follower(context, run.hold, job).turn(EventFile(run.path))
    assert listed() == [1]
    with rooms.database.read(rooms.project) as scope:
        name = checkpoints.page(scope, job.id).data[0].fine_tuned_model_checkpoint
    assert rooms.weights(name) == b"weights of step 1"
    assert rooms.said(job.id)[-1] == f"Checkpoint created at step 1 with Snapshot ID: {name}"
    assert rooms.steps(job.id) == [1, 2]


def test_the_last_three_are_kept_and_a_replay_brings_none_back(rooms, context, job, new_run, listed):
    run = new_run()
    for step in range(1, 6):
        run.says(*stepped(step), run.checkpoint(step))
    Follower(context, run.hold, job).replay()
    assert listed() == [5, 4, 3]
    said = rooms.said(job.id)
    stored = sorted(rooms.blobs.below("models"))
    again = new_run()
    Follower(context, again.hold, job).replay()
    assert (listed(), rooms.said(job.id), sorted(rooms.blobs.below("models"))) == ([5, 4, 3], said, stored)
    with rooms.database.read(rooms.project) as scope:
        assert len([model for model in models.page(scope).data if model.kind == "checkpoint"]) == 3
    assert len({key.split("/")[1] for key in stored}) == 3


def test_a_checkpoint_that_its_user_has_deleted_harms_nobody(rooms, context, job, new_run, listed):
    run = new_run()
    follower, file = Follower(context, run.hold, job), EventFile(run.path)
    run.says(*stepped(1), run.checkpoint(1))
    follower.turn(file)
    with rooms.database.scope(rooms.project) as scope:
        models.delete(scope, checkpoints.page(scope, job.id).data[0].fine_tuned_model_checkpoint)
    for step in range(2, 5):
        run.says(*stepped(step), run.checkpoint(step))
    follower.turn(file)
    assert listed() == [4, 3, 2]


def test_the_end_of_the_last_epoch_is_the_model_itself(context, job, new_run, listed):
    run = new_run()
    run.says(*stepped(TOTAL), run.checkpoint(TOTAL))
    Follower(context, run.hold, job).replay()
    assert listed() == []


def test_who_has_lost_the_work_writes_nothing(rooms, context, job, new_run, listed):
    zombie, successor = new_run(), new_run()
    zombie.says(*stepped(1))
    with pytest.raises(FenceLost):
        Follower(context, zombie.hold, job).turn(EventFile(zombie.path))
    zombie.path.unlink()
    zombie.says(zombie.checkpoint(1))
    with pytest.raises(FenceLost):
        Follower(context, zombie.hold, job).turn(EventFile(zombie.path))
    assert (rooms.steps(job.id), listed(), list(rooms.blobs.below("models"))) == ([], [], [])
    successor.says(*stepped(1))
    Follower(context, successor.hold, job).turn(EventFile(successor.path))
    assert rooms.steps(job.id) == [1]


def test_events_are_not_lost_when_the_database_is_busy(rooms, context, job, new_run, monkeypatch):
    run = new_run()
    run.says(*stepped(1, 2))
    follower, file = Follower(context, run.hold, job), EventFile(run.path)

    def busy(*_: object):
        raise Unavailable("The database is busy.")

    with monkeypatch.context() as patched, pytest.raises(Unavailable):
        patched.setattr(follower, "write", busy)
        follower.turn(file)
    follower.turn(file)
    assert rooms.steps(job.id) == [1, 2]


def test_the_end_is_estimated_from_the_steps_of_this_run_alone(rooms, context, job, new_run):
    run = new_run()
    run.says(*stepped(1, 2, 3))
    follower = Follower(context, run.hold, job)
    follower.replay()
    assert rooms.job(job.id).estimated_finish is None
    follower.start_clock()
    file = EventFile(run.path, offset=run.path.stat().st_size)
    run.says(*stepped(4))
    follower.turn(file)
    assert rooms.job(job.id).estimated_finish is None
    run.says(*stepped(5))
    follower.turn(file)
    assert rooms.job(job.id).estimated_finish is not None


def test_the_time_left_is_that_of_the_steps_left(monkeypatch):
    now = iter([100.0, 110.0])
    monkeypatch.setattr("afina.worker.follow.time.monotonic", lambda: next(now))
    monkeypatch.setattr("afina.worker.follow.time.time", lambda: 1_000_000.0)
    clock = Clock()
    assert clock.finish(metrics(10)) is None
    assert clock.finish(metrics(15)) == 1_000_000 + 2 * 85
