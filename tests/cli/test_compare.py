"""`afina compare` before it has asked anything, and when it is interrupted while it asks."""

import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from afina.cli import comparison_data

ROW = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
}
MODELS = ("--base", "a", "--tuned", "b")
PROMPTED = (*MODELS, "--system", "Be brief.")


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    path = tmp_path / "held_out.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no conversations"),
        ("{}\n", "Example 1 is missing key 'messages'"),
        (json.dumps(ROW) + "\n{\n", "Line 2: incomplete JSON object"),
        (json.dumps({"messages": ROW["messages"][:1]}), "must contain at least one assistant message"),
    ],
)
@pytest.mark.parametrize("place", ["held_out", "train"])
def test_a_file_that_is_no_conversations_is_refused_by_line(
    afina, played, held_out, tmp_path, text, said, place
):
    broken = tmp_path / "broken.jsonl"
    broken.write_text(text)
    files = [str(broken)] if place == "held_out" else [str(held_out), "--train", str(broken)]
    ran = afina("compare", *files, *MODELS)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err and ran.err.startswith(f"error: {broken}") and ran.err.count("\n") == 1
    assert played.bodies == []


def test_answers_that_are_calls_cannot_be_compared(afina, held_out):
    function = {"name": "look", "arguments": "{}"}
    call = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    held_out.write_text(json.dumps({"messages": [ROW["messages"][0], call], "tools": tools}))
    ran = afina("compare", str(held_out), *MODELS)
    assert (ran.code, "holds no answer in words" in ran.err) == (1, True)


def test_wrong_usage(afina, held_out, tmp_path):
    assert afina("compare", str(tmp_path / "nothere"), *MODELS).code == 2
    assert afina("compare", str(held_out), "--base", "a").code == 2
    assert afina("compare", str(held_out), *MODELS, "--max-tokens", "0").code == 2


def test_without_anything_to_make_a_prompt_of_the_training_file_is_asked_for(afina, played, held_out):
    ran = afina("compare", str(held_out), *MODELS)
    assert (ran.code, ran.out) == (1, "")
    assert "there is nothing to make a prompt of" in ran.err and "give --train FILE" in ran.err


def test_the_training_file_of_the_tuned_models_job_is_read(afina, played, held_out):
    played.jobs["ftjob-1"] = {"id": "ftjob-1", "fine_tuned_model": "b", "training_file": "file-1"}
    played.contents["file-1"] = held_out.read_bytes()
    ran = afina("compare", str(held_out), *MODELS)
    assert "give --system, or more rows" in ran.err  # all of them are held out


@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_held_out_rows_are_looked_for_in_the_training_file_also_where_a_system_message_is_given(
    afina, played, held_out, method: str
):
    played.jobs["ftjob-1"] = {
        "id": "ftjob-1",
        "fine_tuned_model": "b",
        "training_file": "file-1",
        "method": {"type": method},
    }
    played.contents["file-1"] = held_out.read_bytes() if method == "supervised" else b'{"input": {}}\n'
    trial = comparison_data.prepare(held_out, tuned="b", train=None, system="Be brief.")
    assert trial.seen == (1 if method == "supervised" else None)


def test_a_training_file_that_is_gone_can_be_done_without(afina, played, held_out):
    played.jobs["ftjob-1"] = {"id": "ftjob-1", "fine_tuned_model": "b", "training_file": "file-gone"}
    assert comparison_data.prepare(held_out, tuned="b", train=None, system="Be brief.").seen is None


def test_a_system_file_in_another_encoding(afina, held_out, tmp_path):
    (tmp_path / "system.txt").write_bytes(b"\xff\xfe\0")
    ran = afina("compare", str(held_out), *MODELS, "--system", str(tmp_path / "system.txt"))
    assert (ran.code, "is not UTF-8 text" in ran.err) == (1, True)


def test_an_unknown_model_is_the_servers_word(afina, held_out):
    ran = afina("compare", str(held_out), "--base", "nothere", "--tuned", "b", "--system", "Be brief.")
    assert ran.err.startswith("error: The model 'nothere' does not exist (code: model_not_found) - see: ")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_ctrl_c_ends_it_at_once_and_cleanly(held_out):
    """Its server accepts and never answers: once it has asked, it waits."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "OPENAI_API_KEY": "sk-x",
        }
        command = [
            sys.executable,
            "-c",
            "from afina.cli import main; main()",
            "compare",
            str(held_out),
            *PROMPTED,
        ]
        # Whoever runs tests in the background has them, and what they start, ignore Ctrl-C.
        heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running = subprocess.Popen(command, env=environment, preexec_fn=heed, **pipes)
        silent.settimeout(120)
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(1)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (130, b"")
    assert b"Traceback" not in err
