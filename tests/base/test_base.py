"""The bundled base model is what its hash says, loads with plain transformers and keeps its format."""

import hashlib
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from afina import base

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "El tiempo de una ciudad",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Málaga"}'},
}
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "  Responde en español.\n"},
    {"role": "user", "content": "Hola"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "¿Qué tiempo "}, {"type": "text", "text": "hace?"}],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 20}'},
    {"role": "assistant", "content": "Hay 20 grados.\n\n"},
    {"role": "system", "content": ""},
    {"role": "user", "content": "Gracias"},
    {"role": "assistant", "content": "De nada", "tool_calls": [CALL]},
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(base.path())


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(base.path(), dtype=torch.float32).eval()


def render(tokenizer, messages, *, prompt=False, tools=None):
    return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=prompt)


def test_the_weights_are_the_ones_that_were_hashed():
    weights = base.path() / "model.safetensors"
    expected = (base.path() / "SHA256").read_text().split()[0]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == expected
    assert weights.stat().st_size <= 16_000_000


def test_it_is_named_as_its_card():
    card = (base.path() / "README.md").read_text(encoding="utf-8")
    assert f"# {base.NAME}\n" in card
    assert "not medical advice" in " ".join(card.split())


def test_it_loads_as_a_small_llama_in_bf16():
    config = json.loads((base.path() / "config.json").read_text())
    assert (config["model_type"], config["dtype"]) == ("llama", "bfloat16")
    assert config["max_position_embeddings"] == 2048


def test_every_token_has_a_row_and_every_row_a_token(model, tokenizer):
    assert len(tokenizer) == model.config.vocab_size == model.get_input_embeddings().num_embeddings


@pytest.mark.parametrize("token", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
def test_control_tokens_are_single_and_special(tokenizer, token):
    ids = tokenizer.encode(token, add_special_tokens=False)
    assert len(ids) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == ""


@pytest.mark.parametrize("token", ["<tool_call>", "</tool_call>"])
def test_tool_markers_are_single_and_stay_in_the_text(tokenizer, token):
    ids = tokenizer.encode(token, add_special_tokens=False)
    assert len(ids) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == token


def test_generation_ends_at_the_end_of_a_turn(model, tokenizer):
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(
    "text",
    [
        "Línea ñandú 1234 € 😀",
        "  two  spaces\n\n\ttab\r\n",
        "¿Qué? ¡Sí!",
        "a\u0301 e\u0301",
        "\u202eabc\u0000",
    ],
)
def test_any_text_comes_back_as_it_was(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_conversation_is_rendered_turn_by_turn(tokenizer):
    assert render(tokenizer, CONVERSATION[:4], prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>system\n  Responde en español.\n<|im_end|>\n"
        "<|im_start|>user\nHola<|im_end|>\n"
        "<|im_start|>user\n¿Qué tiempo hace?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_there_is_no_system_message_of_its_own(tokenizer):
    assert render(tokenizer, [{"role": "user", "content": "Hi"}]) == "<|im_start|>user\nHi<|im_end|>\n"


def test_tools_stand_in_a_system_turn_of_their_own(tokenizer):
    rendered = render(tokenizer, CONVERSATION[:1], tools=[TOOL, TOOL])
    listed = json.dumps(TOOL["function"], ensure_ascii=False)
    assert rendered == (
        f"<|im_start|>system\nFunctions you may call:\n{listed}\n{listed}<|im_end|>\n"
        "<|im_start|>system\nBe brief.<|im_end|>\n"
    )


def test_calls_are_blocks_of_json(tokenizer):
    block = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Málaga"}}\n</tool_call>'
    rendered = render(tokenizer, CONVERSATION)
    assert f"<|im_start|>assistant\n{block}\n{block}<|im_end|>\n" in rendered
    assert f"<|im_start|>assistant\nDe nada\n{block}<|im_end|>\n" in rendered
    assert '<|im_start|>tool\n{"degrees": 20}<|im_end|>\n' in rendered


def test_arguments_may_be_text_or_an_object(tokenizer):
    parsed = {"function": {"name": "get_weather", "arguments": {"city": "Málaga"}}}
    as_object = [{"role": "assistant", "content": None, "tool_calls": [parsed]}]
    as_text = [{"role": "assistant", "content": None, "tool_calls": [CALL]}]
    assert render(tokenizer, as_object) == render(tokenizer, as_text)


@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_what_a_server_sees_is_a_prefix_of_what_is_trained(tokenizer, tools):
    whole = render(tokenizer, CONVERSATION, tools=tools)
    for turn in range(1, len(CONVERSATION)):
        answers = CONVERSATION[turn]["role"] == "assistant"
        before = render(tokenizer, CONVERSATION[:turn], prompt=answers, tools=tools)
        after = render(tokenizer, CONVERSATION[: turn + 1], tools=tools)
        assert after.startswith(before)
        assert whole.startswith(after)


def test_the_assistants_words_and_end_of_turn_are_marked_as_generated(tokenizer):
    messages = [{"role": "user", "content": "Hola"}, {"role": "assistant", "content": "¿Sí?"}]
    marked = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    words = [i for i, m in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(words) == "¿Sí?<|im_end|>"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "content": "x"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]},
    ],
)
def test_what_it_cannot_render_is_refused(tokenizer, message):
    with pytest.raises(Exception, match=r"Roles are|Only text content"):
        render(tokenizer, [message])


@pytest.mark.parametrize("greeting", ["Hello!", "Hola"])
def test_it_ends_its_turn_after_a_greeting(model, tokenizer, greeting):
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": greeting}],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        ids = model.generate(**prompt, max_new_tokens=200, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert ids[-1] == tokenizer.eos_token_id
    assert len(ids) > 3
