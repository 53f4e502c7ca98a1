"""Turn documents into rows of token ids, one file of rows per source, and say how sources are mixed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import sources
import subjects
import synthetic
from shape import END_OF_TEXT_ID, SPECIAL, VOCABULARY
from sources import Document
from transformers import PreTrainedTokenizerFast

ROW = 512
SYNTHETIC_PER_LANGUAGE = 40_000
# Share of the training tokens by source. About half is Spanish, though most of the public text is English.
MIXTURE = {
    "synthetic_en": 0.09, "medquad": 0.37, "gsm8k": 0.01, "pubmedqa": 0.005, "mts_dialog": 0.005,
    "aci_bench": 0.01, "self_instruct": 0.005, "rasbt": 0.01, "toolcall": 0.005, "copies": 0.02,
    "synthetic_es": 0.21, "meddocan_es": 0.13, "casimedicos_es": 0.11, "casimedicos_en": 0.02,
}  # fmt: skip
# At the very end more is asked and answered, in English above all: a model answers like what it read last.
FINISH = {
    "synthetic_en": 0.30, "medquad": 0.28, "gsm8k": 0.01, "pubmedqa": 0.005, "mts_dialog": 0.005,
    "aci_bench": 0.01, "self_instruct": 0.005, "rasbt": 0.01, "toolcall": 0.005, "copies": 0.02,
    "synthetic_es": 0.13, "meddocan_es": 0.08, "casimedicos_es": 0.12, "casimedicos_en": 0.02,
}  # fmt: skip


def documents(data: Path) -> Iterator[tuple[str, Iterable[Document]]]:
    """Yield each source's name and its documents."""
    for name, file in sources.TRAIN_FILES.items():
        yield name, sources.read(data / "dev" / file)
    for seed, language in enumerate(synthetic.LANGUAGES):
        asked = subjects.training(language, sources.read(data / "dev" / sources.TRAIN_FILES["medquad"]))
        material = synthetic.load(language, asked)
        yield (
            f"synthetic_{language}",
            synthetic.conversations(material, seed=seed, count=SYNTHETIC_PER_LANGUAGE),
        )


def texts(data: Path, per_source: int = 3_000_000) -> Iterator[str]:
    """Yield text for the tokenizer: of each source what its share allows, at most per_source characters."""
    for name, docs in documents(data):
        budget, taken = int(per_source * min(1.0, MIXTURE[name] / 0.1)), list[str]()
        for document in docs:
            text = document.text or "\n".join(str(m.get("content") or "") for m in document.messages)
            taken.append(text)
            budget -= len(text)
            if budget < 0:
                break
        # A small Spanish file counts as often as it will be seen, or its words would get no merges.
        for _ in range(4 if name in ("casimedicos_es", "meddocan_es") else 1):
            yield from taken


def encode(document: Document, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return the ids of one document, closed by the end-of-text token."""
    text = document.text
    if document.messages:
        text = tokenizer.apply_chat_template(document.messages, tools=document.tools, tokenize=False)
    return [*tokenizer.encode(text, add_special_tokens=False), END_OF_TEXT_ID]


def build(data: Path, folder: Path, tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Write rows of ROW + 1 ids (inputs and next tokens) for each source; return its number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for name, docs in documents(data):
        ids = np.fromiter((i for d in _shuffled(docs) for i in encode(d, tokenizer)), dtype=np.uint16)
        rows = len(ids) // (ROW + 1)
        np.save(folder / f"{name}.npy", ids[: rows * (ROW + 1)].reshape(rows, ROW + 1))
        counts[name] = len(ids)
        print(f"corpus  {name:16} {len(ids):>10,} tokens  share {MIXTURE[name]:.2f}", flush=True)
    np.save(folder / "copies.npy", copies(folder))
    (folder / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")
    return counts


def copies(folder: Path, count: int = 3000) -> np.ndarray:
    """Return rows of random tokens that come again and again: what teaches attention to look back for a name."""
    random = np.random.default_rng(0)
    real = np.concatenate(
        [np.load(folder / f"{name}.npy")[:400].ravel() for name in MIXTURE if name != "copies"]
    )
    every = np.arange(len(SPECIAL), VOCABULARY)
    rows = np.empty((count, ROW + 1), dtype=np.uint16)
    for row in rows:
        spans: list[np.ndarray] = []
        while sum(map(len, spans)) < len(row):
            # Half of the spans are of any ids, half of ids as often as they come in text.
            known = real if random.random() < 0.5 else every
            span = random.choice(known, size=random.integers(4, 40))
            spans += [span] * random.integers(2, 5)
        row[:] = np.concatenate(spans)[: len(row)]
    return rows


class Mixture:
    """Spans of text drawn by share; those of a step depend on the seed and the step alone, so a run can resume."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self._ids = [np.load(folder / f"{name}.npy", mmap_mode="r").reshape(-1) for name in MIXTURE]
        self._seed = seed

    def rows(
        self, step: int, count: int, length: int, *, shares: Mapping[str, float] = MIXTURE
    ) -> np.ndarray:
        """Return [count, length + 1] ids for a step."""
        random = np.random.default_rng([self._seed, step])
        chosen = random.choice(len(self._ids), size=count, p=[shares[name] for name in MIXTURE])
        return np.stack([self._span(random, source, length) for source in chosen])

    def repeats(self, step: int, count: int, length: int) -> np.ndarray:
        """Return [count, length + 1] ids in which spans come again, for a step."""
        random, source = np.random.default_rng([self._seed, step, 1]), list(MIXTURE).index("copies")
        return np.stack([self._span(random, source, length) for _ in range(count)])

    def _span(self, random: np.random.Generator, source: int, length: int) -> np.ndarray:
        ids = self._ids[source]
        start = random.integers(len(ids) - length)
        return ids[start : start + length + 1].astype(np.int64)


def _shuffled(docs: Iterable[Document]) -> list[Document]:
    listed = list(docs)
    np.random.default_rng(0).shuffle(listed)  # type: ignore[arg-type]
    return listed
