"""What templates are given, and what they cannot do."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from afina import base
from afina.data.render import Renderer
from afina.data.strict_json import JsonObject
from afina.errors import DataError, InvalidRequest

Build = Callable[..., Renderer]
USER: JsonObject = {"role": "user", "content": "Hi"}
ANSWER: JsonObject = {"role": "assistant", "content": "Hello."}


def test_options_reach_the_template(tiny: Renderer, with_template: Build):
    source = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is false %}quiet{% endif %}"
    )
    assert tiny.decode(with_template(source, {"enable_thinking": False}).prompt([USER])) == "Hiquiet"
    assert tiny.decode(with_template(source).prompt([USER])) == "Hi"


def test_developer_becomes_system_where_the_template_does_not_know_it(with_template: Build):
    renderer = with_template("{% for m in messages %}{{ m.role }} {{ m.content }}{% endfor %}")
    assert renderer.decode(renderer.prompt([{"role": "developer", "content": "x"}])) == "system x"


def test_the_clock_is_given(tmp_path: Path):
    shutil.copy(base.path() / "tokenizer.json", tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}")
    renderer = Renderer(tmp_path, now=lambda: datetime(2031, 5, 6))
    assert renderer.decode(renderer.prompt([USER])) == "06 May 2031 Hi"


REFUSING = (
    "{{ raise_exception('No system role here') if messages[0].role == 'system' else messages[0].content }}"
)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (REFUSING, ": No system role here"),
        ("{{ raise_exception('Bad: ' + messages[0].content) }}", ""),
        ("{{ messages[0].content + 1 }}", ""),
        ("{{ messages[0].content[0].nothing.here }}", ""),
        ("{{ 1 / 0 }}", ""),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", ""),
        ("{{ ''.__class__.__mro__ }}", ""),
        ("{{ cycler.__init__.__globals__.os }}", ""),
        ("{{ messages.append(1) }}", ""),
        ("{{ '{0.__class__}'.format(messages) ~ ''.nothing.x }}", ""),
        ("{{ (messages|attr('__class__')).x }}", ""),
        ("{{ namespace(__html__=1) }}", ""),
        ("{{ range(10**9) }}", ""),
        ("{% include 'x' %}", ""),
        ("{{ strftime_now.__globals__.os }}", ""),
        ("{{ raise_exception.__globals__.os }}", ""),
    ],
)
def test_what_a_template_cannot_do_is_refused_without_data(with_template: Build, source: str, reason: str):
    renderer = with_template(source)
    secret: list[JsonObject] = [{"role": "system", "content": "Jane Roe"}, ANSWER]
    wording = "template of base model does not support this conversation" + reason
    with pytest.raises(DataError) as refused:
        renderer.example(secret)
    assert refused.value.message == "chat " + wording
    with pytest.raises(InvalidRequest) as invalid:
        renderer.prompt(secret[:1])
    assert invalid.value.message == "The chat " + wording


CLOSED = (
    "{% for m in messages %}{{ m.role }}: {{ m.content if m.role in spoken else '' }}<|im_end|>{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            CLOSED.replace("spoken", "['user', 'assistant']"),
            "a system message at its place in this conversation",
        ),
        (
            CLOSED.replace("spoken", "['system', 'assistant']"),
            "a user message at its place in this conversation",
        ),
        (
            "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}",
            "this conversation: an assistant message is not rendered behind its prompt",
        ),
        (
            "{% if messages[-1].role == 'assistant' %}[{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}",
            "this conversation: an assistant message is not rendered behind its prompt",
        ),
    ],
)
def test_a_template_that_leaves_out_a_message_is_refused(with_template: Build, source: str, reason: str):
    with pytest.raises(DataError) as refused:
        with_template(source).example([{"role": "system", "content": "S"}, USER, ANSWER])
    assert refused.value.message == "chat template of base model does not support " + reason


@pytest.mark.parametrize("source", ["{% if %}", "{{ x", "{% set ns = namespace() %}{% set ns.__x = 1 %}"])
def test_a_template_that_cannot_be_compiled(with_template: Build, source: str):
    with pytest.raises(InvalidRequest, match="cannot be compiled"):
        with_template(source)


def test_a_folder_without_a_template(tmp_path: Path):
    shutil.copy(base.path() / "tokenizer.json", tmp_path)
    with pytest.raises(InvalidRequest, match="no chat template"):
        Renderer(tmp_path)


def test_named_templates_of_a_configuration(with_template: Build):
    renderer = with_template(
        [
            {"name": "tool_use", "template": "T"},
            {"name": "default", "template": "D {{ messages[0].content }}"},
        ]
    )
    assert renderer.decode(renderer.prompt([USER])) == "D Hi"


def test_content_of_users_is_not_a_template(tiny: Renderer):
    text = "{{ 7*7 }}{% for x in y %}<script>&amp;'"
    assert text in tiny.decode(tiny.prompt([{"role": "user", "content": text}]))
