"""SIGTERM in the middle of a job: a quick end, nothing left, and the next start goes on."""

import random

from afina_server import Server, Twin, answer, ended, events, kill, steps, until

LONGEST_END = 40.0


def test_sigterm_in_the_middle_of_a_job(server: Server, twin: Twin) -> None:
    with server.client() as client:
        job = twin.begin(client, twin.training_file)
    at = random.Random(6).randint(3, twin.steps // 6)
    until(lambda: server.step(job.id), lambda step: step >= at, what=f"step {at}")
    assert server.stop() < LONGEST_END
    assert server.pids() == []
    assert server.process.returncode == 0
    assert server.fsck() == ""
    server.start()
    with server.client() as client:
        finished = ended(client, job.id)
        assert finished.status == "succeeded"
        assert steps(client, job.id) == list(range(1, twin.steps + 1))
        assert any("resuming from step" in event.message for event in events(client, job.id))
    assert server.weights(finished.fine_tuned_model) == twin.weights


def test_answers_and_history_outlive_a_restart(server: Server, twin: Twin) -> None:
    with server.client() as client:
        job = ended(client, twin.begin(client, twin.training_file).id)
        before = [event.id for event in events(client, job.id)]
        said = answer(client, job.fine_tuned_model)
    server.stop()
    server.start()
    with server.client() as client:
        assert client.fine_tuning.jobs.retrieve(job.id) == job
        assert [event.id for event in events(client, job.id)] == before
        assert answer(client, job.fine_tuned_model) == said


def test_a_host_that_dies_while_it_answers_is_replaced(server: Server, twin: Twin) -> None:
    with server.client(retries=8) as client:
        said = answer(client, "afina-tiny")
        for pid in server.pids("afina.host"):
            kill(pid)
        assert answer(client, "afina-tiny") == said
