"""Grades: rewards, and failures that are never a reward of 0."""

import json

import pytest
from pydantic import TypeAdapter

from afina.errors import InvalidRequest, Unavailable
from afina.graders import sandbox
from afina.graders.check import check, first_absent
from afina.graders.grade import Embed, Grade, Means, grade, reply, require, sample_of
from afina.graders.judges import JsonObject, Said
from afina.graders.sandbox import Sandbox
from afina.schemas.graders import Grader, GraderTokens, JudgeSampling
from afina.schemas.wording import validated

GRADER: TypeAdapter[Grader] = TypeAdapter(Grader)
EXACT = {
    "type": "string_check",
    "name": "s",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
    "operation": "eq",
}
MESSAGES = [
    {"role": "system", "content": "Grade it."},
    {"role": "user", "content": [{"type": "input_text", "text": "{{ item.q }}"}, "{{ sample.output_text }}"]},
]
SCORE = {"type": "score_model", "name": "j", "model": "judge", "input": MESSAGES}
LABEL = {
    "type": "label_model",
    "name": "l",
    "model": "judge",
    "input": MESSAGES,
    "labels": ["good", "bad"],
    "passing_labels": ["good"],
}
ITEM: JsonObject = {"q": "Why?", "want": "yes"}


class Judge:
    """Says what it is told to say, and remembers what it was asked."""

    def __init__(self, text: str = "", *, error: Exception | None = None, refused: bool = False):
        self.text, self.error, self.refused = text, error, refused
        self.asked: list[tuple[str, list[JsonObject], JsonObject, JudgeSampling]] = []

    async def __call__(
        self, model: str, messages: list[JsonObject], *, form: JsonObject, sampling: JudgeSampling
    ) -> Said:
        self.asked.append((model, messages, form, sampling))
        if self.error:
            raise self.error
        return Said(self.text, model, GraderTokens(prompt_tokens=5, completion_tokens=2), self.refused)


async def graded(
    grader: dict, text: str = "yes", judge: Judge | None = None, embed: Embed | None = None
) -> Grade:
    means = Means(judge or Judge(), Sandbox(), embed)
    return await grade(GRADER.validate_python(grader), sample_of(text), ITEM, means=means)


def flags(found: Grade) -> set[str]:
    return {name for name, value in found.errors if value is True}


async def test_a_string_check():
    assert [(await graded(EXACT, text)).reward for text in ("yes", "Yes")] == [1, 0]


async def test_what_a_sample_is():
    named = {**EXACT, "reference": "{{ sample.output_json.a[1] }} {{ sample.choices[0].message.content }}"}
    assert (await graded({**named, "input": '2 {"a": [1, 2]}'}, '{"a": [1, 2]}')).reward == 1
    found = await graded(named, "no JSON")
    assert found.reward is None and flags(found) == {"sample_parse_error"}
    assert "sample.output_json.a[1]" in (found.reason or "")
    assert "output_json" not in sample_of("[" * 10_000) and "output_json" not in sample_of("NaN")


async def test_a_variable_that_is_missing_is_named_and_is_no_zero():
    found = await graded({**EXACT, "reference": "{{ item.answer.text }}"})
    assert found.reward is None and flags(found) == {"invalid_variable_error"}
    assert found.reason == "there is no item.answer.text"


async def test_a_score_is_read_and_kept_in_its_range():
    judge = Judge('{"steps": [], "result": 3.5}')
    assert (await graded(SCORE, judge=judge)).reward == 1
    assert (await graded({**SCORE, "range": [1, 5]}, judge=judge)).reward == 3.5
    assert (await graded({**SCORE, "range": [4, 5]}, judge=judge)).reward == 4
    model, messages, form, _ = judge.asked[0]
    assert model == "judge" and messages[1] == {"role": "user", "content": "Why?\nyes"}
    assert form["required"] == ["steps", "result"]


async def test_how_a_judge_is_sampled():
    judge = Judge('{"result": 1}')
    sampling = {
        "seed": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completions_tokens": 64,
        "reasoning_effort": "low",
    }
    assert (await graded({**SCORE, "sampling_params": sampling}, judge=judge)).reward == 1
    assert judge.asked[0][3].model_dump() == sampling


@pytest.mark.parametrize(
    "text", ["", "5", "null", '{"result": "5"}', '{"result": NaN}', '{"result": true}', '{"result": 1']
)
async def test_a_score_that_is_none(text: str):
    found = await graded(SCORE, judge=Judge(text))
    assert found.reward is None and flags(found) == {"model_grader_parse_error"}
    assert [one.tokens.total for one in found.said] == [7]


async def test_labels():
    for label, expected in (("good", 1), ("bad", 0)):
        judge = Judge(json.dumps({"steps": [], "result": label}))
        assert (await graded(LABEL, judge=judge)).reward == expected
    assert judge.asked[0][2]["properties"]["result"] == {"type": "string", "enum": ["good", "bad"]}  # type: ignore[index]
    assert flags(await graded(LABEL, judge=Judge('{"result": "fine"}'))) == {"model_grader_parse_error"}


async def test_a_judge_that_cannot_be_asked():
    found = await graded(SCORE, judge=Judge(error=Unavailable("The model is loading.")))
    assert found.reward is None and flags(found) == {"model_grader_server_error"}
    assert found.errors.model_grader_server_error_details == "The model is loading."
    assert flags(await graded(SCORE, judge=Judge(refused=True))) == {"model_grader_refusal_error"}


def multi(formula: str, **graders: dict) -> dict:
    return {"type": "multi", "graders": graders, "calculate_output": formula}


async def test_multi():
    found = await graded(multi("0.5 * a + j ^ 2", a=EXACT, j=SCORE), judge=Judge('{"result": 0.5}'))
    assert found.reward == 0.75 and found.sub_rewards == {"a": 1, "j": 0.5}
    single = {"type": "multi", "name": "m", "graders": {**EXACT, "name": "s"}, "calculate_output": "s * 2"}
    assert (await graded(single)).reward == 2


async def test_one_failure_is_the_failure_of_all():
    broken = {**EXACT, "reference": "{{ item.absent }}"}
    found = await graded(multi("a + b + j", a=EXACT, b=broken, j=SCORE), judge=Judge("?"))
    assert found.reward is None and found.sub_rewards == {"a": 1}
    assert flags(found) == {"invalid_variable_error", "model_grader_parse_error"}
    assert found.reason == "b: there is no item.absent"


async def test_a_formula_without_a_value():
    found = await graded(multi("1 / (a - 1)", a=EXACT))
    assert found.reward is None and flags(found) == {"formula_parse_error"} and found.sub_rewards == {"a": 1}


async def test_cosine_needs_an_encoder():
    cosine = {
        "type": "text_similarity",
        "name": "c",
        "input": "a",
        "reference": "b",
        "evaluation_metric": "cosine",
    }
    with pytest.raises(InvalidRequest, match="AFINA_ENCODER") as caught:
        await graded(cosine)
    assert caught.value.code == "grader_unavailable"

    async def embed(texts: list[str]) -> list[list[float]]:
        return [[0.6, 0.8] if text == "a" else [1.0, 0.0] for text in texts]

    assert (await graded(cosine, embed=embed)).reward == pytest.approx(0.6)


@pytest.mark.skipif(sandbox.missing() is not None, reason="no boundary here for python graders")
async def test_python_in_a_formula():
    python = {
        "type": "python",
        "name": "p",
        "source": "def grade(sample, item):\n    return len(sample['output_text']) / 4",
    }
    assert (await graded(multi("p * 2", p=python))).reward == 1.5
    found = await graded(multi("p", p={**python, "source": "def grade(sample, item):\n    return item['x']"}))
    assert found.reward is None and flags(found) == {"python_grader_runtime_error"}
    assert found.errors.python_grader_runtime_error_details == "KeyError: 'x' (line 2)"


async def test_the_reply_has_all_of_openais_fields():
    grader = GRADER.validate_python(multi("a + j", a=EXACT, j=SCORE))
    found = reply(
        grader, await graded(multi("a + j", a=EXACT, j=SCORE), judge=Judge('{"result": 0.5}'))
    ).wire()
    assert found["reward"] == 1.5 and found["sub_rewards"] == {"a": 1, "j": 0.5}
    tokens = {"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 0}
    assert found["model_grader_token_usage_per_model"] == {"judge": tokens}
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    assert (metadata["name"], metadata["type"], metadata["token_usage"]) == ("multi", "multi", 7)
    assert metadata["sampled_model_name"] == "judge" and len(metadata["errors"]) == 14


PYTHON = {"type": "python", "name": "p"}
SIMILAR = {
    "type": "text_similarity",
    "name": "t",
    "input": "a",
    "reference": "b",
    "evaluation_metric": "bleu",
}
GOOD = "def grade(sample, item):\n    return 1.0\n"
BAD: dict[str, tuple[object, str, str]] = {
    "no type": ({"name": "x"}, "grader.type", "Missing required parameter: 'grader.type'"),
    "unknown type": ({"type": "regex", "name": "x"}, "grader.type", "Supported values are: 'string_check'"),
    "no object": ("string_check", "grader", "expected an object"),
    "unknown field": ({**EXACT, "regex": True}, "grader.regex", "Unknown parameter"),
    "unknown operation": (
        {**EXACT, "operation": "regex"},
        "grader.operation",
        "'eq', 'ne', 'like' or 'ilike'",
    ),
    "unknown metric": ({**SIMILAR, "evaluation_metric": "chrf"}, "grader.evaluation_metric", "'rouge_l'"),
    "a template with a filter": (
        {**EXACT, "input": "{{ item.q|upper }}"},
        "grader.input",
        "only item.* and sample.*",
    ),
    "another namespace": (
        {**SIMILAR, "reference": "{{ env.HOME }}"},
        "grader.reference",
        "only item.* and sample.*",
    ),
    "a syntax error": (
        {**PYTHON, "source": "x = 1\n\ndef grade(:"},
        "grader.source",
        "line 3: invalid syntax",
    ),
    "no function": (
        {**PYTHON, "source": "x = 1"},
        "grader.source",
        "exactly one function grade(sample, item)",
    ),
    "two functions": ({**PYTHON, "source": GOOD * 2}, "grader.source", "exactly one function"),
    "one argument": (
        {**PYTHON, "source": "def grade(sample): return 1"},
        "grader.source",
        "exactly one function",
    ),
    "three arguments": (
        {**PYTHON, "source": "def grade(a, b, c): return 1"},
        "grader.source",
        "exactly one function",
    ),
    "asynchronous": ({**PYTHON, "source": "async " + GOOD}, "grader.source", "exactly one function"),
    "nested": ({**PYTHON, "source": "(" * 9999}, "grader.source", "."),
    "NUL": ({**PYTHON, "source": GOOD + "\0"}, "grader.source", "."),
    "too long": ({**PYTHON, "source": GOOD + "#" * 262_144}, "grader.source", "at most 262144 bytes"),
    "an image": ({**PYTHON, "source": GOOD, "image_tag": "2024"}, "grader.image_tag", "'2025-05-08'"),
    "range reversed": ({**SCORE, "range": [1, 0]}, "grader.range", "the smaller one first"),
    "range of three": ({**SCORE, "range": [0, 1, 2]}, "grader.range", "two numbers"),
    "no messages": ({**SCORE, "input": []}, "grader.input", "at least 1 item"),
    "a picture": (
        {**SCORE, "input": [{"role": "user", "content": {"type": "input_image", "image_url": "data:"}}]},
        "grader.input[0].content",
        "only text",
    ),
    "a message with a filter": (
        {**SCORE, "input": [{"role": "user", "content": "{{ a }}"}]},
        "grader.input[0].content",
        "only item.*",
    ),
    "a tool's message": (
        {**SCORE, "input": [{"role": "tool", "content": "a"}]},
        "grader.input[0].role",
        "'user'",
    ),
    "labels that are none": (
        {**LABEL, "passing_labels": ["great"]},
        "grader.passing_labels",
        "some of the labels",
    ),
    "labels twice": ({**LABEL, "labels": ["good", "good"]}, "grader.labels", "once"),
    "multi in multi": (multi("a", a=multi("b", b=EXACT)), "grader.graders.a.type", "Supported values are"),
    "twenty-one": (multi("a0", **{f"a{i}": EXACT for i in range(21)}), "grader.graders", "at most 20"),
    "none": (multi("1"), "grader.graders", "at least 1"),
    "a list": ({**multi("a"), "graders": [EXACT]}, "grader.graders", "an object of graders"),
    "a name with a space": (multi("1", **{"a b": EXACT}), "grader.graders", "letters, digits and _"),
    "a function's name": (multi("1", min=EXACT), "grader.graders", "no function's"),
    "a formula of none": (multi("a + c", a=EXACT), "grader.calculate_output", "no grader called 'c'"),
    "no formula": (multi("a +", a=EXACT), "grader.calculate_output", "column 4"),
    "a part that is wrong": (
        multi("a", a={**EXACT, "input": "{{ x }}"}),
        "grader.graders.a.input",
        "only item.*",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str):
    from afina.schemas.graders import ValidateGrader

    grader, param, words = BAD[name]
    with pytest.raises(InvalidRequest) as caught:
        check(validated(ValidateGrader, {"grader": grader}).grader)
    assert caught.value.param == param and words in caught.value.message


@pytest.mark.parametrize(
    "grader", [EXACT, SIMILAR, SCORE, LABEL, {**PYTHON, "source": GOOD, "image_tag": "2025-05-08"}]
)
def test_what_is_right_comes_back_as_it_came(grader: dict):
    check(GRADER.validate_python(grader))
    assert GRADER.validate_python(grader).model_dump() == grader
    nested = GRADER.validate_python({**multi("a", a=grader), "name": "m"})
    check(nested)
    assert nested.model_dump() == {**multi("a", a=grader), "name": "m"}


def test_functions_that_take_two():
    for head in ("sample, item, more=1", "*both", "sample, item, *, key=None", "s, i, /"):
        check(GRADER.validate_python({**PYTHON, "source": f"def grade({head}): return 1"}))


def test_what_an_item_lacks():
    grader = GRADER.validate_python(multi("a + j", a=EXACT, j=SCORE))
    assert first_absent(grader, ITEM) is None
    assert first_absent(grader, {"want": None}) == "item.q"
    assert first_absent(grader, {}) == "item.want"


def test_what_this_server_cannot_compute():
    require(GRADER.validate_python(EXACT), encoder=False)
    cosine = GRADER.validate_python(multi("t", t={**SIMILAR, "evaluation_metric": "cosine"}))
    require(cosine, encoder=True)
    with pytest.raises(InvalidRequest, match="AFINA_ENCODER"):
        require(cosine, encoder=False)
