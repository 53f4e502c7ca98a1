import json

import pytest

PRICE = {"model": "gpt-4o-mini", "usd_per_million": 3.0, "as_of": "2026-11-22", "source": "OpenAI's guide"}
ESTIMATE = {
    "object": "afina.estimate",
    "model": "afina-tiny",
    "examples": 64,
    "truncated": 0,
    "tokens_per_epoch": 12_345,
    "n_epochs": 3,
    "batch_size": 4,
    "steps": 48,
    "trained_tokens": 37_035,
    "memory_bytes": 5 * 2**28,
    "seconds": [130, 200],
    "finished_jobs": 2,
    "openai_usd": 0.111105,
    "openai": PRICE,
}


@pytest.fixture
def shown(afina, played):
    """What the command prints, word by word, when the server answers with these changes."""

    def run(*words, **changes):
        played.estimate = {**ESTIMATE, **changes}
        ran = afina("estimate", "file-1", "-m", "gpt-4o-mini", *words)
        assert ran.code == 0, ran.err
        return " ".join(ran.out.split())

    return run


def test_it_says_everything_in_words(shown):
    said = shown()
    assert "data 64 examples, 12,345 tokens" in said
    assert "training 37,035 tokens in all epochs 3" in said
    assert "steps 48, batches of up to 4" in said
    assert (
        "time 2 min 10 s to 3 min 20 s once it runs, by the speed of finished jobs on afina-tiny (2)" in said
    )
    assert "memory about 1.2 GiB while it trains, by our estimate" in said
    price = "about $0.11: gpt-4o-mini at $3 a million tokens, OpenAI's guide, 2026-11-22"
    assert f"at OpenAI {price}; tokens as afina-tiny counts" in said


def test_it_says_what_it_does_not_know(shown):
    said = shown(seconds=None, finished_jobs=0, openai=None, openai_usd=None)
    assert "time no finished job on afina-tiny yet to measure by" in said
    assert "OpenAI" not in said and "$" not in said


def test_few_of_anything_and_examples_that_are_cut(shown):
    said = shown(n_epochs=1, batch_size=1, truncated=2, seconds=[1, 1], finished_jobs=1)
    assert "cut at their end 2" in said
    assert "epochs 1" in said
    assert "1 s to 1 s once it runs, by the speed of finished jobs on afina-tiny (1)" in said


def test_defaults_are_left_to_the_server(afina, played, shown):
    shown()
    method = {"type": "supervised", "supervised": {"hyperparameters": {}}}
    assert played.bodies == [{"model": "gpt-4o-mini", "training_file": "file-1", "method": method}]


def test_what_was_chosen_is_sent_and_told_on(afina, played):
    played.estimate = ESTIMATE
    ran = afina("estimate", "file-1", "-m", "my model", "--epochs", "2", "--batch-size", "8")
    assert played.bodies[0]["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2, "batch_size": 8}
    hint = "afina jobs create file-1 --model 'my model' --epochs 2 --batch-size 8"
    assert ran.err == f"start it with: {hint}\n"


def test_all_weights_are_asked_for_and_told_on(afina, played):
    played.estimate = ESTIMATE
    ran = afina("estimate", "file-1", "-m", "afina-tiny", "--full")
    assert played.bodies[0]["afina"] == {"adapter": {"type": "full"}}
    assert ran.err == "start it with: afina jobs create file-1 --model afina-tiny --full\n"


def test_what_lies_here_is_uploaded(afina, played, tmp_path):
    played.estimate = ESTIMATE
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    ran = afina("estimate", str(path), "-m", "afina-tiny")
    assert played.bodies[0]["training_file"] == "file-1"
    assert "afina jobs create file-1 --model afina-tiny" in ran.err


def test_json_is_the_reply_alone(afina, played):
    played.estimate = ESTIMATE
    ran = afina("estimate", "file-1", "-m", "afina-tiny", "--json")
    assert json.loads(ran.out) == ESTIMATE
    assert ran.err == ""


def test_a_refusal_names_the_command_that_shows_all(afina):
    ran = afina("estimate", "file-bad", "-m", "afina-tiny")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "error: Example 3 is wrong (param: training_file, code: invalid_training_file)"
        " - see every line with: afina check FILE\n"
    )


def test_without_a_model_it_is_wrong_usage(afina):
    assert afina("estimate", "file-1").code == 2
