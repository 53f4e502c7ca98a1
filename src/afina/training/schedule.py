"""How the optimizer is set at each step."""

from afina.engine.types import AdamW
from afina.schemas.runs import RunSpec

LAST_SHARE = 0.1


def adamw_at(spec: RunSpec, *, step: int, total_steps: int) -> AdamW:
    """Linear warm-up to the full rate at step `warmup_steps` (or 1), then linear decay to a tenth of it at the last."""
    peak = max(1, spec.warmup_steps)
    rise = step / peak
    fall = 1.0 - (1.0 - LAST_SHARE) * (step - peak) / max(1, total_steps - peak)
    return AdamW(
        lr=spec.learning_rate * min(rise, fall), weight_decay=spec.weight_decay, max_norm=spec.max_grad_norm
    )
