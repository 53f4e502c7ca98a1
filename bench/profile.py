"""Where the time of one of our steps goes, by operation; run apart, because watching takes time too."""

import torch
from torch.profiler import ProfilerActivity, profile

from afina.data.tokens import TokenFile
from afina.engine import adapters, losses, model
from afina.engine.adapters import Adapter
from afina.engine.model import Model
from afina.engine.train import forward_backward
from afina.engine.types import Batch
from afina.host.runs import adapter_spec, start_folder
from afina.training.batches import batches
from afina.training.schedule import adamw_at
from bench.products import Operation
from bench.recipe import Task

WARM = 2
SHOWN = 25


def operations(task: Task) -> list[Operation]:
    """The most expensive operations of the third step, the rest as one."""
    spec = task.spec
    torch.set_num_threads(spec.threads)
    base, start = model.load(task.base, dtype=spec.dtype), start_folder(spec)
    assert start is not None
    adapter = adapters.load(base, adapter_spec(spec), start)
    steps = batches(spec, TokenFile.open(spec.training_tokens), start=0)
    rate = adamw_at(spec, step=1, total_steps=1)
    for _ in range(WARM):
        take(base, adapter, next(steps)[1])
        adapter.step(rate)
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        take(base, adapter, next(steps)[1])
        adapter.step(rate)
    found = sorted(watched.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in found)
    shown = [
        Operation(e.key, e.count, e.self_cpu_time_total / 1e3, e.self_cpu_time_total / total)
        for e in found[:SHOWN]
    ]
    rest, calls = sum(e.self_cpu_time_total for e in found[SHOWN:]), sum(e.count for e in found[SHOWN:])
    return [*shown, Operation("all others", calls, rest / 1e3, rest / total)]


def take(base: Model, adapter: Adapter, batch: Batch) -> None:
    """Forward and backward over one batch."""
    for _ in forward_backward(base, adapter, batch, losses.cross_entropy):
        pass
