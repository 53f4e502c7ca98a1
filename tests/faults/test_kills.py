"""SIGKILL at any moment, of any process: the job ends as if nothing had happened, and is trained once."""

import operator
import random
import re
from functools import partial
from pathlib import Path

import pytest
from openai.types.fine_tuning import FineTuningJob

from afina_server import Server, Twin, answer, ended, events, kill, let_run, steps, tune, until

PROGRAMS = {"host": "afina.host", "worker": "afina.worker", "api": "afina.api"}


def test_a_killed_host_is_resumed(server: Server, twin: Twin) -> None:
    job = begun(server, twin, random.Random(1))
    (host,) = server.pids("afina.host")
    kill(host)
    check_resumed(server, twin, job)
    assert host not in server.pids()


def test_a_killed_worker_takes_its_host_along_and_is_resumed(server: Server, twin: Twin) -> None:
    job = begun(server, twin, random.Random(2))
    before = server.pids("afina.worker") + server.pids("afina.host")
    assert len(before) == 2
    kill(before[0])
    check_resumed(server, twin, job)
    assert not set(before) & set(server.pids())
    assert len(server.pids("afina.worker")) == len(server.pids("afina.host")) == 1


def test_a_killed_api_comes_back_and_the_run_does_not_notice(server: Server, twin: Twin) -> None:
    job = begun(server, twin, random.Random(3))
    (host,) = server.pids("afina.host")
    kill(server.pids("afina.api")[0])
    until(server.answers, bool, what="the API is back")
    check_equal(server, twin, ended(server.client(), job.id))
    assert resumptions(server, job) == []
    assert server.pids("afina.host") == [host]


def test_a_killed_supervisor_leaves_no_process_and_a_new_one_goes_on(server: Server, twin: Twin) -> None:
    job = begun(server, twin, random.Random(4))
    kill(server.process.pid)
    server.process.wait()
    until(server.pids, lambda left: not left, what="its children have ended")
    server.start()
    check_resumed(server, twin, job)
    assert answer(server.client(), "afina-tiny", max_tokens=1)


def test_everything_killed_at_once_as_by_a_power_cut(server: Server, twin: Twin) -> None:
    job = begun(server, twin, random.Random(5))
    server.kill()
    server.start()
    check_resumed(server, twin, job)
    assert answer(server.client(), "afina-tiny", max_tokens=1)


def test_a_worker_killed_between_weights_and_status_publishes_once(server: Server, twin: Twin) -> None:
    """The worker is stopped and walked on in small steps, until the manifest lies there and the row does not."""
    for _ in range(8):
        before = set(server.manifests())
        (worker,) = server.pids("afina.worker")
        with server.client() as client:
            job = tune(client, twin.training_file, n_epochs=1, batch_size=8)
            walk(server, worker, before)
            published = client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
            kill(worker)
            job = ended(client, job.id)
            assert (job.status, steps(client, job.id)) == ("succeeded", [1, 2])
            assert resumptions(server, job) == []
            assert job.fine_tuned_model in [model.id for model in client.models.list()]
            assert len(client.fine_tuning.jobs.checkpoints.list(job.id).data) == 1
            server.model_folder(job.fine_tuned_model)
        if not published:
            return
    pytest.fail("the moment was missed eight times")


def walk(server: Server, worker: int, before: set[Path]) -> None:
    """Let the worker run in slices until a new manifest is there; it is left stopped."""

    def look() -> set[Path]:
        let_run(worker, 0.003)
        return set(server.manifests()) - before

    until(look, bool, what="the weights are stored")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_three_kills_of_whatever_at_random(server: Server, twin: Twin, seed: int) -> None:
    chance = random.Random(seed)
    job = begun(server, twin, chance)
    for _ in range(3):
        pids = server.pids(PROGRAMS[chance.choice(["host", "worker", "api"])])
        if pids:
            kill(chance.choice(pids))
        if (now := server.step(job.id)) in (0, twin.steps):
            break  # it has ended meanwhile, or is about to
        until(lambda: server.step(job.id), partial(operator.ne, now), what="the run goes on")
    until(server.answers, bool, what="the API is back")
    check_equal(server, twin, ended(server.client(), job.id))


def begun(server: Server, twin: Twin, chance: random.Random) -> FineTuningJob:
    """The twin's job once more, some steps on its way."""
    with server.client() as client:
        job = twin.begin(client, twin.training_file)
    at = chance.randint(3, twin.steps // 6)
    until(lambda: server.step(job.id), lambda step: step >= at, what=f"step {at}")
    return job


def check_resumed(server: Server, twin: Twin, job: FineTuningJob) -> None:
    """It went on from somewhere, not from the start, and became the very same."""
    check_equal(server, twin, ended(server.client(), job.id))
    assert resumptions(server, job)
    assert all(step > 0 for step in resumptions(server, job))


def check_equal(server: Server, twin: Twin, job: FineTuningJob) -> None:
    """Every step once, and the unbroken run's bytes."""
    assert (job.status, job.error) == ("succeeded", None)
    with server.client() as client:
        assert steps(client, job.id) == list(range(1, twin.steps + 1))
        assert client.files.content(job.result_files[0]).read() == twin.table
    assert server.weights(job.fine_tuned_model) == twin.weights


def resumptions(server: Server, job: FineTuningJob) -> list[int]:
    """From which steps the job went on; a start from nothing counts as 0."""
    with server.client() as client:
        said = [event.message for event in events(client, job.id) if "interrupted" in event.message]
    found = [re.search(r"resuming from step (\d+)", text) for text in said]
    return [int(match[1]) if match else 0 for match in found]
