import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest

import afina.base
from afina.cli import check
from afina.data.render import Renderer
from afina_server import AFINA, jsonl, rows

BAD_ROLE = b'{"messages": [{"role": "bot", "content": "secret words"}]}\n'
SPELLS_CONTROL = (
    b'{"messages": [{"role": "user", "content": "<|im_end|>"}, {"role": "assistant", "content": "A"}]}\n'
)


@pytest.fixture
def checked(command, tmp_path):
    """`afina check` of these bytes, with nothing in the environment that names a server."""

    def run(content, *options):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content)
        return command("check", str(path), *options)

    return run


def tokens_in(content):
    renderer = Renderer(afina.base.path())
    examples = [json.loads(line)["messages"] for line in content.splitlines()]
    return sum(len(row.ids) for messages in examples for row in renderer.example(messages))


def test_a_sound_file(checked):
    content = jsonl(rows(12))
    ran = checked(content)
    assert ran.code == 0
    said = [" ".join(line.split()) for line in ran.out.splitlines()]
    counted = f"tokens {tokens_in(content)} (as the bundled model counts them)"
    assert said[:2] == ["rows read 12", "messages a row 2.0"]
    assert said[3:] == [counted, "no job will fail for this file"]


def test_every_bad_line_is_named_with_its_cure_and_no_data(checked):
    content = jsonl(rows(3)) + b'{"messages": [\n' + jsonl(rows(6)) + BAD_ROLE
    ran = checked(content)
    assert ran.code == 1
    problems = [line for line in ran.out.splitlines() if line.startswith("problem")]
    assert problems[0].startswith("problem  line 4, $: Line 4: incomplete JSON object (multi-line?) - ")
    assert {line.split(",")[0] for line in problems} == {"problem  line 4", "problem  line 11"}
    assert any("line 11, messages[0].role: " in line for line in problems)
    assert "secret" not in ran.out and "tokens" not in ran.out


def test_warnings_are_apart_and_no_error(checked):
    ran = checked(b"\xef\xbb\xbf" + jsonl(rows(10)) + SPELLS_CONTROL)
    assert ran.code == 0
    warnings = [line for line in ran.out.splitlines() if line.startswith("warning")]
    assert [line.split(":")[0] for line in warnings] == ["warning  line 1, $", "warning  line 11, messages"]
    assert "problem" not in ran.out


def test_json_is_the_report_alone(checked):
    content = jsonl(rows(11)) + SPELLS_CONTROL
    ran = checked(content, "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err, found["problems"], found["n_problems"]) == (0, "", [], 0)
    assert [(one["line"], one["field"], bool(one["cure"])) for one in found["warnings"]] == [
        (12, "messages", True)
    ]
    assert (found["examples"], found["tokens"], found["tokens_exact"]) == (12, tokens_in(content), True)
    assert found["statistics"]["messages"] == 24


def test_json_of_a_bad_file(checked):
    ran = checked(jsonl(rows(11)) + BAD_ROLE, "--json")
    found = json.loads(ran.out)
    assert ran.code == 1
    assert {one["line"] for one in found["problems"]} == {12}
    assert all(one["field"] and one["message"] and one["cure"] for one in found["problems"])
    assert found["tokens"] is None


@pytest.mark.parametrize(("content", "line"), [(b"", 1), (b"\n", 1), (jsonl(rows(9)), 9)])
def test_too_few_examples_are_a_problem(checked, content, line):
    found = json.loads(checked(content, "--json").out)
    assert [(one["line"], one["field"]) for one in found["problems"]] == [(line, "$")]
    assert "must have at least 10 examples" in found["problems"][0]["message"]
    assert found["n_problems"] == 1


def test_one_example_is_enough_for_validation(checked):
    assert checked(jsonl(rows(1))).code == 1
    assert checked(jsonl(rows(1)), "--validation").code == 0
    assert "Validation file has 0 example(s)" in checked(b"", "--validation").out


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04....", "{}".encode("utf-16"), b"\x00" * 50, b"[1]\n", b"\xff\n"]
)
def test_bytes_that_are_no_jsonl(checked, content):
    ran = checked(content, "--json")
    assert (ran.code, ran.err) == (1, "")
    assert json.loads(ran.out)["problems"][0]["line"] == 1


def test_of_very_many_findings_the_first_are_shown_and_all_counted(checked, monkeypatch):
    monkeypatch.setattr(check, "KEPT", 5)
    content = BAD_ROLE * 30
    shown = checked(content).out.splitlines()
    found = json.loads(checked(content, "--json").out)
    assert [line.split(",")[0] for line in shown[:2]] == ["problem  line 1", "problem  line 2"]
    assert f"problem  {found['n_problems'] - 5} more" in shown
    assert len(found["problems"]) == 5 and found["n_problems"] >= 30


def test_a_long_file_s_tokens_are_told_from_its_beginning(checked, monkeypatch):
    content = jsonl(rows(400))
    monkeypatch.setattr(check, "SAMPLE_BYTES", len(content) // 4)
    found = json.loads(checked(content, "--json").out)
    assert found["tokens_exact"] is False
    assert found["tokens"] == pytest.approx(tokens_in(content), rel=0.05)
    assert "about" in checked(content).out
    monkeypatch.setattr(check, "SAMPLE_BYTES", 10)  # less than a line
    assert json.loads(checked(content, "--json").out)["tokens"] is None


@pytest.mark.parametrize("name", ["nothere.jsonl", "."])
def test_a_file_that_is_not_there_is_wrong_usage(command, name):
    ran = command("check", name)
    assert (ran.code, ran.out) == (2, "")


def test_it_needs_neither_server_nor_key(checked, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert checked(jsonl(rows(12))).code == 0


def test_ctrl_c_ends_it_without_a_traceback(tmp_path):
    """The file is a pipe that nobody closes: once its other end opens, the command is reading."""
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)
    words = [AFINA, "check", str(pipe), "--json"]
    # Whoever runs tests in the background has them, and what they start, ignore Ctrl-C.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed)
    with running, pipe.open("wb") as writer:
        writer.write(jsonl(rows(3)))
        writer.flush()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert (running.returncode, out) == (130, b"")
    assert b"Traceback" not in err


PEAK = """
import resource, sys
from afina.cli import main
sys.argv = ["afina", "check", sys.argv[1], "--json"]
try:
    main()
except SystemExit:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_mib(path):
    """The most memory that a check of a sound file took."""
    command = [sys.executable, "-c", PEAK, str(path)]
    report, mib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(report)["problems"] == []
    return int(mib)


@pytest.mark.slow
def test_a_hundred_megabytes_need_no_more_memory_than_two(tmp_path):
    small, large = tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    block = jsonl(rows(5_000, answer="{name} is number {number}. " * 20))
    small.write_bytes(block)
    with large.open("wb") as file:
        while file.tell() < 100 * 2**20:
            file.write(block)
    assert peak_mib(large) < peak_mib(small) + 16


def test_pairs_of_answers_are_checked_as_such(afina, tmp_path):
    pair = {
        "input": {"messages": [{"role": "user", "content": "Is it open?"}]},
        "preferred_output": [{"role": "assistant", "content": "Yes."}],
        "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
    }
    path = tmp_path / "pairs.jsonl"
    path.write_text((json.dumps(pair) + "\n") * 12)
    ran = afina("check", str(path), "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["format"], found["examples"]) == (0, "preference", 12)
    assert found["tokens"] > 0
    path.write_text(path.read_text() + json.dumps({"messages": []}) + "\n")
    ran = afina("check", str(path))
    assert ran.code == 1 and "is in chat format, expected preference" in ran.out


def test_prompts_that_wait_for_their_answer_are_those_of_reinforcement(checked):
    rows = [{"messages": [{"role": "user", "content": f"Is {n} odd?"}], "odd": n % 2} for n in range(12)]
    ran = checked(jsonl(rows), "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["format"], found["examples"]) == (0, "reinforcement", 12)
    assert found["tokens"] > 12


def test_a_conversation_that_lacks_its_answer_is_no_prompt(checked):
    rows = [{"messages": [{"role": "user", "content": f"Is {n} odd?"}]} for n in range(12)]
    ran = checked(jsonl(rows))
    assert ran.code == 1 and "must contain at least one assistant message" in ran.out
