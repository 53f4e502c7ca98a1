"""Echoed prompts: every token with the log-probability that transformers gives it, whoever shares its beginning."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from afina.engine.types import Logprobs

PROMPTS = [[1, *range(300, 300 + length)] for length in (3, 9, 1)]
SHARED = [[1, *range(400, 430), *own] for own in ([7, 8, 9], [7, 9], [11])]


async def echo(host, prompt, **fields):
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 1} | fields
    reply = await host.client.post("/v1/completions", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def by_transformers(base: Path, prompt: list[int]) -> torch.Tensor:
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.inference_mode():
        return torch.log_softmax(network(torch.tensor([prompt])).logits[0], dim=-1)


@pytest.mark.parametrize("prompts", [PROMPTS, SHARED], ids=["apart", "shared"])
async def test_an_echo_has_the_log_probabilities_of_transformers(serve, base, prompts):
    async with serve() as host:
        reply = await echo(host, prompts, logprobs=3)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    for prompt, choice in zip(prompts, reply["choices"], strict=True):
        scores, said = by_transformers(base, prompt), choice["logprobs"]
        wanted = scores[torch.arange(len(prompt) - 1), torch.tensor(prompt[1:])]
        assert said["token_logprobs"][0] is None and said["top_logprobs"][0] is None
        assert said["token_logprobs"][1:] == pytest.approx(wanted.tolist(), abs=1e-4)
        for value, top, best in zip(
            said["token_logprobs"][1:], said["top_logprobs"][1:], scores.topk(3).values[:-1], strict=True
        ):
            assert list(top.values())[:3] == pytest.approx(best.tolist(), abs=1e-4)
            assert value in top.values()


async def test_an_echo_does_not_depend_on_its_neighbours(serve):
    async with serve() as host:
        together = (await echo(host, SHARED))["choices"]
        for place, prompt in enumerate(SHARED):
            (alone,) = (await echo(host, prompt))["choices"]
            assert alone["logprobs"]["tokens"] == together[place]["logprobs"]["tokens"]
            assert alone["logprobs"]["token_logprobs"][1:] == pytest.approx(
                together[place]["logprobs"]["token_logprobs"][1:], abs=1e-5
            )


async def test_what_all_begin_with_is_computed_once(serve, hesitant):
    seen = []

    async def logprobs(adapter, sequences, *, token_budget, top):
        seen.extend(sequences)
        return await type(hesitant).logprobs(hesitant, adapter, sequences, token_budget=token_budget, top=top)

    async with serve(hesitant) as host:
        host.rooms.completions.echoes.engine.logprobs = logprobs
        await echo(host, SHARED)
    assert [len(sequence.ids) for sequence in seen] == [31, 3, 2, 1]
    assert [sequence.parent for sequence in seen] == [None, 0, 0, 0]


async def test_an_echo_stands_before_what_is_said(serve):
    async with serve() as host:
        renderer = host.rooms.completions.renderer
        plain = await echo(host, PROMPTS, max_tokens=4, temperature=0, echo=False, logprobs=2)
        reply = await echo(host, PROMPTS, max_tokens=4, temperature=0, logprobs=2)
        for prompt, alone, choice in zip(PROMPTS, plain["choices"], reply["choices"], strict=True):
            assert choice["text"] == renderer.decode(prompt) + alone["text"]
            assert choice["token_ids"] == alone["token_ids"]
            said = choice["logprobs"]["token_logprobs"][len(prompt) :]
            assert said == pytest.approx(alone["logprobs"]["token_logprobs"], abs=1e-5)
            assert choice["finish_reason"] == alone["finish_reason"]
        assert reply["usage"] == plain["usage"]
        assert reply["usage"]["prompt_tokens"] == sum(map(len, PROMPTS))


async def test_each_choice_of_each_prompt_has_its_place(serve):
    async with serve() as host:
        reply = await echo(host, PROMPTS[:2], max_tokens=3, n=2, seed=5, logprobs=None)
        assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
        assert [choice["logprobs"] for choice in reply["choices"]] == [None] * 4
        for place, prompt in enumerate(PROMPTS[:2]):
            alone = await echo(host, prompt, max_tokens=3, n=2, seed=5, logprobs=None)
            mine = reply["choices"][place * 2 : place * 2 + 2]
            assert [c["text"] for c in mine] == [c["text"] for c in alone["choices"]]


async def test_an_echo_of_a_loaded_adapter_is_scored_by_it(serve, new_adapter):
    async with serve() as host:
        order = {"lora_name": "model-a", "lora_path": str(await new_adapter(host.engine))}
        await host.client.post("/v1/load_lora_adapter", json=order)
        reply = await echo(host, SHARED, model="model-a")
        base = await echo(host, SHARED)
        # Its second factors are zero, so it finds likely what the base does.
        assert reply["choices"] == base["choices"]
        calls = await host.client.get("/health")
        assert calls.json()["adapters"] == ["model-a"]


async def test_scores_that_are_no_numbers_are_an_error(serve, hesitant):
    async def logprobs(adapter, sequences, *, token_budget, top):
        return [
            Logprobs((float("nan"),) * len(s.supervised), (False,) * len(s.supervised)) for s in sequences
        ]

    async with serve(hesitant) as host:
        host.rooms.completions.echoes.engine.logprobs = logprobs
        body = {"model": "tiny", "prompt": PROMPTS, "max_tokens": 0, "echo": True, "logprobs": 0}
        reply = await host.client.post("/v1/completions", json=body)
        assert (reply.status_code, reply.json()["error"]["type"]) == (500, "server_error")
        assert "not finite" in reply.json()["error"]["message"]


@pytest.mark.parametrize("prompt", [[[]], [[1], "text"], [[1], []]])
async def test_what_is_no_list_of_prompts_is_refused(serve, hesitant, prompt):
    async with serve(hesitant) as host:
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 0, "echo": True}
        assert (await host.client.post("/v1/completions", json=body)).status_code == 422
        assert hesitant.calls == []


async def test_a_prompt_beyond_the_context_is_refused(serve, base):
    async with serve() as host:
        body = {"model": "tiny", "prompt": [[5] * 513], "max_tokens": 0, "echo": True, "logprobs": 1}
        reply = await host.client.post("/v1/completions", json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_tokens_may_be_written_as_ids(serve):
    async with serve() as host:
        (spelt,) = (await echo(host, [5, 6, 7]))["choices"]
        (found,) = (await echo(host, [5, 6, 7], return_tokens_as_token_ids=True))["choices"]
    assert found["logprobs"]["tokens"] == ["token_id:5", "token_id:6", "token_id:7"]
    assert found["logprobs"]["token_logprobs"] == spelt["logprobs"]["token_logprobs"]
    for token, top in zip(
        found["logprobs"]["tokens"][1:], found["logprobs"]["top_logprobs"][1:], strict=True
    ):
        assert token in top and all(name.startswith("token_id:") for name in top)
