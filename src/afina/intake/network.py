"""What `config.json` says of a network, read by a list of keys that are known to be harmless.

A key that is not on the list may change what is computed, or have code loaded: it is refused by its name.
"""

from dataclasses import dataclass
from pathlib import Path

from afina.data.strict_json import JsonObject, JsonValue
from afina.engine.families import FAMILIES, ROPES, lacking
from afina.errors import clipped
from afina.intake import documents
from afina.intake.kinds import KINDS, Kind
from afina.intake.unfit import Unfit

FILE = "config.json"
DOWNLOAD_AGAIN = "fetch the model's folder again, whole"
ANOTHER = "choose a base that this build can train: afina models-add --list"
NOT_AVAILABLE = "model_not_available"
NO_CODE = "choose a model without it, or take the key out: these families need no code of their own"

SIZES = {
    "vocab_size": 2**22,
    "hidden_size": 2**17,
    "intermediate_size": 2**19,
    "num_hidden_layers": 2**10,
    "num_attention_heads": 2**12,
    "num_key_value_heads": 2**12,
    "head_dim": 2**12,
    "max_position_embeddings": 2**24,
}
COMPUTED = {
    "model_type",
    "architectures",
    "hidden_act",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "pretraining_tp",
    "attention_dropout",
    "use_bidirectional_attention",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
}
# Written by libraries for themselves; nothing that is computed here depends on them.
INERT = {
    "_name_or_path",
    "dtype",
    "initializer_range",
    "is_llama_config",
    "rope_interleaved",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
}
REFUSED = {
    "auto_map": ("it asks for code of its own to be run", NO_CODE),
    "trust_remote_code": (
        "it asks for code of its own to be run",
        NO_CODE,
    ),
    "quantization_config": (
        "its weights are quantised, which this build does not train on",
        "choose the same model in bfloat16",
    ),
}
ROPE_NEEDS = {
    "linear": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


@dataclass(frozen=True)
class Network:
    """The sizes from which a model's tensors and its memory follow."""

    family: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    tied: bool
    attention_bias: bool
    mlp_bias: bool


def read(folder: Path) -> Network:
    """The network of a folder's `config.json`; raises `Unfit`."""
    return of(documents.read(folder / FILE, cure="name the folder that holds config.json and the weights"))


def of(config: JsonObject) -> Network:
    """The network that a configuration describes; raises `Unfit` for one that this build cannot train."""
    family = family_of(config)
    kind = KINDS[family]
    check_keys(config, kind)
    check_values(config, kind)
    check_ropes(config)
    heads, hidden = size(config, "num_attention_heads"), size(config, "hidden_size")
    network = Network(
        family=family,
        vocabulary=size(config, "vocab_size"),
        hidden=hidden,
        intermediate=size(config, "intermediate_size"),
        layers=size(config, "num_hidden_layers"),
        heads=heads,
        kv_heads=size(config, "num_key_value_heads", default=heads if family == "llama" else None),
        head_dim=size(config, "head_dim", default=kind.head_dim or max(1, hidden // heads)),
        context=size(config, "max_position_embeddings"),
        tied=flag(config, "tie_word_embeddings", default=kind.tied),
        attention_bias=flag(config, "attention_bias"),
        mlp_bias=flag(config, "mlp_bias"),
    )
    if network.heads % network.kv_heads:
        raise Unfit(FILE, "num_attention_heads is no multiple of num_key_value_heads", cure=DOWNLOAD_AGAIN)
    return network


def supported() -> list[str]:
    """The families that tests have shown exact and whose files we know how to judge."""
    return [family for family in KINDS if family in FAMILIES]


def obstacle(family: str) -> str | None:
    """What keeps a family from being a base here; None where nothing does."""
    if family not in FAMILIES:
        return lacking(family)
    return None if family in KINDS else "its files are not known here yet"


def family_of(config: JsonObject) -> str:
    """The family, one of the supported."""
    family = config.get("model_type")
    if not isinstance(family, str):
        raise Unfit(FILE, "model_type is missing", cure=DOWNLOAD_AGAIN)
    if why := obstacle(family):
        message = f"models of type {clipped(family)} are not supported: {why}. "
        raise Unfit(FILE, message + f"Supported: {', '.join(supported())}", cure=ANOTHER, code=NOT_AVAILABLE)
    return family


def check_keys(config: JsonObject, kind: Kind) -> None:
    """Every key that says something is known."""
    said = {key for key, value in config.items() if value is not None}
    for key in sorted(said & REFUSED.keys()):
        message, cure = REFUSED[key]
        raise Unfit(FILE, f"{key} is set: {message}", cure=cure)
    if unknown := sorted(said - SIZES.keys() - COMPUTED - INERT - kind.keys):
        raise Unfit(FILE, f"the key {clipped(unknown[0])} is not known to be harmless", cure=ANOTHER)


def check_values(config: JsonObject, kind: Kind) -> None:
    """What has one supported value has that one."""
    if config.get("architectures") not in (None, [kind.architecture]):
        message = f"architectures is not [{kind.architecture}]: this model does not answer chats"
        raise Unfit(FILE, message, cure=ANOTHER)
    # Gemma's older configurations name two activations, of which this one counts.
    key = "hidden_activation" if config.get("hidden_activation") is not None else "hidden_act"
    if config.get(key) not in (None, kind.activation):
        raise Unfit(FILE, f"{key} is not {kind.activation}", cure=ANOTHER, code=NOT_AVAILABLE)
    if config.get("pretraining_tp") not in (None, 1):
        raise Unfit(FILE, "pretraining_tp is not 1", cure=ANOTHER, code=NOT_AVAILABLE)
    if config.get("use_bidirectional_attention"):
        message = "use_bidirectional_attention is set: this model does not write from left to right"
        raise Unfit(FILE, message, cure=ANOTHER, code=NOT_AVAILABLE)


def check_ropes(config: JsonObject) -> None:
    """Rotary embeddings that the engine knows: one kind for all layers, or one for each type of layer."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, dict):
        raise Unfit(FILE, "rope_parameters is not an object", cure=DOWNLOAD_AGAIN)
    for rope in [one for one in given.values() if isinstance(one, dict)] or [given]:
        check_rope(rope)


def check_rope(rope: JsonObject) -> None:
    """One of them, with the numbers that it needs."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if not isinstance(kind, str) or kind not in ROPES:
        name = clipped(kind) if isinstance(kind, str) else "unknown type"
        message = f"rotary embeddings of type {name} are not supported, only {', '.join(ROPES)}"
        raise Unfit(FILE, message, cure=ANOTHER, code=NOT_AVAILABLE)
    for key in ROPE_NEEDS.get(kind, ()):
        if not is_number(rope.get(key)):
            raise Unfit(FILE, f"rotary embeddings of type {kind} need the number {key}", cure=DOWNLOAD_AGAIN)


def size(config: JsonObject, key: str, *, default: int | None = None) -> int:
    """A whole number of at least 1, within a limit that no model comes near."""
    value = config.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= SIZES[key]:
        raise Unfit(FILE, f"{key} is not a whole number from 1 to {SIZES[key]}", cure=DOWNLOAD_AGAIN)
    return value


def flag(config: JsonObject, key: str, *, default: bool = False) -> bool:
    """True or false."""
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise Unfit(FILE, f"{key} is neither true nor false", cure=DOWNLOAD_AGAIN)
    return default if value is None else value


def is_number(value: JsonValue) -> bool:
    """A number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
