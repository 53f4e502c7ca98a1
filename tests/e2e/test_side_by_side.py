"""Several jobs share one base and one host, and chat answers meanwhile."""

from openai import OpenAI

from afina_server import Server, answer, ended, jsonl, rows, tune, until, upload


def test_three_jobs_at_once_equal_their_solo_runs(client: OpenAI, server: Server) -> None:
    data = [upload(client, jsonl(rows(12, first=start))).id for start in (0, 40, 80)]
    alone = [weights(server, client, begin(client, file)) for file in data]
    together = [begin(client, file) for file in data]
    until(lambda: [server.step(job) for job in together], all, what="all three have taken a step")
    assert len(server.pids("afina.host --base afina-tiny ")) == 1
    assert answer(client, "afina-tiny", max_tokens=4)
    running = [job for job in together if client.fine_tuning.jobs.retrieve(job).status == "running"]
    assert running, "no job was left to share the host with the chat"
    assert [weights(server, client, job) for job in together] == alone


def begin(client: OpenAI, training_file: str) -> str:
    """Three epochs of twelve steps."""
    return tune(client, training_file, n_epochs=3, batch_size=1).id


def weights(server: Server, client: OpenAI, job: str) -> bytes:
    """The bytes that a job's training ends with."""
    finished = ended(client, job)
    assert finished.fine_tuned_model is not None, finished.error
    return server.weights(finished.fine_tuned_model)
