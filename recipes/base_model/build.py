"""Make afina-tiny with one command: tokenizer, corpus, training, measurement, export.

Each stage leaves its result in the work folder and is skipped when it is there; --fresh starts over.
"""

import argparse
import json
import os
import shutil
import sys
from itertools import islice
from pathlib import Path

import corpus
import evaluate
import export
import sources
import synthetic
import tokenizer
import torch
import train
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MEASURED_DOCUMENTS, MEASURED_SUBJECTS = 200, 50


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of public data")
    add("--work", type=Path, default=HERE / "work", help="folder for everything in between")
    add("--out", type=Path, default=ROOT / "src" / "afina" / "base", help="folder of the model")
    add("--minutes", type=float, default=10, help="training in all; a larger number later extends it")
    add("--rows", type=int, default=2, help="rows of 512 tokens in a step")
    add("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads")
    add("--compile", action="store_true", help="a quarter faster, needs a C compiler")
    add("--fresh", action="store_true", help="forget what earlier runs left in the work folder")
    return parser.parse_args()


def make_tokenizer(data: Path, folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of an earlier run, or train it."""
    if not (folder / "tokenizer.json").exists():
        trained = tokenizer.train(corpus.texts(data))
        trained.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def make_corpus(data: Path, folder: Path, words: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the number of tokens of each source, after writing their rows unless they are there."""
    counts = folder / "counts.json"
    return json.loads(counts.read_text()) if counts.exists() else corpus.build(data, folder, words)


def measure(
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, data: Path
) -> tuple[dict[str, float], dict[str, float], dict[str, str]]:
    """Return bits per byte, the share of subjects carried into answers, and sample answers; all are printed."""
    bits: dict[str, float] = {}
    for name, file in sources.HELD_OUT_FILES.items():
        documents = islice(sources.read(data / "dev" / file), MEASURED_DOCUMENTS)
        bits[name] = evaluate.bits_per_byte(model, words, documents)
        print(f"measure {name:16} {bits[name]:.3f} bits per byte", flush=True)
    held_out = synthetic.subjects_of(sources.read(data / "dev" / sources.HELD_OUT_FILES["medquad"]))
    asked = held_out[:: max(1, len(held_out) // MEASURED_SUBJECTS)]
    carried = {
        language: evaluate.carried(model, words, question, asked)
        for language, question in evaluate.ABOUT.items()
    }
    print(f"measure subjects carried into answers, of {len(asked)}: {carried}", flush=True)
    answers = {question: evaluate.answer(model, words, question) for question in evaluate.QUESTIONS}
    for question, reply in answers.items():
        print(f"measure {question} -> {reply}", flush=True)
    return bits, carried, answers


def main() -> None:
    """Run the stages in order."""
    args = arguments()
    sources.check(args.data)
    torch.set_num_threads(args.threads)
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    words = make_tokenizer(args.data, args.work / "tokenizer")
    counts = make_corpus(args.data, args.work / "corpus", words)
    budget = train.Budget(args.minutes, args.rows, args.compile)
    model, progress = train.train(args.work / "corpus", args.work / "state", budget)
    model.to(torch.bfloat16).float()  # What is measured is what is shipped: weights rounded to bf16.
    bits, carried, answers = measure(model, words, args.data)
    figures = export.Figures(progress, sum(counts.values()), bits, carried, answers)
    print(f"export  {export.export(model, words, args.out, figures)}")


if __name__ == "__main__":
    try:
        main()
    except (sources.DataMissing, ValueError) as error:
        sys.exit(f"build: {error}")
