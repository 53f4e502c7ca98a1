"""The recipe of the bundled model: what it asks about, what it reads, how it is measured, and how it resumes."""

import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from afina import base

RECIPE = Path(__file__).parents[2] / "recipes" / "base_model"


@pytest.fixture(scope="module")
def recipe() -> Iterator[type]:
    """The recipe's modules, which import each other by their plain names."""
    sys.path.insert(0, str(RECIPE))
    names = (
        "sources",
        "shape",
        "subjects",
        "synthetic",
        "ngram",
        "guide",
        "train",
        "corpus",
        "evaluate",
        "tokenizer",
        "export",
        "build",
    )
    try:
        yield type("Recipe", (), {name: __import__(name) for name in names})
    finally:
        sys.path.remove(str(RECIPE))
        for name in names:
            sys.modules.pop(name, None)


def conversations(recipe: type, language: str, count: int) -> list[str]:
    synthetic: ModuleType = recipe.synthetic
    material = synthetic.load(language, recipe.subjects.training(language, []))
    found = islice(synthetic.conversations(material, seed=3, count=count), count)
    return [json.dumps(document.messages, ensure_ascii=False) for document in found]


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_same_seed_makes_the_same_conversations_without_open_places(recipe: type, language: str):
    first = conversations(recipe, language, 400)
    assert first == conversations(recipe, language, 400)
    assert len(set(first)) > 300
    assert not [text for text in first if "{s}" in text or "{x}" in text or "{S}" in text]


@pytest.mark.parametrize("language", ["en", "es"])
def test_fresh_subjects_are_never_asked_about_in_training(recipe: type, language: str):
    seen = [question(recipe, "What is Lee syndrome?"), question(recipe, "What causes Ito disease?")]
    held_out = [question(recipe, "What is Lee syndrome?"), question(recipe, "What is Moss disease?")]
    training = set(recipe.subjects.training(language, seen))
    fresh = recipe.subjects.fresh(language, held_out, seen, 200)
    assert len(fresh) == 200 and len(training) > 1000
    assert not training & set(fresh)
    named = {"en": ("Lee syndrome", "Moss disease"), "es": ("el síndrome de Lee", "la enfermedad de Moss")}[
        language
    ]
    assert named[0] in training and named[1] in fresh


def test_a_subject_that_is_written_differently_is_not_fresh(recipe: type):
    composed = [
        subject for subject in recipe.subjects.composed("en") if recipe.subjects._is_held_out(subject)
    ]
    seen = [question(recipe, f"What is {subject.upper()}?") for subject in composed[:50]]
    twice = [question(recipe, "What is Moss disease?"), question(recipe, "What is moss disease?")]
    fresh = [subject.casefold() for subject in recipe.subjects.fresh("en", twice, seen, 100)]
    assert not {subject.casefold() for subject in composed[:50]} & {*fresh}
    assert fresh.count("moss disease") == 1


@pytest.mark.parametrize("text", ["0", "-1", "20", "nan", "inf", "many"])
def test_a_budget_that_trains_nothing_is_refused(recipe: type, text: str):
    with pytest.raises(ValueError):
        recipe.build.tokens(text)
    assert recipe.build.tokens("20e6") == 20_000_000


def test_starting_afresh_forgets_what_the_stages_left_and_nothing_else(recipe: type, tmp_path: Path):
    for name in ("tokenizer", "corpus", "state", "of somebody else"):
        (tmp_path / name).mkdir()
    recipe.build.forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["of somebody else"]


def question(recipe: type, text: str):
    return recipe.sources.Document(messages=[{"role": "user", "content": text}])


def test_the_ngram_model_equals_its_definition(recipe: type):
    random = np.random.default_rng(0)
    text, asked = random.integers(0, 4, 300).tolist(), random.integers(0, 5, 40).tolist()
    found = recipe.ngram.NGrams(text).logprobs(asked)
    assert found == pytest.approx(by_definition(text, asked, recipe.shape.VOCABULARY), abs=1e-9)


def test_the_ngram_model_gives_a_distribution(recipe: type, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recipe.ngram, "VOCABULARY", 16)
    text = np.random.default_rng(1).integers(0, 6, 500).tolist()
    model = recipe.ngram.NGrams(text)
    total = sum(math.exp(model.logprobs([*text[7:11], id])[-1]) for id in range(16))
    assert total == pytest.approx(1)


def by_definition(text: Sequence[int], asked: Sequence[int], vocabulary: int) -> list[float]:
    """Interpolated absolute discounting, counted with dictionaries."""
    grams = {n: Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for n in range(1, 6)}
    for n in range(1, 5):
        before = defaultdict[tuple[int, ...], set[int]](set)
        for gram in Counter(tuple(text[i : i + n + 1]) for i in range(len(text) - n)):
            before[gram[1:]].add(gram[0])
        grams[n] = Counter({gram: len(before[gram]) for gram in grams[n]})
    found: list[float] = []
    for place in range(1, len(asked)):
        probability = 1 / vocabulary
        for n in range(1, min(5, place + 1) + 1):
            context = tuple(asked[place - n + 1 : place])
            after = [count for gram, count in grams[n].items() if gram[:-1] == context and count]
            if after:
                kept = max(grams[n][(*context, asked[place])] - 0.75, 0)
                probability = (kept + 0.75 * len(after) * probability) / sum(after)
        found.append(math.log(probability))
    return found


def test_the_rate_warms_up_holds_and_decays(recipe: type):
    budget, progress = recipe.train.Budget(tokens=1_000_000), recipe.train.Progress
    peak = recipe.train.PEAK_RATE
    assert budget.rate(progress(step=0)) == pytest.approx(peak / recipe.train.WARMUP_STEPS)
    assert budget.rate(progress(step=500, tokens=500_000)) == peak
    assert budget.rate(progress(step=800, tokens=800_000)) == pytest.approx(peak / 2)
    read = [progress(tokens=n) for n in (0, 500_000, 920_000, 960_000)]
    assert [budget.length(at) for at in read] == [256, 512, 2048, 512]
    assert [budget.shares(at) for at in read] == [recipe.corpus.MIXTURE] * 3 + [recipe.corpus.FINISH]
    assert budget.rate(progress(step=1000, tokens=1_000_000)) == pytest.approx(peak * recipe.train.FLOOR)


@pytest.mark.parametrize(("stopped", "saved_every"), [(4, 0.0), (9, 0.0), (9, 60.0)])
def test_an_interrupted_training_ends_with_the_same_weights(
    recipe: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int, saved_every: float
):
    small = recipe.shape.config()
    small.num_hidden_layers, small.hidden_size, small.intermediate_size = 4, 32, 64
    monkeypatch.setattr(recipe.guide, "STEPS", range(3, 6))
    monkeypatch.setattr(recipe.train, "SAVE_EVERY_SECONDS", saved_every)
    monkeypatch.setattr(recipe.train, "TOKENS_PER_STEP", 128)
    monkeypatch.setattr(recipe.train, "LENGTHS", ((0.0, 32), (0.5, 128)))
    monkeypatch.setattr(recipe.shape, "config", lambda: small)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = np.random.default_rng(0).integers(0, 99, (4, recipe.corpus.ROW + 1))
    for name in recipe.corpus.MIXTURE:
        np.save(corpus / f"{name}.npy", rows.astype(np.uint16))
    budget = recipe.train.Budget(tokens=10 * 128)
    whole, _ = recipe.train.train(corpus, tmp_path / "whole", budget)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(recipe.train, "_print", stop_at(stopped))
        with pytest.raises(KeyboardInterrupt):
            recipe.train.train(corpus, tmp_path / "cut", budget)
    resumed, progress = recipe.train.train(corpus, tmp_path / "cut", budget)
    assert (progress.step, progress.tokens) == (10, 10 * 128)
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert ours.equal(theirs)


def test_attention_is_pulled_to_what_followed_the_same_token(recipe: type, monkeypatch: pytest.MonkeyPatch):
    ids = torch.tensor([[5, 6, 7, 5, 6]])
    looking = torch.full((1, 2, 5, 5), 1e-9)
    looking[0, 0, range(1, 5), range(4)] = 1  # Previous token.
    looking[0, 1, [3, 4], [1, 2]] = 1  # What followed 5, what followed 6.
    heads = recipe.guide.Head
    monkeypatch.setattr(recipe.guide, "PREVIOUS", (heads(0, 0),))
    monkeypatch.setattr(recipe.guide, "INDUCTION", (heads(0, 1),))
    assert recipe.guide.loss(ids, [looking]).item() == pytest.approx(0, abs=1e-5)
    assert recipe.guide.loss(ids, [looking.flip(1)]).item() > 10


def stop_at(step: int):
    """In place of the line that a step prints: an interrupt."""

    def interrupt(progress: object, _: float, **__: float) -> None:
        if progress.step == step:  # pyright: ignore[reportAttributeAccessIssue]
            raise KeyboardInterrupt

    return interrupt


def test_only_training_splits_are_read(recipe: type):
    names = list(recipe.sources.TRAIN_FILES.values())
    forbidden = ("valid", "test", "eval_only", "dpo", "preference", "rft", "medsafety", "phi", "pii", "orca")
    assert not [name for name in names if any(word in name for word in forbidden)]


def test_missing_files_are_listed(recipe: type, tmp_path: Path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "gsm8k_train.jsonl").touch()
    with pytest.raises(recipe.sources.DataMissing, match=r"lacks 13 of 14 files .* medquad_train\.jsonl, "):
        recipe.sources.check(tmp_path)


def test_half_of_what_is_read_is_spanish(recipe: type):
    spanish = sum(share for name, share in recipe.corpus.MIXTURE.items() if name.endswith("_es"))
    assert 0.45 <= spanish / (1 - recipe.corpus.MIXTURE["copies"]) <= 0.55
    for shares in (recipe.corpus.MIXTURE, recipe.corpus.FINISH):
        assert sum(shares.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(base.path())


def test_bits_are_counted_per_byte(recipe: type, tokenizer: PreTrainedTokenizerFast):
    def one_bit_each(ids: list[int]) -> np.ndarray:
        return np.full(len(ids) - 1, -math.log(2))

    digits = [recipe.sources.Document(text="1234")]  # Four tokens and the end; the first of them is given.
    assert recipe.evaluate.bits_per_byte(one_bit_each, tokenizer, digits) == pytest.approx(4 / 3)


def test_an_answer_names_its_subject_with_or_without_the_article(
    recipe: type, monkeypatch: pytest.MonkeyPatch
):
    replies = {
        "el asma": "Las causas del ASMA varían.",
        "la tos": "Depende de la persona.",
        "gota": "La gota.",
    }
    monkeypatch.setattr(recipe.evaluate, "answers", lambda *_: list(replies.values()))
    assert recipe.evaluate.naming(None, None, "es", list(replies)) == pytest.approx(2 / 3)


def test_the_card_shows_what_was_measured_and_every_source(recipe: type):
    measured = recipe.export.Measured(
        bits_per_byte={name: {"model": 0.71, "5-gram": 0.92} for name in recipe.sources.HELD_OUT_FILES},
        naming={"en": 0.83, "es": 0.97},
        answers={"A cough?": "One | two.\nThree.<|im_end|>", "Gout?": "It goes on and"},
    )
    progress = recipe.train.Progress(step=9000, tokens=20_000_000)
    card = recipe.export.card(recipe.export.Figures(progress, 12_345_678, measured))
    assert "(English) | 0.71 | 0.92 |" in card and "(Spanish) | 0.71 | 0.92 |" in card
    assert "83% of its English answers and in 97% of its Spanish ones" in card
    assert "| A cough? | One / two. Three. |" in card and "| Gout? | It goes on and ... |" in card
    assert "20.0 million tokens in 9,000 steps" in card and "12.3 million tokens" in card
    template = recipe.export.CARD.read_text(encoding="utf-8")
    assert [name for name in recipe.corpus.MIXTURE if f"{{share[{name}]:" not in template] == []
