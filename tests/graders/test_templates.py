"""Templates: paths and nothing else, whatever is written between braces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import InvalidRequest
from afina.graders.templates import MissingVariable, parse

NAMES = {
    "item": {
        "q": "¿Qué?",
        "n": 3,
        "deep": {"list": [{"a-b": "x"}, ["y"]], "ñ_1": None, "two words": True},
        "_private": "kept",
    },
    "sample": {"output_text": "{{ item.q }}"},
}
RIGHT = {
    "plain text": "plain text",
    "{{item.q}}": "¿Qué?",
    "a {{ item.n }} b {{  item.q  }}!": "a 3 b ¿Qué?!",
    "{{ item.deep.list[0].a-b }}{{ item.deep.list[1][0] }}": "xy",
    "{{ item['deep'].ñ_1 }} {{ item.deep[\"two words\"] }}": "null true",
    "{{ item.deep.list }}": '[{"a-b": "x"}, ["y"]]',
    "{{ item._private }}": "kept",
    "{{ sample.output_text }}": "{{ item.q }}",
    '{"a": {"b": 1}} {% raw %} }}': '{"a": {"b": 1}} {% raw %} }}',
    "": "",
}


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_written(text: str):
    assert parse(text, "input").render(NAMES) == RIGHT[text]


WRONG = [
    "{{item.__class__}}",
    "{{ item.q.__class__.__mro__ }}",
    "{{ item['__class__'] }}",
    "{{env.X}}",
    "{{ items.x }}",
    "{{ item }}",
    "{{ }}",
    "{{sample.output_text|attr('x')}}",
    "{{ item.q + item.q }}",
    "{{ item.f() }}",
    "{{ item.q",
    "{{ item.a b }}",
    "{{ item.list[-1] }}",
    "{{ item..q }}",
    "{{ item.q. }}",
    "{{ item[0 }}",
    "{{ range(10**9) }}",
    "{{ {{ item.q }} }}",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_path(text: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(text, "grader.input")
    assert (caught.value.code, caught.value.param) == ("invalid_template", "grader.input")
    assert "only item.* and sample.* paths" in caught.value.message


@pytest.mark.parametrize(
    "path", ["item.absent", "item.q.x", "item.q[0]", "item.deep.list[9]", "sample.output_json.a"]
)
def test_what_is_not_there_is_named(path: str):
    with pytest.raises(MissingVariable) as caught:
        parse(f"a {{{{ {path} }}}}", "input").render(NAMES)
    assert caught.value.path.text == path


def test_many_braces_take_no_time_to_speak_of():
    with pytest.raises(InvalidRequest):
        parse("{{" * 500_000, "input")


@given(st.text())
def test_any_text_is_refused_or_comes_back(text: str):
    try:
        template = parse(text, "input")
    except InvalidRequest:
        assert "{{" in text
    else:
        assert template.paths or template.render(NAMES) == text


@given(st.text())
def test_values_are_inert(value: str):
    assert parse("{{ item.v }}", "input").render({"item": {"v": value}, "sample": {}}) == value
