"""What goes into the engine and what comes out of it: plain frozen values, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

# The linears of attention and of what follows it, as the families name them; each base model has some of these.
LINEARS = (
    *("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj"),
    *("gate_proj", "up_proj", "gate_up_proj", "down_proj"),
)

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """The shape of a LoRA adapter; `seed` alone decides its first values.

    Without `targets`, it changes all of `LINEARS` that the base model has.
    """

    rank: int = 16
    alpha: float = 16.0
    rslora: bool = False
    targets: tuple[str, ...] | None = None
    seed: int = 0

    @property
    def scale(self) -> float:
        """What the adapter's product is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)


@dataclass(frozen=True, slots=True)
class FullSpec:
    """All weights of the base model itself, with no adapter beside it; `seed` decides what is left to chance."""

    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """Token ids with the loss weight of each; with a parent, they continue the parent's ids.

    `weights[i]` belongs to predicting `ids[i]` from everything before it. The first token of a sequence
    without parent has nothing before it: its weight is not used. `parent` is an earlier index within the same
    batch. Sequences with the same `group` reach the loss together.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    parent: int | None = None
    group: int | None = None

    @property
    def supervised(self) -> tuple[int, ...]:
        """The places in `ids` that are predicted and weigh something."""
        first = 1 if self.parent is None else 0
        return tuple(i for i in range(first, len(self.ids)) if self.weights[i] != 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """The sequences of one forward_backward.

    They are computed in passes of at most `token_budget` tokens (a longer sequence is a pass of its own, and a prefix
    that several share may be a third of one, however long), so the budget decides the result's last bits: fix it per
    run. The summed loss is divided by `denominator`, which is the total weight of the supervised tokens unless it is
    given.
    """

    sequences: tuple[Sequence, ...]
    token_budget: int = 2048
    denominator: float | None = None


@dataclass(frozen=True, slots=True)
class LossReport:
    """Loss over the batch's denominator, weighted share of arg-max hits, and the total weight supervised.

    `sums` has the summed log-probability of each supervised sequence before the step, in the batch's order of groups.
    """

    mean: float
    accuracy: float
    weight: float
    sums: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class AdamW:
    """One optimizer step: decoupled weight decay; gradients clipped to the global norm `max_norm`, if any."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    max_norm: float | None = 1.0


@dataclass(frozen=True, slots=True)
class StepReport:
    """Steps applied so far and the norm before clipping; not finite means that this step was not applied."""

    step: int
    grad_norm: float
    finite: bool


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Of one sequence's supervised tokens, in order: log-probability, and whether it was the likeliest one.

    `top` has, where it was asked for, the likeliest ids in each token's place with their log-probabilities.
    """

    values: tuple[float, ...]
    argmax: tuple[bool, ...]
    top: tuple[tuple[tuple[int, float], ...], ...] = ()


class Matcher(Protocol):
    """How far one reply has come in its grammar."""

    def allowed(self) -> bytes:
        """A bit for each id, lowest first, set where it may follow; none are where nothing can be said any more."""
        ...

    def take(self, id: int) -> None:
        """This id follows."""
        ...

    @property
    def over(self) -> bool:
        """Whether the reply is complete and nothing can follow."""
        ...


class Grammar(Protocol):
    """A form that replies are held to; any number of them follow it at once."""

    def start(self) -> Matcher:
        """The form at the beginning of a reply."""
        ...


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to continue a prompt; at temperature 0 the most likely token, without chance.

    `logprobs` asks for that many most likely tokens beside each one. Equal seeds give equal random numbers at
    equal positions, whatever else runs. A presence penalty is taken once from the logit of a token that was made, a
    frequency penalty for each time; `bias` adds to the logits of ids. `min_p` leaves tokens at least that likely
    beside the likeliest one. A reply is held to its `grammar` at each token, and ends where that is complete. What the
    prompt begins with is shared with prompts of the same `salt`.
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float = 0.0
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict[int, float])
    stop_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    grammar: Grammar | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token. The last one says why it is the last; a stop token is delivered like any other.

    Log-probabilities are the model's own, before all that its parameters do to them. `recalled` tokens of the prompt
    were known from earlier ones, and not computed again.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    finish: Finish | None = None
    recalled: int = 0
