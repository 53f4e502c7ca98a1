import json

import httpx
import pytest

FIGURES = {"total_steps": 2, "train_mean_token_accuracy": 0.5}


@pytest.fixture
def finish(event, job):
    """The server's side of a job of two steps: a little more at each look."""
    script = [
        event(1, "Created fine-tuning job: ftjob-1"),
        event(2, "Step 1/2: training loss=3.00", {"step": 1, "train_loss": 3.0, **FIGURES}),
        event(3, "Step 2/2: training loss=2.00", {"step": 2, "train_loss": 2.0, **FIGURES}),
        event(4, "The job has successfully completed"),
    ]

    def advance(played):
        played.events.append(script[len(played.events)])
        if len(played.events) == len(script):
            played.jobs["ftjob-1"] = job(status="succeeded", fine_tuned_model="ft:afina-tiny:personal::abc")

    return advance


def test_create_uploads_what_lies_here_and_leaves_defaults_to_the_server(afina, played, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    ran = afina("jobs", "create", str(rows), "--model", "gpt-4o-mini")
    assert (ran.code, ran.out) == (0, "ftjob-1\n")
    assert "afina jobs watch ftjob-1" in ran.err
    method = {"type": "supervised", "supervised": {"hyperparameters": {}}}
    assert played.bodies == [{"model": "gpt-4o-mini", "method": method, "training_file": "file-1"}]


def test_create_sends_what_was_chosen(afina, played):
    words = (
        "--epochs 4 --batch-size 8 --learning-rate-multiplier 0.5 --suffix s --seed 3 --rank 8 --alpha 4 "
        "--rslora --target q_proj --target v_proj --metadata a=b"
    )
    afina("jobs", "create", "file-9", "-m", "afina-tiny", "--validation", "file-8", *words.split())
    hyperparameters = {"n_epochs": 4, "batch_size": 8, "learning_rate_multiplier": 0.5}
    assert played.bodies == [
        {
            "model": "afina-tiny",
            "suffix": "s",
            "seed": 3,
            "metadata": {"a": "b"},
            "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
            "afina": {"adapter": {"rank": 8, "alpha": 4.0, "rslora": True, "targets": ["q_proj", "v_proj"]}},
            "training_file": "file-9",
            "validation_file": "file-8",
        }
    ]
    assert played.headers[-1]["idempotency-key"]


def test_create_asks_for_all_weights(afina, played):
    afina("jobs", "create", "file-9", "-m", "afina-tiny", "--full")
    assert played.bodies[0]["afina"] == {"adapter": {"type": "full"}}


def test_create_sends_a_grader_from_its_file(afina, played, tmp_path):
    grader = {"type": "string_check", "name": "s", "input": "a", "reference": "b", "operation": "eq"}
    path = tmp_path / "grader.json"
    path.write_text(json.dumps(grader))
    words = "--method reinforcement --compute-multiplier 0.5 --eval-interval 3 --eval-samples 4"
    afina(
        *("jobs", "create", "file-9", "-m", "afina-tiny", "--validation", "file-8"),
        *("--grader", str(path), *words.split()),
    )
    numbers = {"compute_multiplier": 0.5, "eval_interval": 3, "eval_samples": 4}
    assert played.bodies[0]["method"] == {
        "type": "reinforcement",
        "reinforcement": {"hyperparameters": numbers, "grader": grader},
    }


@pytest.mark.parametrize("content", [b"{", b"\xff", None])
def test_a_grader_that_cannot_be_read_is_wrong_usage(afina, tmp_path, content):
    path = tmp_path / "grader.json"
    if content is not None:
        path.write_bytes(content)
    ran = afina("jobs", "create", "f", "-m", "m", "--method", "reinforcement", "--grader", str(path))
    assert ran.code == 2 and "cannot be read as JSON" in ran.err


def test_metadata_that_is_no_pair_is_wrong_usage(afina):
    assert afina("jobs", "create", "file-1", "-m", "m", "--metadata", "word").code == 2


def test_watch_without_a_screen_prints_each_event_once(afina, played, job, finish):
    played.jobs["ftjob-1"] = job()
    played.on_look = finish
    ran = afina("jobs", "watch", "ftjob-1")
    assert ran.code == 0
    assert [line.split("  ", 1)[1] for line in ran.out.splitlines()[:4]] == [
        e["message"] for e in played.events
    ]
    assert ran.out.splitlines()[4] == "done: ft:afina-tiny:personal::abc"


def test_watch_json_gives_events_and_then_the_job(afina, played, job, finish):
    played.jobs["ftjob-1"] = job()
    played.on_look = finish
    lines = [json.loads(line) for line in afina("jobs", "watch", "ftjob-1", "--json").out.splitlines()]
    assert [line["id"] for line in lines] == ["ftevent-1", "ftevent-2", "ftevent-3", "ftevent-4", "ftjob-1"]
    assert lines[-1]["status"] == "succeeded"


def test_create_and_watch(afina, played, finish):
    played.on_look = finish
    assert "done: ft:" in afina("jobs", "create", "file-1", "-m", "afina-tiny", "--watch").out


def test_a_failed_job_is_exit_1_with_its_reason(afina, played, job):
    said = "line 7, messages[1]: [/INST] is no JSON"  # brackets are no markup
    error = {"code": "invalid_training_file", "message": said, "param": "training_file"}
    played.jobs["ftjob-1"] = job(status="failed", error=error)
    ran = afina("jobs", "watch", "ftjob-1")
    assert ran.code == 1
    assert f"failed: {said} (code: invalid_training_file)" in ran.err


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(afina, played, monkeypatch, job):
    def interrupt(seconds):
        raise KeyboardInterrupt

    played.jobs["ftjob-1"] = job()
    monkeypatch.setattr("afina.cli.follow.time.sleep", interrupt)
    ran = afina("jobs", "watch", "ftjob-1")
    assert ran.code == 130
    assert "afina jobs watch ftjob-1" in ran.err
    assert played.jobs["ftjob-1"]["status"] == "running"


def test_watching_outlives_a_server_that_is_away(afina, played, monkeypatch, job, finish):
    import openai

    from afina.cli import follow

    look, looks = follow.look, []

    def shaky(client, job_id, last_event):
        looks.append(last_event)
        if len(looks) == 2:
            raise openai.APIConnectionError(request=httpx.Request("GET", "http://x"))
        return look(client, job_id, last_event)

    monkeypatch.setattr(follow, "look", shaky)
    played.jobs["ftjob-1"] = job()
    played.on_look = finish
    ran = afina("jobs", "watch", "ftjob-1")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 5


def test_list_get_events_cancel(afina, played, job, event):
    played.jobs["ftjob-1"] = job()
    played.events = [event(number, f"event {number}") for number in range(1, 151)]
    assert "running" in afina("jobs", "list").out
    assert "rate multiplier" in afina("jobs", "get", "ftjob-1").out
    newest = [
        json.loads(line)["id"] for line in afina("jobs", "events", "ftjob-1", "--json").out.splitlines()
    ]
    assert newest == [f"ftevent-{number}" for number in range(51, 151)]
    assert len(afina("jobs", "events", "ftjob-1", "-n", "120").out.splitlines()) == 120
    assert afina("jobs", "pause", "ftjob-1").out == "ftjob-1 paused\n"
    assert afina("jobs", "resume", "ftjob-1").out == "ftjob-1 queued\n"
    assert afina("jobs", "cancel", "ftjob-1").out == "ftjob-1 cancelled\n"


@pytest.mark.parametrize("verb", ["get", "watch"])
def test_an_unknown_job(afina, verb):
    ran = afina("jobs", verb, "ftjob-x")
    assert (ran.code, ran.err) == (1, "error: Could not find fine tune: ftjob-x\n")


def test_what_the_server_refuses_is_shown_with_its_code(afina, played, job):
    played.jobs["ftjob-1"] = job(status="succeeded")
    ran = afina("jobs", "cancel", "ftjob-1")
    assert ran.err == "error: Job has already completed (code: invalid_state)\n"


def test_a_preference_job_says_its_method(afina, played):
    ran = afina("jobs", "create", "file-1", "-m", "afina-tiny", "--method", "dpo", "--beta", "0.2")
    assert ran.code == 0, ran.err
    assert played.bodies[-1]["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
