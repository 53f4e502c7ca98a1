import json
from dataclasses import replace

import pytest
from tokenizers import Tokenizer
from tokenizers.normalizers import NFD, StripAccents
from tokenizers.normalizers import Sequence as Normalizers

from afina.intake import network, speech
from afina.intake.speech import Limits
from afina.intake.unfit import Unfit

FOREVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
GREEDY = (
    "{% set n = namespace(x='0123456789') %}{% for a in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
)
WITHOUT_TURNS = (
    "{% for m in messages %}{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}"
)
FORCED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
UNCLOSED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def attempt(folder, asked="auto", limits=None):
    return speech.attempt(folder, network.read(folder), asked, limits)


def refusal(folder, asked="auto", limits=None):
    with pytest.raises(Unfit) as refused:
        attempt(folder, asked, limits)
    assert refused.value.cure
    return refused.value.message


def template(folder, source):
    (folder / "chat_template.jinja").write_text(source)


def test_the_bundled_speech_can_do_everything(llama):
    found = attempt(llama)
    assert (found.thinking, found.without) == (None, [])
    assert found.largest_id < 8192


def test_a_switch_is_off_unless_it_was_asked_for(qwen3):
    assert attempt(qwen3).thinking == "off"
    assert attempt(qwen3, "on").thinking == "on"
    assert "say --thinking off or --thinking on" not in refusal(qwen3, "none")
    assert "it has a switch, enable_thinking" in refusal(qwen3, "none")


def test_a_template_without_a_switch(llama):
    assert attempt(llama, "none").thinking is None
    assert "it has no switch enable_thinking" in refusal(llama, "off")


def test_an_endless_loop_is_an_error_and_no_hang(folder):
    template(folder, FOREVER)
    said = refusal(folder, limits=Limits(seconds=2))
    assert said == "chat_template.jinja: it did not come to an end within 2 s: it may hold an endless loop"


def test_a_template_that_eats_memory(folder):
    template(folder, GREEDY)
    assert "it takes more than 2.0 GiB of memory" in refusal(folder, limits=Limits(bytes=2 * 2**30))


def test_a_template_that_cannot_be_compiled(folder):
    template(folder, "{% for %}")
    assert "cannot be compiled" in refusal(folder)


def test_a_template_that_reaches_for_python(folder):
    template(folder, "{{ ''.__class__.__mro__[1].__subclasses__() }}")
    assert "does not support this conversation" in refusal(folder)


def test_no_template(folder):
    (folder / "chat_template.jinja").unlink()
    assert "no chat template" in refusal(folder)


@pytest.mark.parametrize("source", [FORCED, WITHOUT_TURNS])
def test_answers_have_to_stand_behind_their_prompt(folder, source):
    template(folder, source)
    assert "does not support this conversation" in refusal(folder)


def test_answers_have_to_be_closed(folder):
    template(folder, UNCLOSED)
    assert "an answer does not end with a token that ends answers" in refusal(folder)


def test_what_many_templates_cannot_do_is_told(folder):
    source = (folder / "chat_template.jinja").read_text()
    template(
        folder,
        source.replace('message.role in ["system", "developer"]', "false").replace(
            "{%- if tools -%}", "{%- if false -%}"
        ),
    )
    assert attempt(folder).without == ["system messages", "tools"]


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json: it is not in the folder" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_a_tokenizer_that_cannot_be_read(folder, content):
    (folder / "tokenizer.json").write_text(content)
    assert refusal(folder) == "tokenizer.json: it cannot be read"


def test_a_tokenizer_config_that_is_no_json(folder):
    (folder / "tokenizer_config.json").write_text("{")
    assert refusal(folder) == "tokenizer_config.json: it is not JSON"


def test_a_tokenizer_of_another_model(llama):
    smaller = replace(network.read(llama), vocabulary=8000)
    with pytest.raises(Unfit, match=r"it has ids up to \d+, and the model's vocabulary has 8000"):
        speech.attempt(llama, smaller, "auto")


def test_a_tokenizer_that_loses_accents(folder):
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.normalizer = Normalizers([NFD(), StripAccents()])
    tokenizer.save(path)
    assert "accents or other letters are lost" in refusal(folder)


def test_nothing_ends_an_answer(folder):
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        path = folder / name
        kept = {key: value for key, value in json.loads(path.read_text()).items() if "eos" not in key}
        path.write_text(json.dumps(kept))
    template(folder, WITHOUT_TURNS)
    assert "no token ends an answer" in refusal(folder)
