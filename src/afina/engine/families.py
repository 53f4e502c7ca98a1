"""Which kinds of model the engine computes exactly; imports no torch, so that anybody can ask before one is loaded."""

# By `model_type`, as their config.json has it. Only families whose gradients, packed layouts and greedy tokens the
# tests show equal to transformers', with their windows, caps, sinks, multipliers and rotary embeddings in effect.
FAMILIES = (
    "llama",
    "mistral",
    "ministral3",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "gemma2",
    "gemma3_text",
    "gemma4_text",
    "phi3",
    "granite",
    "gpt_oss",
)

# Other kinds take their frequencies from the longest sequence around: neighbours would change each other.
ROPES = ("default", "linear", "llama3", "yarn", "proportional")

_WRAPPED = "it wraps its language model in one that reads images or sound"
_EXPERTS = "a mixture of experts of a kind that no test has shown exact yet"
_RECURRENT = "recurrent or convolutional layers, which leak between conversations that share a pass"

# What stands in the way, by the start of `model_type`; the longest start that fits is the one that tells.
LACKING = {
    "gemma3": _WRAPPED,
    "gemma4": _WRAPPED,
    "granitemoe": _EXPERTS,
    "granitemoehybrid": _RECURRENT,
    "granite_docling": _WRAPPED,
    "granite_speech": _WRAPPED,
    "mistral3": _WRAPPED,
    "mistral4": _EXPERTS,
    "phi4_multimodal": _WRAPPED,
    "phimoe": _EXPERTS,
    "qwen2_moe": _EXPERTS,
    "qwen2_vl": _WRAPPED,
    "qwen2_5_vl": _WRAPPED,
    "qwen3_vl": _WRAPPED,
    "qwen3_5": _RECURRENT,
    "qwen3_next": _RECURRENT,
    "llava": _WRAPPED,
    "llama4": _EXPERTS,
    "mllama": _WRAPPED,
    "deepseek": _EXPERTS,
    "lfm2": _RECURRENT,
    "jamba": _RECURRENT,
    "mamba": _RECURRENT,
    "falcon_h1": _RECURRENT,
    "nemotron_h": _RECURRENT,
}


def lacking(family: str) -> str:
    """What keeps a family from being trained here, in words; families of `FAMILIES` are not asked about."""
    starts = [start for start in LACKING if family.startswith(start)]
    return LACKING[max(starts, key=len)] if starts else "no test has shown it exact yet"
