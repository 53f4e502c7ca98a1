"""Forms that replies are held to: over their masks alone, and in an engine of random weights."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import numpy
import pytest

import tiny_base
from afina.data.render import Renderer
from afina.engine import grammar
from afina.engine.engine import Engine
from afina.engine.grammar import Grammars, fault
from afina.engine.types import SamplingParams
from afina.errors import FormTooComplex
from afina.schemas.structure import EitherForm, Form, JsonForm, Tag, TagsForm, TriggeredForm

SHAPE = {
    "type": "object",
    "properties": {"dose": {"type": "integer", "minimum": 1, "maximum": 9}, "drug": {"enum": ["a", "ñ"]}},
    "required": ["dose", "drug"],
    "additionalProperties": False,
}
SHAPED = JsonForm(json_schema=SHAPE)
TAGS = [
    Tag(begin=f'<tool_call>\n{{"name": "{n}", "arguments": ', content=SHAPED, end="}\n</tool_call>")
    for n in "fg"
]
ONE = TagsForm(tags=TAGS, separator="\n", stop_after_first=True)
FREE = TriggeredForm(triggers=["<tool_call>"], tags=TAGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def renderer(folder: Path) -> Renderer:
    return Renderer(folder)


@pytest.fixture(scope="module")
def grammars(folder: Path, renderer: Renderer) -> Grammars:
    return Grammars(folder / "tokenizer.json", vocab_size=tiny_base.VOCABULARY, stop_ids=renderer.stop_ids)


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[Engine]:
    engine = await Engine.open(folder, threads=1)
    yield engine
    await engine.close()


def allowed(bits: bytes) -> list[int]:
    return numpy.flatnonzero(
        numpy.unpackbits(numpy.frombuffer(bits, numpy.uint8), bitorder="little")
    ).tolist()


@pytest.fixture
def walk(grammars: Grammars, renderer: Renderer) -> Callable[..., tuple[str, bool]]:
    """What comes of choosing among the allowed by chance, and whether it came to an end."""

    def choose(form: Form, seed: int, most: int = 200) -> tuple[str, bool]:
        matcher, chance, ids = grammars.compiled(form).start(), random.Random(seed), list[int]()
        while len(ids) < most and not matcher.over:
            found = allowed(matcher.allowed())
            assert found, "there is always a way on"
            ids.append(chance.choice(found))
            if ids[-1] in renderer.stop_ids:
                return renderer.decode(ids), True
            matcher.take(ids[-1])
        return renderer.decode(ids), matcher.over

    return choose


def obeys(value: dict) -> bool:
    return list(value) == ["dose", "drug"] and value["dose"] in range(1, 10) and value["drug"] in ("a", "ñ")


def call(text: str) -> dict:
    inner = text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    return json.loads(inner)


@pytest.mark.parametrize("seed", range(20))
def test_a_schema_is_obeyed_by_whatever_may_be_said(walk, seed: int):
    text, ended = walk(SHAPED, seed)
    assert ended and obeys(json.loads(text))


@pytest.mark.parametrize("seed", range(10))
def test_a_call_is_one_of_the_functions(walk, renderer: Renderer, seed: int):
    text, ended = walk(ONE, seed)
    found = call(text)
    assert ended and found["name"] in ("f", "g") and obeys(found["arguments"])
    several, _ = walk(TagsForm(tags=TAGS, separator="\n"), seed, 400)
    for part in several.split("\n<tool_call>")[:-1]:
        assert obeys(call("<tool_call>" * (part[0] == "\n") + part)["arguments"])
    text, ended = walk(EitherForm(elements=[SHAPED, ONE]), seed)
    assert ended and obeys(json.loads(text) if text.startswith("{") else call(text)["arguments"])


def test_the_tag_that_is_a_token_is_that_token(grammars: Grammars, renderer: Renderer):
    token = renderer.ids_by_bytes[b"<tool_call>"]
    assert allowed(grammars.compiled(ONE).start().allowed()) == [token]
    matcher = grammars.compiled(FREE).start()
    assert {token, *renderer.stop_ids, renderer.ids_by_bytes[b" the"]} <= set(allowed(matcher.allowed()))
    matcher.take(token)
    assert len(allowed(matcher.allowed())) == 1, "behind it stands what every call begins with"


def test_free_text_cannot_spell_the_tag(grammars: Grammars, renderer: Renderer):
    matcher = grammars.compiled(FREE).start()
    for letter in b"<tool_call":
        matcher.take(renderer.ids_by_bytes[bytes([letter])])
    assert renderer.ids_by_bytes[b">"] not in allowed(matcher.allowed())


def test_a_tokenizer_without_the_tag_spells_it(folder: Path, tmp_path: Path, renderer: Renderer):
    described = json.loads((folder / "tokenizer.json").read_text())
    described["added_tokens"] = [token for token in described["added_tokens"] if token["special"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    plain = Grammars(tmp_path / "tokenizer.json", vocab_size=tiny_base.VOCABULARY, stop_ids=renderer.stop_ids)
    for form in (ONE, FREE, FREE.model_copy(update={"stop_after_first": True})):
        matcher = plain.compiled(form).start()
        for letter in b'<tool_call>\n{"name": "g", "arguments": {"dose":3,"drug":"a"}}\n</tool_call>':
            id = renderer.ids_by_bytes[bytes([letter])]
            if id not in allowed(matcher.allowed()):  # forced text has to be cut as the tokenizer cuts it
                break
            matcher.take(id)
        assert allowed(matcher.allowed())


def test_white_space_comes_to_an_end(grammars: Grammars, renderer: Renderer):
    matcher = grammars.compiled(SHAPED).start()
    space, taken = renderer.ids_by_bytes[b" "], 0
    matcher.take(renderer.ids_by_bytes[b"{"])
    matcher.take(renderer.ids_by_bytes[b"\n"])
    while space in allowed(matcher.allowed()):
        matcher.take(space)
        taken += 1
    assert taken == 16


def test_grammars_are_kept_by_their_form_and_not_for_ever(grammars: Grammars, monkeypatch):
    assert grammars.compiled(SHAPED) is grammars.compiled(JsonForm(json_schema=dict(SHAPE)))
    assert grammars.compiled(SHAPED) is not grammars.compiled(ONE)
    monkeypatch.setattr(grammar, "MOST", 2)
    for most in range(5):
        grammars.compiled(JsonForm(json_schema={"type": "integer", "maximum": most}))
    assert len(grammars.kept) == 2


def test_what_cannot_be_compiled_is_said(grammars: Grammars):
    with pytest.raises(FormTooComplex):
        grammars.compiled(JsonForm(json_schema={"type": "magic"}))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "magic"},
        {"$ref": "#"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/$defs/absent"},
        {"type": "string", "pattern": "("},
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"enum": []},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(900)}},
    ],
    ids=lambda schema: next(iter(schema.items()))[0],
)
def test_a_schema_that_no_reply_can_have(schema: dict):
    assert fault(JsonForm(json_schema=schema), lenient=True)


@pytest.mark.parametrize("keyword", ["not", "if", "uniqueItems", "contains", "dependentRequired"])
def test_keywords_that_cannot_be_held(keyword: str):
    schema = {"type": "array", keyword: {"type": "string"}}
    assert keyword in (fault(JsonForm(json_schema=schema), lenient=False) or "")
    own_rules = {**schema, "x-guidance": {"lenient": True}}
    assert fault(JsonForm(json_schema=own_rules), lenient=False), "a schema does not choose how it is read"
    assert fault(JsonForm(json_schema={**SHAPE, "description": "d"}), lenient=False) is None


async def collect(engine: Engine, params: SamplingParams) -> list[int]:
    return [token.id async for token in engine.sample(None, [1, 300, 301], params)]


async def test_rows_with_forms_leave_the_others_as_they_are(
    engine: Engine, grammars: Grammars, renderer: Renderer
):
    free = [SamplingParams(max_tokens=30, temperature=t, seed=5) for t in (0, 1.3)]
    held = [
        SamplingParams(max_tokens=200, temperature=2, seed=seed, grammar=grammars.compiled(form))
        for seed in range(4)
        for form in (SHAPED, ONE)
    ]
    alone = [await collect(engine, params) for params in (*free, *held)]
    together = await asyncio.gather(*(collect(engine, params) for params in (*free, *held)))
    assert together == alone
    texts = [renderer.decode(ids) for ids in together[2:]]
    assert all(obeys(json.loads(text)) for text in texts[::2])
    assert all(obeys(call(text)["arguments"]) for text in texts[1::2])


async def test_a_complete_form_ends_the_reply(engine: Engine, grammars: Grammars, renderer: Renderer):
    params = SamplingParams(max_tokens=200, temperature=0, grammar=grammars.compiled(SHAPED))
    tokens = [token async for token in engine.sample(None, [1], params)]
    assert [token.finish for token in tokens] == [None] * (len(tokens) - 1) + ["stop"]
    assert tokens[-1].id not in renderer.stop_ids and renderer.decode([tokens[-1].id]).endswith("}")
    short = SamplingParams(max_tokens=3, temperature=0, grammar=grammars.compiled(SHAPED))
    assert [token.finish async for token in engine.sample(None, [1], short)][-1] == "length"


class Stuck:
    """A form in which nothing can be said."""

    over = False

    def start(self) -> "Stuck":
        return self

    def allowed(self) -> bytes:
        return bytes(tiny_base.VOCABULARY // 8)

    def take(self, id: int) -> None:
        raise AssertionError


async def test_a_form_that_is_stuck_ends_its_row_alone(engine: Engine):
    free = SamplingParams(max_tokens=20, temperature=0)
    other = asyncio.create_task(collect(engine, free))
    with pytest.raises(FormTooComplex, match="too complex"):
        await collect(engine, SamplingParams(grammar=Stuck()))
    assert await other == await collect(engine, free)
    async with aclosing(engine.sample(None, [1], free)) as tokens:
        assert await anext(tokens)


def test_what_is_kept_is_bounded_by_its_text(grammars: Grammars, monkeypatch: pytest.MonkeyPatch):
    first = grammars.compiled(SHAPED)
    assert grammars.compiled(SHAPED) is first
    monkeypatch.setattr(grammar, "MOST_TEXT", first.size + 10)
    other = JsonForm(json_schema={"enum": ["x" * 20]})
    assert grammars.compiled(other).size > 10 and list(grammars.kept.values()) == [grammars.compiled(other)]
    assert grammars.compiled(SHAPED) is not first
    monkeypatch.setattr(grammar, "MOST_TEXT", first.size - 1)
    assert grammars.compiled(JsonForm(json_schema={**SHAPE, "title": "t"})) and not grammars.kept
