"""The tokens of legacy completions: echoed, scored and chosen by an engine of random weights."""

import math

import openai
import pytest

import afina.base
from afina.data.render import Renderer

RENDERER = Renderer(afina.base.path())
TEXT = "Málaga is a city."


def write(client: openai.OpenAI, **fields):
    return client.completions.create(**{"model": "afina-tiny", "seed": 1, "max_tokens": 6, **fields})


def shown(logprobs) -> str:
    """The text that the tokens spell, those in pieces too."""
    said = b"".join(
        bytes(int(pair, 16) for pair in token[6:].split("\\x")[1:])
        if token.startswith("bytes:")
        else token.encode()
        for token in logprobs.tokens
    )
    return said.decode()


def test_a_prompt_is_echoed_with_how_likely_it_is(random_weights: openai.OpenAI):
    choice = write(random_weights, prompt=TEXT, echo=True, logprobs=2, max_tokens=0).choices[0]
    found = choice.logprobs
    assert (choice.text, choice.finish_reason) == (TEXT, "length") and shown(found) == TEXT
    ids = RENDERER.document(TEXT)
    assert len(found.tokens) == len(ids) - 1, "what stands before the text is not shown"
    assert all(value < 0 for value in found.token_logprobs)
    for token, value, top in zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True):
        assert (
            top[token] == value
            and 2 <= len(top) <= 3
            and list(top.values())[:2] == sorted(list(top.values())[:2], reverse=True)
        )
    starts = [TEXT.find(token) for token in found.tokens if not token.startswith("bytes:")]
    assert starts[0] == found.text_offset[0] == 0 and found.text_offset == sorted(found.text_offset)


@pytest.mark.usefixtures("random_weights")
def test_the_first_of_given_ids_has_nothing_before_it(loose: openai.OpenAI):
    logprobs = write(loose, prompt=[5, 6, 7], echo=True, logprobs=1, max_tokens=1).choices[0].logprobs
    assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
    assert logprobs.tokens[:3] == [RENDERER.decode([id], skip_special=False) for id in (5, 6, 7)]
    assert len(logprobs.tokens) == 4 and all(value < 0 for value in logprobs.token_logprobs[1:])


def test_an_echo_is_followed_by_the_reply(random_weights: openai.OpenAI):
    alone = write(random_weights, prompt=TEXT, logprobs=1).choices[0]
    both = write(random_weights, prompt=TEXT, logprobs=1, echo=True).choices[0]
    assert both.text == TEXT + alone.text
    count = len(alone.logprobs.tokens)
    assert both.logprobs.tokens[-count:] == alone.logprobs.tokens
    assert both.logprobs.text_offset[-count:] == alone.logprobs.text_offset, (
        "offsets count from the prompt on"
    )
    assert alone.logprobs.text_offset[0] == len(TEXT)
    assert both.logprobs.token_logprobs[-count:] == alone.logprobs.token_logprobs


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.usefixtures("random_weights")
def test_a_stream_adds_up_to_the_whole_reply(loose: openai.OpenAI, echo: bool):
    fields = {"prompt": [TEXT, "Hi"], "n": 2, "logprobs": 1, "echo": echo, "max_tokens": 4}
    whole = write(loose, **fields)
    chunks = list(write(loose, stream=True, **fields))
    for choice in whole.choices:
        mine = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == choice.index]
        assert "".join(piece.text for piece in mine) == choice.text
        assert mine[-1].finish_reason == choice.finish_reason
        for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
            added = [entry for piece in mine if piece.logprobs for entry in getattr(piece.logprobs, name)]
            assert added == getattr(choice.logprobs, name)


@pytest.mark.parametrize("echo", [False, True])
def test_the_best_of_several_is_the_likeliest(random_weights: openai.OpenAI, echo: bool):
    fields = {"prompt": ["One", "Two"], "temperature": 1.5, "echo": echo}
    every = write(random_weights, n=4, logprobs=0, **fields)
    best = write(random_weights, n=1, best_of=4, **fields)
    assert [choice.logprobs for choice in best.choices] == [None, None]
    assert [choice.index for choice in best.choices] == [0, 1]
    for place, choice in enumerate(best.choices):
        prompt = len(RENDERER.document("One")) - 1 if echo else 0
        group = every.choices[place * 4 : place * 4 + 4]
        means = [
            math.fsum(c.logprobs.token_logprobs[prompt:]) / len(c.logprobs.tokens[prompt:]) for c in group
        ]
        assert choice.text == group[means.index(max(means))].text
    assert best.usage.completion_tokens == every.usage.completion_tokens, "all candidates are paid for"


def test_what_shapes_a_reply(random_weights: openai.OpenAI):
    one = write(random_weights, prompt=TEXT, temperature=0, logprobs=1).choices[0]
    assert write(random_weights, prompt=TEXT, temperature=0).choices[0].text == one.text
    assert all(value == max(top.values()) for value, top in zip(
        one.logprobs.token_logprobs, one.logprobs.top_logprobs, strict=True
    ))  # fmt: skip
    id = RENDERER.ids_by_bytes[b" the"]
    biased = write(random_weights, prompt=TEXT, logit_bias={str(id): 100}, max_tokens=3).choices[0]
    assert biased.text == " the the the"
    cut = write(random_weights, prompt=TEXT, logit_bias={str(id): 100}, stop=" the the").choices[0]
    assert (cut.text, cut.finish_reason) == ("", "stop")
    zero = write(random_weights, prompt=TEXT, logprobs=0).choices[0].logprobs
    assert zero.top_logprobs is None and all(value <= 0 for value in zero.token_logprobs)
