"""`afina models-add --list`: the recommended bases, and which of them this build can train."""

from afina.cli.output import console, emit, show_table
from afina.intake import catalogue, memory
from afina.intake.catalogue import Recommended


def show(*, json: bool) -> None:
    """One line a base; what is an estimate is said to be one."""
    found = catalogue.read()
    if json:
        for base in found.bases:
            emit(document(base) | {"as_of": found.as_of.isoformat()})
        return
    columns = ("MODEL", "PARAMETERS", "CONTEXT", "HERE", "GPU BF16", "GPU QLORA", "LICENCE", "TRAINED HERE")
    show_table(columns, (row(base) for base in found.bases))
    console().print(
        f"\nAs of {found.as_of}. Memory is our estimate in GiB: HERE is what this build does, float32 and examples of "
        f"{memory.TOKENS} tokens; GPU is for examples of {catalogue.GPU_TOKENS} with each layer computed twice, "
        "and no build of ours does it yet. Details: --json",
        soft_wrap=True,
        markup=False,
    )


def row(base: Recommended) -> tuple[str, ...]:
    """One base as cells; a dash where we do not know."""
    sizes = (base.here(), base.on_gpu("bfloat16"), base.on_gpu("nf4"))
    return (
        base.hub_id,
        f"{base.parameters / 1e9:.1f} B" if base.parameters else "-",
        f"{base.context:,}" if base.context else "-",
        *(memory.gib(size) if size else "-" for size in sizes),
        base.licence,
        "yes" if base.obstacle is None else f"no: {base.obstacle}",
    )


def document(base: Recommended) -> dict[str, object]:
    """One base for programs."""
    return {
        "hub_id": base.hub_id,
        "licence": base.licence,
        "languages": base.languages,
        "thinking": base.thinking,
        "layers": base.layers,
        "context": base.context,
        "parameters": base.parameters,
        "estimated_memory_bytes": {
            "here": base.here(),
            "gpu_lora_bf16": base.on_gpu("bfloat16"),
            "gpu_qlora": base.on_gpu("nf4"),
        },
        "trained_by_this_build": base.obstacle is None,
        "obstacle": base.obstacle,
    }
