"""Answers of old models: asked once each, within the caps, with all that is needed to ask again."""

import json
from pathlib import Path

import pytest

from rescue.openai_stand_in import MISSING, Object, OpenAI, Tool

MODEL = "ft:gpt-4o-mini-2024-07-18:clinic::00000001"


def answer(request: Object) -> tuple[int, Object]:
    """A plain answer to any request."""
    message = {"role": "assistant", "content": f"You said {request['messages'][-1]['content']}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": []}}
    usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    return 200, {"id": "chatcmpl-x", "choices": [choice], "usage": usage, "system_fingerprint": "fp_1"}


@pytest.fixture
def prompts(tmp_path: Path, openai: OpenAI) -> str:
    """Three prompts, one with a tool and one with a system prompt of its own."""
    openai.chat = answer
    rows: list[Object] = [
        {"id": f"p{n}", "messages": [{"role": "user", "content": f"¿{n}?"}]} for n in range(3)
    ]
    rows[1]["tools"] = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    rows[2]["system"] = "Be brief."
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def kept(tool: Tool) -> list[Object]:
    return [json.loads(path.read_bytes()) for path in sorted((tool.folder / "goldens").glob("*/*.json"))]


def test_each_prompt_is_asked_once_a_sample_and_never_again(openai: OpenAI, tool: Tool, prompts: str) -> None:
    command = ("goldens", "--prompts", prompts, "--samples", "2", "--max-usd", "1", "--seed", "7")
    assert tool.run(*command, "--system", "You are a nurse.").code == 0
    golden = kept(tool)[0]
    assert (golden["model"], golden["prompt_id"], golden["sample"], golden["request"]["seed"]) == (
        MODEL,
        "p0",
        0,
        7,
    )
    assert golden["request"]["messages"][0] == {"role": "system", "content": "You are a nurse."}
    assert golden["response"]["system_fingerprint"] == "fp_1" and golden["latency_seconds"] >= 0
    assert golden["usd"] == pytest.approx((20 * 0.30 + 10 * 1.20) / 1e6)
    assert len(openai.posted) == 6 and all(request["store"] is False for request in openai.posted)
    assert sum("tools" in request for request in openai.posted) == 2
    posts = {path for method, path, _after in openai.asked if method != "GET"}
    assert posts == {"/chat/completions"} and {method for method, _p, _a in openai.asked} == {"GET", "POST"}
    assert tool.run(*command, "--system", "You are a nurse.").code == 0
    assert len(openai.posted) == 6
    assert "<td>goldens</td><td>6</td>" in (tool.folder / "report.html").read_text()


def test_a_cap_in_requests_is_kept_over_runs(openai: OpenAI, tool: Tool, prompts: str) -> None:
    command = ("goldens", "--prompts", prompts, "--max-requests")
    assert tool.run(*command, "2").code == 1
    assert len(openai.posted) == 2
    gap = tool.objects("gaps.jsonl")[0]
    assert (gap["code"], gap["missing"], gap["id"]) == ("budget", 1, MODEL)
    done = tool.run(*command, "2")
    assert done.code == 2 and "too small" in done.output and len(openai.posted) == 2
    assert tool.run(*command, "3").code == 0
    assert len(openai.posted) == 3 and tool.objects("gaps.jsonl") == []


def test_a_cap_in_money_is_never_passed(openai: OpenAI, tool: Tool, prompts: str) -> None:
    command = ("goldens", "--prompts", prompts, "--max-tokens", "1000000", "--max-usd")
    assert tool.run(*command, "1").code == 2
    assert openai.posted == []
    assert tool.run(*command, "1.3", "--threads", "3").code == 1
    assert len(openai.posted) == 1  # three would have been set aside at once


def test_an_answer_that_never_came_may_have_cost_something(openai: OpenAI, tool: Tool, prompts: str) -> None:
    openai.chat = lambda request: (200, {"no": "answer"})
    process = tool.run(
        "goldens", "--prompts", prompts, "--max-requests", "9", "--tries", "1", "--threads", "1", kill_after=5
    )
    assert process.code == -9
    openai.chat = answer
    asked = len(openai.posted)
    assert (
        tool.run("goldens", "--prompts", prompts, "--max-requests", str(asked + 1), "--threads", "1").code
        == 1
    )
    assert len(openai.posted) == asked + 1


def test_settings_that_a_model_refuses_are_left_out_and_said(
    openai: OpenAI, tool: Tool, prompts: str
) -> None:
    def picky(request: Object) -> tuple[int, Object]:
        for name in ("logprobs", "temperature", "max_completion_tokens"):
            if name in request:
                return 400, {
                    "error": {**MISSING, "message": f"Unsupported parameter: '{name}'", "param": name}
                }
        return answer(request)

    openai.chat = picky
    assert tool.run("goldens", "--prompts", prompts, "--max-usd", "1", "--threads", "1").code == 0
    golden = kept(tool)[0]
    assert golden["omitted"] == ["logprobs", "max_completion_tokens", "temperature", "top_logprobs"]
    assert golden["request"]["max_tokens"] == 512
    assert len(openai.posted) == 6  # three to learn it, then one for each


def test_a_model_that_is_gone_is_asked_once(openai: OpenAI, tool: Tool, prompts: str) -> None:
    openai.chat = lambda request: (404, {"error": {**MISSING, "code": "model_not_found"}})
    done = tool.run("goldens", "--prompts", prompts, "--max-usd", "1", "--threads", "1")
    assert done.code == 1 and "answers no more" in done.output
    assert len(openai.posted) == 1


def test_no_credit_left(openai: OpenAI, tool: Tool, prompts: str) -> None:
    openai.chat = lambda request: (429, {"error": {**MISSING, "code": "insufficient_quota"}})
    done = tool.run("goldens", "--prompts", prompts, "--max-usd", "1")
    assert done.code == 1 and "no credit left" in done.output
    assert len(openai.posted) == 3


def test_a_prompt_that_is_refused_costs_the_others_no_log_probabilities(
    openai: OpenAI, tool: Tool, prompts: str
) -> None:
    def choosy(request: Object) -> tuple[int, Object]:
        too_long = "¿0?" in request["messages"][-1]["content"]
        return (400, {"error": {**MISSING, "message": "too long"}}) if too_long else answer(request)

    openai.chat = choosy
    assert tool.run("goldens", "--prompts", prompts, "--max-usd", "1", "--threads", "1").code == 1
    assert [golden["omitted"] for golden in kept(tool)] == [[], []]


def test_an_answer_without_usage_is_counted_in_full(openai: OpenAI, tool: Tool, prompts: str) -> None:
    openai.chat = lambda request: (200, {"choices": [{"index": 0}]})
    assert tool.run("goldens", "--prompts", prompts, "--max-usd", "1").code == 0
    assert all(golden["usd"] > 512 * 1.20 / 1e6 for golden in kept(tool))


@pytest.mark.parametrize(
    "options",
    [["--max-usd", "0"], ["--max-usd", "nan"], ["--max-requests", "0"], ["--max-usd", "1", "--samples", "0"]],
)
def test_a_budget_or_a_number_that_cannot_be_asks_nothing(
    openai: OpenAI, tool: Tool, prompts: str, options: list[str]
) -> None:
    done = tool.run("goldens", "--prompts", prompts, *options)
    assert done.code == 2 and ("too small" in done.output or "--samples" in done.output)
    assert openai.posted == []


@pytest.mark.parametrize("options", [[], ["--max-usd", "1", "--model", "nobody-knows"]])
def test_without_a_cap_that_holds_nothing_is_asked(
    openai: OpenAI, tool: Tool, prompts: str, options: list[str]
) -> None:
    done = tool.run("goldens", "--prompts", prompts, *options)
    assert done.code == 2 and "--max-requests" in done.output
    assert openai.posted == []


def test_an_account_without_fine_tunes_is_told_so(openai: OpenAI, tool: Tool, prompts: str) -> None:
    openai.account.lists["/models"].clear()
    openai.account.refused["/fine_tuning/jobs"] = (403, MISSING)
    done = tool.run("goldens", "--prompts", prompts, "--max-requests", "9")
    assert done.code == 2 and "no fine-tunes found" in done.output
    assert "! jobs: the key may not read it" in done.output and openai.posted == []


@pytest.mark.parametrize("row", ['{"id": "p0", "messages": [{"role": "user"}]}', "secret"])
def test_prompts_that_cannot_be_are_named_by_their_line(tool: Tool, prompts: str, row: str) -> None:
    with Path(prompts).open("a") as file:
        file.write(row + "\n")
    done = tool.run("goldens", "--prompts", prompts, "--max-requests", "9")
    assert done.code == 2 and "prompts.jsonl:4:" in done.output and "secret" not in done.output
