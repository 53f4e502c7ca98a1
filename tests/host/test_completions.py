"""Token ids in, text out: whole, streamed, several at once, on the base and on adapters."""

import asyncio
import json

import pytest

PROMPT = [1, 300, 301, 302]


def ask(**fields):
    return {"model": "tiny", "prompt": PROMPT, "max_tokens": 8, "seed": 7} | fields


async def complete(host, **fields):
    reply = await host.client.post("/v1/completions", json=ask(**fields))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def chunks(response):
    lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
    return [json.loads(line) for line in lines[:-1]], lines[-1]


async def streamed(host, **fields):
    async with host.client.stream("POST", "/v1/completions", json=ask(stream=True, **fields)) as response:
        found, last = await chunks(response)
        assert last == "[DONE]"
        return found


async def test_a_whole_reply(serve):
    async with serve() as host:
        reply = await complete(host, temperature=0)
        (choice,) = reply["choices"]
        assert reply["usage"] == {
            "prompt_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens": len(choice["token_ids"]),
            "total_tokens": 4 + len(choice["token_ids"]),
        }
        renderer = host.rooms.completions.renderer
        assert choice["text"] == renderer.decode(choice["token_ids"])
        assert choice["finish_reason"] == ("stop" if choice["token_ids"][-1] == 2 else "length")


async def test_what_a_prompt_begins_with_is_known_to_those_with_the_same_salt(serve):
    async with serve() as host:
        asked = {"prompt": [1, *range(300, 370)], "max_tokens": 1}

        async def cached(**fields):
            used = (await complete(host, **asked | fields))["usage"]
            return used["prompt_tokens_details"]["cached_tokens"]

        assert [await cached(n=2), await cached(), await cached(n=3)] == [0, 64, 64]
        assert [await cached(cache_salt=salt) for salt in "aab"] == [0, 64, 0]
        assert await cached(prompt=[asked["prompt"], [1, *range(400, 470)]]) == 64


async def test_a_stream_says_what_a_whole_reply_says(serve):
    async with serve() as host:
        whole = await complete(host, n=3)
        parts = await streamed(host, n=3)
        assert parts[0]["choices"] == []
        assert parts[-1]["usage"] == whole["usage"]
        for choice in whole["choices"]:
            mine = [c for part in parts for c in part["choices"] if c["index"] == choice["index"]]
            assert "".join(c["text"] for c in mine) == choice["text"]
            assert [id for c in mine for id in c["token_ids"]] == choice["token_ids"]
            assert [c["finish_reason"] for c in mine] == [None] * (len(mine) - 1) + [choice["finish_reason"]]


async def test_equal_seeds_give_equal_choices_and_other_seeds_others(serve):
    async with serve() as host:
        first = await complete(host, n=4)
        assert (await complete(host, n=4))["choices"] == first["choices"]
        texts = [tuple(choice["token_ids"]) for choice in first["choices"]]
        assert [choice["index"] for choice in first["choices"]] == [0, 1, 2, 3]
        assert len(set(texts)) == 4
        assert (await complete(host, seed=8))["choices"][0]["token_ids"] != list(texts[0])
        fresh = [await complete(host, seed=None) for _ in range(2)]
        assert fresh[0]["choices"] != fresh[1]["choices"]


async def test_one_choice_is_the_first_of_many(serve):
    async with serve() as host:
        alone, many = await complete(host), await complete(host, n=5)
        assert alone["choices"][0] == many["choices"][0]


async def test_logprobs_are_spelt_out(serve):
    async with serve() as host:
        (choice,) = (await complete(host, temperature=0, logprobs=2))["choices"]
        for value, top in zip(
            choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"], strict=True
        ):
            assert value == max(top.values())
        assert len(choice["logprobs"]["tokens"]) == len(choice["token_ids"])


async def test_a_stop_string_ends_a_choice_and_is_not_shown(serve):
    async with serve() as host:
        text = (await complete(host, temperature=0, max_tokens=12))["choices"][0]["text"]
        stop = text[len(text) // 2 :][:3]
        before = text[: text.index(stop)]
        whole = await complete(host, temperature=0, max_tokens=12, stop=[stop])
        assert (whole["choices"][0]["text"], whole["choices"][0]["finish_reason"]) == (before, "stop")
        parts = await streamed(host, temperature=0, max_tokens=12, stop=[stop])
        assert "".join(c["text"] for part in parts for c in part["choices"]) == before
        assert host.engine.rows == 0


async def test_a_stop_token_ends_a_choice(serve):
    async with serve() as host:
        ids = (await complete(host, temperature=0))["choices"][0]["token_ids"]
        (choice,) = (await complete(host, temperature=0, stop_token_ids=[ids[1]]))["choices"]
        assert choice["finish_reason"] == "stop"
        assert choice["token_ids"] == ids[: ids.index(ids[1]) + 1]


async def test_no_tokens_are_an_empty_text(serve):
    async with serve() as host:
        reply = await complete(host, max_tokens=0)
        assert [(c["text"], c["finish_reason"]) for c in reply["choices"]] == [("", "length")]
        assert reply["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_a_404(serve, stream):
    async with serve() as host:
        reply = await host.client.post("/v1/completions", json=ask(model="nobody", stream=stream))
        assert reply.status_code == 404
        assert reply.json()["error"]["code"] == "model_not_found"


async def test_an_adapter_answers_under_its_name_until_it_is_unloaded(serve, new_adapter):
    async with serve() as host:
        folder = await new_adapter(host.engine)
        order = {"lora_name": "model-a", "lora_path": str(folder)}
        replies = await asyncio.gather(
            *(host.client.post("/v1/load_lora_adapter", json=order) for _ in range(4))
        )
        assert [reply.status_code for reply in replies] == [200] * 4
        # Its second factors are zero, so it says what the base says.
        reply = await complete(host, model="model-a")
        assert (reply["model"], reply["choices"]) == ("model-a", (await complete(host))["choices"])
        assert (await host.client.get("/health")).json() == {"runs": [], "adapters": ["model-a"]}
        await host.client.post("/v1/unload_lora_adapter", json={"lora_name": "model-a"})
        assert (await host.client.post("/v1/completions", json=ask(model="model-a"))).status_code == 404


async def test_a_folder_that_is_no_adapter_is_a_400(serve, tmp_path):
    async with serve() as host:
        order = {"lora_name": "model-a", "lora_path": str(tmp_path)}
        reply = await host.client.post("/v1/load_lora_adapter", json=order)
        assert reply.status_code == 400
        assert str(tmp_path) not in reply.text


async def test_the_first_chunk_is_there_before_the_second_token_exists(serve, hesitant):
    async with (
        serve(hesitant) as host,
        host.client.stream("POST", "/v1/completions", json=ask(stream=True)) as response,
    ):
        lines = (json.loads(line.removeprefix("data: ")) async for line in response.aiter_lines() if line)
        accepted, first = await anext(lines), await anext(lines)
        assert accepted["choices"] == []
        assert first["choices"][0]["token_ids"] == [303 % hesitant.vocab_size]
        assert hesitant.made == 1


@pytest.mark.parametrize("n", [1, 3])
async def test_who_hangs_up_on_a_stream_frees_its_rows(serve, hesitant, until, n):
    async with serve(hesitant) as host:
        async with host.client.stream("POST", "/v1/completions", json=ask(stream=True, n=n)) as response:
            await anext(response.aiter_lines())
            await until(lambda: hesitant.rows == n)
        await until(lambda: hesitant.rows == 0)
        assert hesitant.made == n


async def test_who_hangs_up_on_a_whole_reply_frees_its_rows(serve, hesitant, until):
    async with serve(hesitant) as host:
        asking = asyncio.create_task(host.client.post("/v1/completions", json=ask(n=2)))
        await until(lambda: hesitant.rows == 2)
        asking.cancel()
        await until(lambda: hesitant.rows == 0)
        assert hesitant.made == 2


async def test_an_adapter_is_kept_for_who_uses_it_and_let_go_behind_the_last(
    serve, hesitant, until, new_adapter
):
    async with serve(hesitant) as host:
        folder = await new_adapter(hesitant)
        order = {"lora_name": "model-a", "lora_path": str(folder)}
        await host.client.post("/v1/load_lora_adapter", json=order)
        asking = asyncio.create_task(complete(host, model="model-a", max_tokens=3))
        await until(lambda: hesitant.rows == 1)
        await host.client.post("/v1/unload_lora_adapter", json={"lora_name": "model-a"})
        assert hesitant.adapters == ("model-a",)
        hesitant.go.set()
        assert (await asking)["choices"][0]["token_ids"] == [n % hesitant.vocab_size for n in (303, 304, 305)]
        await until(lambda: hesitant.adapters == ())


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": []},
        {"prompt": "text"},
        {"n": 0},
        {"temperature": 3},
        {"top_p": 0},
        {"max_tokens": -1},
        {"stop": [""]},
        {"logprobs": 21},
        {"top_k": -2},
        {"min_p": 1.5},
        {"presence_penalty": 3},
        {"frequency_penalty": -3},
        {"logit_bias": {"the": 1}},
        {"logit_bias": {"1": 101}},
        {"response_format": {"type": "json_object"}},
        {"lora_path": "/"},
    ],
    ids=lambda fields: str(next(iter(fields.items()))),
)
async def test_what_is_no_request_is_refused(serve, hesitant, fields):
    async with serve(hesitant) as host:
        assert (await host.client.post("/v1/completions", json=ask(**fields))).status_code == 422
        assert hesitant.calls == []


def form(**schema: object) -> dict:
    return {"type": "structural_tag", "format": {"type": "json_schema", "json_schema": schema}}


async def test_a_form_holds_every_choice_of_every_prompt(serve):
    async with serve() as host:
        fields = {
            "response_format": form(enum=["yes", "no"]),
            "temperature": 2,
            "n": 3,
            "prompt": [PROMPT, [5]],
        }
        choices = (await complete(host, **fields))["choices"]
        assert len(choices) == 6 and {json.loads(choice["text"]) for choice in choices} <= {"yes", "no"}
        assert {choice["finish_reason"] for choice in choices} == {"stop"}
        parts = await streamed(host, **fields)
        for choice in choices:
            mine = [c for part in parts for c in part["choices"] if c["index"] == choice["index"]]
            assert "".join(c["text"] for c in mine) == choice["text"]


async def test_a_form_that_cannot_be_compiled_is_said_before_anything_streams(serve):
    async with serve() as host:
        for stream in (False, True):
            body = ask(response_format=form(type="magic"), stream=stream)
            assert (await host.client.post("/v1/completions", json=body)).status_code == 500
        assert host.engine.rows == 0


async def test_penalties_biases_and_limits_reach_the_engine(serve):
    async with serve() as host:
        plain = (await complete(host, temperature=0, max_tokens=30))["choices"][0]["token_ids"]
        for field in ({"presence_penalty": 2}, {"frequency_penalty": 2}):
            assert len(
                set((await complete(host, temperature=0, max_tokens=30, **field))["choices"][0]["token_ids"])
            ) >= (len(set(plain)))
        biased = await complete(host, logit_bias={"300": 100, "301": 0}, max_tokens=3)
        assert biased["choices"][0]["token_ids"] == [300] * 3
        for only in ({"top_k": 1}, {"min_p": 1}):
            assert (await complete(host, temperature=2, max_tokens=30, **only))["choices"][0][
                "token_ids"
            ] == plain
        free = await complete(host, temperature=2)
        for nothing in ({"top_k": 0}, {"top_k": -1}, {"logit_bias": {"300": 0}}):
            assert (await complete(host, temperature=2, **nothing))["choices"] == free["choices"]


async def test_log_probabilities_by_ids(serve):
    async with serve() as host:
        (choice,) = (await complete(host, logprobs=3, return_tokens_as_token_ids=True))["choices"]
        assert choice["logprobs"]["tokens"] == [f"token_id:{id}" for id in choice["token_ids"]]
        assert all(len(top) == 3 for top in choice["logprobs"]["top_logprobs"]), (
            "those spelt alike stay apart"
        )
