"""Biases by the ids that a client knows, for the model that answers."""

import base64
from pathlib import Path

import pytest

import afina.base
from afina.data.render import Renderer
from afina.errors import InvalidRequest, Unavailable
from afina.schemas.models import Model
from afina.serving.bias import encoding_of, translated
from afina.serving.names import Target

RENDERER = Renderer(afina.base.path())
BASE = Model(id="afina-tiny", created=1, owned_by="afina", kind="base", base="afina-tiny", source="bundled")
OWN, ALIASED = Target("afina-tiny", BASE, None), Target("gpt-4o-mini", BASE, None)
THEIRS = {0: b"!", 5: b" the", 7: b" extraordinarily", 9: b"\xc3"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    lines = (f"{base64.b64encode(token).decode()} {id}\n" for id, token in THEIRS.items())
    (tmp_path / "o200k_base.tiktoken").write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("ft:gpt-4o-2024-08-06:org::abc", "o200k_base"),
        ("ft:gpt-3.5-turbo:org::abc", "cl100k_base"),
        ("our-model", None),
        ("afina-tiny", None),
    ],
)
def test_whose_ids_a_name_speaks_of(name: str, encoding: str | None):
    assert encoding_of(Target(name, BASE, None)) == encoding


def test_own_ids_are_taken_as_they_are(tmp_path: Path):
    assert translated({"5": -100, "6": 0, "7": 0.5}, OWN, RENDERER, tmp_path) == {"5": -100.0, "7": 0.5}


@pytest.mark.parametrize("key", ["the", "-1", "8192", "1.5", "", "١", "9" * 5000])
def test_what_is_no_id(key: str, installed: Path):
    for target in (OWN, ALIASED):
        assert translated({key: 0}, target, RENDERER, installed) == {}, "a bias of zero changes nothing"
        with pytest.raises(InvalidRequest) as refused:
            translated({key: 1}, target, RENDERER, installed)
        assert (refused.value.param, len(refused.value.message) < 200) == ("logit_bias", True)


def test_the_ids_of_openai_are_translated_by_their_bytes(installed: Path):
    found = translated({"0": 1, "5": -100, "9": 2}, ALIASED, RENDERER, installed)
    assert found == {str(RENDERER.ids_by_bytes[THEIRS[id]]): bias for id, bias in ((0, 1), (5, -100), (9, 2))}


@pytest.mark.parametrize("id", ["7", "6"])
def test_what_is_no_single_token_here_is_refused_by_its_id(id: str, installed: Path):
    with pytest.raises(InvalidRequest, match=f"token {id} of o200k_base") as refused:
        translated({"5": 1, id: 1}, ALIASED, RENDERER, installed)
    assert refused.value.param == "logit_bias"


def test_without_the_vocabulary_nothing_is_guessed(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="not installed") as refused:
        translated({"5": 1}, ALIASED, RENDERER, tmp_path)
    assert refused.value.param == "logit_bias"
    assert translated({"5": 0}, ALIASED, RENDERER, tmp_path) == {}


def test_a_damaged_vocabulary_is_its_operators_affair(tmp_path: Path):
    (tmp_path / "o200k_base.tiktoken").write_text("IQ== zero\n")
    with pytest.raises(Unavailable):
        translated({"5": 1}, ALIASED, RENDERER, tmp_path)
