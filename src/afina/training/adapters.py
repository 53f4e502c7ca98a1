"""Whether an adapter fits a base, by the headers of the base's files: asked before anything is loaded."""

from afina.errors import InvalidRequest, clipped
from afina.schemas.adapters import AnyAdapter, Full
from afina.training.plan import BaseFacts


def check(adapter: AnyAdapter, base: BaseFacts) -> None:
    """Nothing, or a 400 that names the field, its value and its limit."""
    if isinstance(adapter, Full):
        return
    if adapter.rank > base.hidden_size:
        raise InvalidRequest(
            f"Invalid 'afina.adapter.rank': it is {adapter.rank}, and this base model is {base.hidden_size} wide; "
            f"choose a rank between 1 and {base.hidden_size}.",
            param="afina.adapter.rank",
            code="invalid_value",
        )
    unknown = sorted(set(adapter.targets or ()) - base.linears.keys())
    if unknown:
        raise InvalidRequest(
            f"Invalid 'afina.adapter.targets': this base model has no linear layers named "
            f"{', '.join(map(clipped, unknown))}; it has {', '.join(base.linears)}.",
            param="afina.adapter.targets",
            code="invalid_value",
        )
