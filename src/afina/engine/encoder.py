"""A sentence encoder or text classifier: rows of token ids in, vectors or label scores out."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from afina.errors import AfinaError

PASS_TOKENS = 8192  # of one forward pass, padding included


class Encoder:
    """Rows do not see each other: a row's result depends on that row alone."""

    def __init__(self, model: nn.Module, *, pooling: str, pad: int):
        self._model = model.eval()
        self._pooling = pooling
        self._pad = pad

    @classmethod
    def open(cls, folder: Path, *, classifier: bool, threads: int) -> "Encoder":
        """Load a folder of safetensors; no code of the folder's is run."""
        torch.set_num_threads(threads)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        kind = AutoModelForSequenceClassification if classifier else AutoModel
        try:
            model = kind.from_pretrained(
                folder, config=config, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise AfinaError(f"the folder of the encoder cannot be loaded: {type(error).__name__}") from error
        pad = config.pad_token_id if isinstance(config.pad_token_id, int) else 0
        return cls(model, pooling="" if classifier else pooling_of(folder), pad=pad)

    @torch.inference_mode()
    def embed(self, rows: list[list[int]]) -> list[list[float]]:
        """A vector of unit length for each row."""
        found: dict[int, list[float]] = {}
        for places in passes(rows):
            ids, mask = self._padded([rows[place] for place in places])
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = nn.functional.normalize(self._pooled(hidden, mask), dim=-1)
            found |= zip(places, vectors.tolist(), strict=True)
        return [found[place] for place in range(len(rows))]

    @torch.inference_mode()
    def classify(self, rows: list[list[int]]) -> list[dict[str, float]]:
        """How likely each label is, for each row."""
        config = self._model.config
        several = config.problem_type == "multi_label_classification"
        found: dict[int, dict[str, float]] = {}
        for places in passes(rows):
            ids, mask = self._padded([rows[place] for place in places])
            logits = self._model(input_ids=ids, attention_mask=mask).logits
            scores = logits.sigmoid() if several else logits.softmax(-1)
            for place, row in zip(places, scores.tolist(), strict=True):
                found[place] = {config.id2label[label]: score for label, score in enumerate(row)}
        return [found[place] for place in range(len(rows))]

    def _padded(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both [rows, longest]."""
        longest = max(map(len, rows))
        ids = torch.tensor([row + [self._pad] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return ids, mask

    def _pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """[rows, longest, width] to [rows, width]: the first token, or the mean of all that are no padding."""
        if self._pooling == "cls":
            return hidden[:, 0]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)


def passes(rows: list[list[int]]) -> Iterator[list[int]]:
    """The places of rows that go through the model together: similar lengths, up to a budget of tokens."""
    group: list[int] = []
    for place in sorted(range(len(rows)), key=lambda place: -len(rows[place])):
        if group and len(rows[group[0]]) * (len(group) + 1) > PASS_TOKENS:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def pooling_of(folder: Path) -> str:
    """How a sentence-transformers folder makes one vector of many; without a word on it, the mean."""
    modules = folder / "modules.json"
    if modules.is_file():
        known = ("Transformer", "Pooling", "Normalize")
        for module in json.loads(modules.read_text("utf-8")):
            if module["type"].rpartition(".")[2] not in known:
                raise AfinaError(f"an encoder with a module {module['type']} cannot be served")
    file = folder / "1_Pooling" / "config.json"
    wanted = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    modes = {name.removeprefix("pooling_mode_") for name, on in wanted.items() if on is True} - {
        "include_prompt"
    }
    if modes <= {"mean_tokens"}:
        return "mean"
    if modes == {"cls_token"}:
        return "cls"
    raise AfinaError(f"an encoder that pools by {', '.join(sorted(modes))} cannot be served")
