"""Encoders: vectors equal to those of transformers, whoever else is in the pass, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

import tiny_encoder
from afina.engine import encoder as module
from afina.engine.encoder import Encoder, passes
from afina.errors import AfinaError

ROWS = [[2, 4, 5, 3], [2, 7, 3], [2, *range(4, 20), 3], [2, 8, 4, 7, 3]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder.make(tmp_path_factory.mktemp("encoder"))


def opened(folder: Path, *, classifier: bool = False) -> Encoder:
    return Encoder.open(folder, classifier=classifier, threads=1)


def states(folder: Path, row: list[int]) -> torch.Tensor:
    """What transformers makes of one row alone."""
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(torch.tensor([row])).last_hidden_state[0]


def test_mean_of_the_states_at_unit_length(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PASS_TOKENS", 20)
    for row, vector in zip(ROWS, opened(folder).embed(ROWS), strict=True):
        expected = torch.nn.functional.normalize(states(folder, row).mean(0), dim=-1)
        torch.testing.assert_close(torch.tensor(vector), expected, atol=1e-6, rtol=1e-5)


def test_the_first_token_where_the_folder_says_so(tmp_path: Path):
    folder = tiny_encoder.make(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 12, "pooling_mode_cls_token": True})
    )
    expected = torch.nn.functional.normalize(states(folder, ROWS[0])[0], dim=-1)
    torch.testing.assert_close(torch.tensor(opened(folder).embed(ROWS)[0]), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("several", [True, False])
def test_labels_as_transformers_scores_them(tmp_path: Path, several: bool):
    kind = "multi_label_classification" if several else "single_label_classification"
    folder = tiny_encoder.make_classifier(tmp_path, {0: "OK", 1: "H"}, problem_type=kind)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([ROWS[0]])).logits[0]
    expected = logits.sigmoid() if several else logits.softmax(-1)
    scores = opened(folder, classifier=True).classify(ROWS)[0]
    assert scores == pytest.approx({"OK": expected[0].item(), "H": expected[1].item()}, abs=1e-6)


def test_passes_hold_every_row_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PASS_TOKENS", 20)
    groups = list(passes(ROWS))
    assert sorted(place for group in groups for place in group) == [0, 1, 2, 3] and len(groups) == 2


@pytest.mark.parametrize(
    "file, text",
    [
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}]),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
    ],
)
def test_a_folder_that_would_be_served_wrongly_is_refused(tmp_path: Path, file: str, text: object):
    folder = tiny_encoder.make(tmp_path)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(text))
    with pytest.raises(AfinaError, match="cannot be served"):
        opened(folder)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path):
    folder = tiny_encoder.make(tmp_path)
    (folder / "model.safetensors").rename(folder / "elsewhere")
    with pytest.raises(AfinaError, match="cannot be loaded"):
        opened(folder)
