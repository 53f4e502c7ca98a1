"""Tiny random models, adapters that do something, and transformers + PEFT as the judge."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from afina.engine import adapters, model
from afina.engine.adapters import Adapter
from afina.engine.engine import Engine
from afina.engine.packing import lineage
from afina.engine.types import AdapterSpec, Batch, Sequence
from tiny_families import CONFIGS, VOCABULARY


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a seeded random base model, made once."""
    made: dict[str, Path] = {}

    def make(name: str = "llama") -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(CONFIGS[name]()).save_pretrained(made[name])
        return made[name]

    return make


@pytest.fixture
async def engine(base: Callable[[str], Path]) -> AsyncIterator[Engine]:
    """An engine with the random Llama."""
    engine = await Engine.open(base("llama"), threads=1)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def stirred() -> Callable[..., Adapter]:
    """An adapter whose second factors are not zero, so that it changes what the model says."""

    def make(frozen: model.Model, spec: AdapterSpec | None = None, *, size: float = 0.3) -> Adapter:
        adapter = adapters.create(frozen, spec or AdapterSpec(rank=4, alpha=8.0, seed=3))
        generator = torch.Generator().manual_seed(adapter.spec.seed + 1)
        with torch.no_grad():
            for pair in adapter.share.pairs.values():
                pair.b.copy_(torch.randn(pair.b.shape, generator=generator) * size)
        return adapter

    return make


@pytest.fixture(scope="session")
def judge() -> Callable[[Path, Path | None], torch.nn.Module]:
    """The same model by transformers alone, with the same adapter by PEFT."""

    def make(folder: Path, adapter: Path | None = None) -> torch.nn.Module:
        plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        return plain if adapter is None else PeftModel.from_pretrained(plain, adapter, is_trainable=True)

    return make


@pytest.fixture(scope="session")
def one_by_one() -> Callable[[torch.nn.Module, Batch], list[torch.Tensor]]:
    """Log-probabilities of each sequence's supervised tokens, every sequence run alone with all it continues."""

    def score(network: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
        return [_alone(network, batch.sequences, i) for i in range(len(batch.sequences))]

    return score


def _alone(network: torch.nn.Module, sequences: tuple[Sequence, ...], index: int) -> torch.Tensor:
    ids = [token for i in lineage(sequences, index) for token in sequences[i].ids]
    before = len(ids) - len(sequences[index].ids)
    places = torch.tensor([before + i for i in sequences[index].supervised], dtype=torch.long)
    scores = torch.log_softmax(network(input_ids=torch.tensor([ids])).logits[0], dim=-1)
    return scores[places - 1, torch.tensor(ids)[places]]


@pytest.fixture(scope="session")
def plain_batch() -> Batch:
    """Three sequences of unequal length and weight, none continuing another."""
    return Batch(tuple(_sequence(n, seed) for n, seed in ((11, 0), (5, 1), (17, 2))))


@pytest.fixture(scope="session")
def shared_batch() -> Batch:
    """A system prompt, two prompts that continue it, answers to each, and one sequence alone; the second prompt is
    itself supervised, and both of the first prompt's answers are predicted from its last token."""
    return Batch(
        (
            _sequence(9, 0, weight=0.0),
            _sequence(5, 1, parent=0, weight=0.0),
            _sequence(6, 2, parent=1),
            _sequence(3, 3, parent=1),
            _sequence(4, 4, parent=0),
            _sequence(7, 5, parent=4),
            _sequence(8, 6),
        )
    )


@pytest.fixture
def pairs() -> Batch:
    """Two prompts, each with a chosen and a rejected answer."""
    sequences: list[Sequence] = []
    for group, (prompt, chosen, rejected) in enumerate([(9, 6, 4), (5, 3, 8)]):
        parent = len(sequences)
        sequences.append(_sequence(prompt, 20 + group, weight=0.0))
        for length in (chosen, rejected):
            answer = _sequence(length, 30 + len(sequences), parent=parent)
            sequences.append(replace(answer, group=group))
    return Batch(tuple(sequences))


def _sequence(length: int, seed: int, *, parent: int | None = None, weight: float = 1.0) -> Sequence:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
    weights = (weight * torch.rand(length, generator=generator).round(decimals=1)).tolist()
    return Sequence(tuple(ids), (weight, *weights[1:]), parent)
