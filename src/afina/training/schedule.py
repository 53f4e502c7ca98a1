"""How the optimizer is set at each step."""

from afina.engine.types import AdamW
from afina.schemas.runs import RunSpec


def adamw_at(spec: RunSpec, *, step: int, total_steps: int) -> AdamW:
    """Linear warm-up over `warmup_steps`, then linear decay to a tenth of the rate at the last step (from 1)."""
    if step <= spec.warmup_steps:
        share = step / spec.warmup_steps
    else:
        share = 1.0 - 0.9 * (step - spec.warmup_steps) / max(1, total_steps - spec.warmup_steps)
    return AdamW(lr=spec.learning_rate * share, weight_decay=spec.weight_decay, max_norm=spec.max_grad_norm)
