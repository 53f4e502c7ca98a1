"""Make afina-tiny with one command: tokenizer, corpus, training, measurement, export.

Each stage leaves its result in the work folder and is skipped when it is there; --fresh starts over.
"""

import argparse
import json
import os
import shutil
import sys
from itertools import islice, product
from math import inf
from pathlib import Path

import corpus
import evaluate
import export
import sources
import subjects
import synthetic
import tokenizer
import torch
import train
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MEASURED_DOCUMENTS, FRESH_SUBJECTS, SHOWN_ANSWERS = 200, 200, 10


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of public data")
    add("--work", type=Path, default=HERE / "work", help="folder for everything in between")
    add("--out", type=Path, default=ROOT / "src" / "afina" / "base", help="folder of the model")
    add("--tokens", type=tokens, default=20_000_000, help="to read in all; a larger number later extends it")
    add("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads")
    add("--compile", action="store_true", help="a quarter faster, needs a C compiler")
    add("--fresh", action="store_true", help="forget what earlier runs left in the work folder")
    return parser.parse_args()


def tokens(text: str) -> int:
    """A number of tokens to read, such as 20e6: at least one step's."""
    count = float(text)
    if not train.TOKENS_PER_STEP <= count < inf:
        raise ValueError
    return int(count)


def forget(work: Path) -> None:
    """Remove what the stages left, and nothing else: the folder may hold more."""
    for stage in ("tokenizer", "corpus", "state"):
        shutil.rmtree(work / stage, ignore_errors=True)


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
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, data: Path, corpus_folder: Path
) -> export.Measured:
    """Return what the card shows, printed as it comes."""
    dev = data / "dev"
    measured = export.Measured()
    models = {"model": evaluate.neural(model), "5-gram": evaluate.ngrams(corpus_folder)}
    for (name, file), (kind, scores) in product(sources.HELD_OUT_FILES.items(), models.items()):
        documents = islice(sources.read(dev / file), MEASURED_DOCUMENTS)
        bits = evaluate.bits_per_byte(scores, words, documents)
        measured.bits_per_byte.setdefault(name, {})[kind] = bits
        print(f"measure {name:16} {kind:8} {bits:.3f} bits per byte", flush=True)
    for language in synthetic.LANGUAGES:
        held_out, seen = dev / sources.HELD_OUT_FILES["medquad"], dev / sources.TRAIN_FILES["medquad"]
        fresh = subjects.fresh(language, sources.read(held_out), sources.read(seen), FRESH_SUBJECTS)
        measured.naming[language] = evaluate.naming(model, words, language, fresh)
        print(
            f"measure subjects named ({language}), of {len(fresh)}: {measured.naming[language]:.0%}",
            flush=True,
        )
    questions = [
        d.messages[1]["content"] for d in islice(sources.read(dev / sources.SHOWN_FILE), SHOWN_ANSWERS)
    ]
    replies = evaluate.answers(model, words, questions)
    measured.answers.update(zip(questions, replies, strict=True))
    return measured


def main() -> None:
    """Run the stages in order."""
    args = arguments()
    sources.check(args.data)
    torch.set_num_threads(args.threads)
    if args.fresh:
        forget(args.work)
    words = make_tokenizer(args.data, args.work / "tokenizer")
    counts = make_corpus(args.data, args.work / "corpus", words)
    budget = train.Budget(args.tokens, args.compile)
    model, progress = train.train(args.work / "corpus", args.work / "state", budget)
    model.to(torch.bfloat16).float()  # What is measured is what is shipped: weights rounded to bf16.
    measured = measure(model, words, args.data, args.work / "corpus")
    figures = export.Figures(progress, sum(counts.values()), measured)
    print(f"export  {export.export(model, words, args.out, figures)}")


if __name__ == "__main__":
    try:
        main()
    except (sources.DataMissing, ValueError) as error:
        sys.exit(f"build: {error}")
    except KeyboardInterrupt:
        sys.exit("\nbuild: interrupted; the same command goes on from here")
