"""The peer's legs of `serve`: transformers' `generate()` on padded batches, and PEFT's adapters one after the other."""

import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.legs import peak_bytes
from bench.requests import Sampled, Sampling, Wanted

PAD = 0
Model = PreTrainedModel | PeftModel


def generate(connection: Connection, given: Sampling) -> None:
    """A leg that answers all requests in batches of the base model."""
    torch.set_num_threads(given.threads)
    answer(connection, given, base(given), batches(given))


def peft_loop(connection: Connection, given: Sampling) -> None:
    """A leg that answers the requests of one adapter after the other."""
    torch.set_num_threads(given.threads)
    model = PeftModel.from_pretrained(base(given), str(given.adapters[0]), adapter_name="0")
    for number, folder in enumerate(given.adapters):
        if number:
            model.load_adapter(str(folder), adapter_name=str(number))
    answer(connection, given, model.eval(), by_adapter(given))


def base(given: Sampling) -> PreTrainedModel:
    """The base model. Nothing but the number of tokens ends an answer."""
    model = AutoModelForCausalLM.from_pretrained(given.base, dtype=given.dtype).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = PAD
    return model


def batches(given: Sampling) -> Iterator[list[int]]:
    """Requests as they come, so many at once."""
    numbers = list(range(len(given.requests)))
    return (numbers[i : i + given.rows] for i in range(0, len(numbers), given.rows))


def by_adapter(given: Sampling) -> Iterator[list[int]]:
    """All requests of one adapter are one batch."""
    for adapter in range(len(given.adapters)):
        yield [i for i, wanted in enumerate(given.requests) if wanted.adapter == adapter]


def answer(connection: Connection, given: Sampling, model: Model, groups: Iterator[list[int]]) -> None:
    """Answer each time we are asked."""
    order = list(groups)
    connection.send("ready")
    while connection.recv() is not None:
        begun = time.perf_counter()
        ids: dict[int, tuple[int, ...]] = {}
        for group in order:
            if isinstance(model, PeftModel):
                model.set_adapter(str(given.requests[group[0]].adapter))
            ids |= zip(group, continued(model, [given.requests[i] for i in group]), strict=True)
        seconds = time.perf_counter() - begun
        connection.send(Sampled(seconds, tuple(ids[i] for i in sorted(ids)), peak_bytes()))


@torch.inference_mode()
def continued(model: Model, wanted: list[Wanted]) -> list[tuple[int, ...]]:
    """One batch, padded on the left; it runs until its longest answer is there, of which each row keeps its own."""
    width = max(len(one.prompt) for one in wanted)
    ids = torch.full((len(wanted), width), PAD)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(wanted):
        ids[row, width - len(one.prompt) :] = torch.tensor(one.prompt)
        mask[row, width - len(one.prompt) :] = 1
    longest = max(one.tokens for one in wanted)
    lengths = {"max_new_tokens": longest, "do_sample": False}
    out = model.generate(input_ids=ids, attention_mask=mask, **lengths)  # type: ignore - both kinds have it
    rows = out[:, width:].tolist()
    return [tuple(row[: one.tokens]) for row, one in zip(rows, wanted, strict=True)]
