"""The rate at which this machine multiplies matrices of a model's shapes: what counts as all of it."""

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.flops import linears
from bench.products import Products, Rates

REPEATS = 5
ATTEMPT = 0.05  # seconds of one reading


@dataclass(frozen=True)
class Operands:
    """One frozen linear and its input."""

    x: Tensor
    weight: Tensor

    @property
    def flops(self) -> float:
        """Of one product."""
        return 2.0 * self.x.shape[0] * self.weight.numel()


def measure(connection: Connection, given: Products) -> None:
    """A leg that reads the rate of every shape, in operations a second."""
    torch.set_num_threads(given.threads)
    operands = {f"{a}x{b}": made(given, a, b) for a, b in set(linears(given.shape))}
    operands["head"] = made(given, given.shape.hidden, given.shape.vocabulary)
    connection.send("ready")
    with torch.inference_mode():
        while connection.recv() is not None:
            begun = time.perf_counter()
            rates = {name: rate(one) for name, one in operands.items()}
            connection.send(Rates(time.perf_counter() - begun, rates))


def made(given: Products, features_in: int, features_out: int) -> Operands:
    """Random numbers of the run's type."""
    dtype = getattr(torch, given.dtype)
    x = torch.randn(given.rows, features_in).to(dtype)
    return Operands(x, torch.randn(features_out, features_in).to(dtype))


def rate(one: Operands) -> float:
    """The best of some readings."""
    F.linear(one.x, one.weight)
    return max(reading(one) for _ in range(REPEATS))


def reading(one: Operands) -> float:
    """Operations a second over one twentieth of a second, at least one product."""
    count, begun = 0, time.perf_counter()
    while not count or time.perf_counter() - begun < ATTEMPT:
        F.linear(one.x, one.weight)
        count += 1
    return one.flops * count / (time.perf_counter() - begun)
