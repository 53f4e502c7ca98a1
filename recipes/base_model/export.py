"""Write the finished model as a folder that transformers loads: weights, tokenizer, template, card, hash."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import shape
import torch
from corpus import MIXTURE
from train import Progress
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CARD = Path(__file__).with_name("card.md")
MAX_BYTES = 16_000_000


@dataclass
class Measured:
    """Bits per byte by held-out file and model, shares of subjects named by language, answers by question."""

    bits_per_byte: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    naming: dict[str, float] = field(default_factory=dict[str, float])
    answers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Figures:
    """What the card says about a build."""

    progress: Progress
    corpus_tokens: int
    measured: Measured


def export(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, figures: Figures
) -> Path:
    """Write the folder in bf16 and return the path of the weights."""
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        eos_token_id=shape.TURN_END_ID, pad_token_id=shape.END_OF_TEXT_ID
    )
    model.save_pretrained(folder)
    for place in ("is_local", "local_files_only"):  # Where it was loaded from is no property of the model.
        tokenizer.init_kwargs.pop(place, None)
    tokenizer.save_pretrained(folder)
    weights = folder / "model.safetensors"
    weights.chmod(0o644)
    if weights.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"The weights have {weights.stat().st_size:,} bytes; the package carries {MAX_BYTES:,}."
        )
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "SHA256").write_text(f"{digest}  {weights.name}\n", encoding="utf-8")
    (folder / "README.md").write_text(card(figures), encoding="utf-8")
    return weights


def card(figures: Figures) -> str:
    """Return the model card with its figures filled in."""
    progress = figures.progress
    measured = figures.measured
    answers = "\n".join(f"| {question} | {_cell(reply)} |" for question, reply in measured.answers.items())
    filled = {
        "tokens": f"{progress.tokens / 1e6:.1f}",
        "steps": f"{progress.step:,}",
        "corpus_tokens": f"{figures.corpus_tokens / 1e6:.1f}",
        "bits": measured.bits_per_byte,
        "naming": measured.naming,
        "share": MIXTURE,
        "spanish": sum(share for name, share in MIXTURE.items() if name.endswith("_es")),
        "answers": answers,
    }
    return CARD.read_text(encoding="utf-8").format(**filled)


def _cell(reply: str) -> str:
    """Show an answer in one table cell: no markers, no line breaks, and dots where it did not end."""
    ended = shape.TURN_END in reply
    words = " ".join(reply.replace(shape.TURN_END, "").replace("|", "/").split())
    return words if ended else f"{words} ..."
