"""Tiny configurations of every family that the engine takes, each with what sets it apart switched on."""

from collections.abc import Callable, Mapping

from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    Gemma4TextConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    Ministral3Config,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers import PreTrainedConfig as Config

VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 320,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
# Shorter than all rows of the tests but the shortest.
WINDOW = 7
BOTH = ["sliding_attention", "full_attention"]
ROPE = {"rope_theta": 10000.0}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 80}
# Queries grow every four tokens; in a real model, every 16,384.
GROWING = YARN | {"original_max_position_embeddings": 4, "llama_4_scaling_beta": 0.5}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}
GEMMA4_ROPES = {
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}
SLIDING = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
TIED = {"tie_word_embeddings": True}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
# Small enough to bend what a random model computes.
CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
GEMMA4 = {
    "head_dim": 8,
    "global_head_dim": 16,
    "sliding_window": WINDOW,
    "rope_parameters": GEMMA4_ROPES,
    "final_logit_softcapping": 3.0,
}
# As in the small ones: embeddings for each layer, and upper layers that use the keys of lower ones.
GEMMA4_SMALL = {
    "num_hidden_layers": 4,
    "layer_types": BOTH * 2,
    "num_kv_shared_layers": 2,
    "use_double_wide_mlp": True,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
}
# As in the largest: experts beside a feed-forward part, and keys that are values too.
GEMMA4_LARGE = {
    "layer_types": BOTH,
    "hidden_size_per_layer_input": 0,
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
    "enable_moe_block": True,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 24,
}
MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.4,
    "attention_multiplier": 0.2,
    "logits_scaling": 2.0,
}


def _of(config: type[Config], *differences: Mapping[str, object], **more: object) -> Callable[[], Config]:
    settings = dict(SIZES)
    for some in (*differences, more):
        settings |= some
    return lambda: config(**settings)


CONFIGS: dict[str, Callable[[], Config]] = {
    "llama": _of(LlamaConfig),
    "llama-linear": _of(LlamaConfig, rope_parameters=ROPE | {"rope_type": "linear", "factor": 2.0}),
    "llama-llama3": _of(
        LlamaConfig, rope_parameters=ROPE | LLAMA3 | {"original_max_position_embeddings": 64}
    ),
    "llama-yarn": _of(LlamaConfig, rope_parameters=ROPE | YARN),
    "mistral": _of(MistralConfig, head_dim=8, sliding_window=None),
    "mistral-sliding": _of(MistralConfig, head_dim=8, sliding_window=WINDOW),
    "ministral3": _of(Ministral3Config, TIED, head_dim=8, rope_parameters=ROPE | GROWING),
    "qwen2": _of(Qwen2Config),
    "qwen2-sliding": _of(Qwen2Config, SLIDING, TIED),
    "qwen3": _of(Qwen3Config, TIED, head_dim=16),
    "qwen3-sliding": _of(Qwen3Config, SLIDING, head_dim=16),
    "qwen3-moe": _of(
        Qwen3MoeConfig,
        SLIDING,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
    ),
    "mixtral": _of(MixtralConfig, EXPERTS, head_dim=8, sliding_window=WINDOW),
    "gpt-oss": _of(GptOssConfig, EXPERTS, head_dim=8, sliding_window=WINDOW, layer_types=BOTH),
    "phi3": _of(Phi3Config, sliding_window=WINDOW, rope_parameters=ROPE | {"partial_rotary_factor": 0.5}),
    "granite": _of(GraniteConfig, MULTIPLIERS, TIED),
    "gemma2": _of(
        Gemma2Config, CAPS, head_dim=8, query_pre_attn_scalar=24, sliding_window=WINDOW, layer_types=BOTH
    ),
    "gemma3": _of(
        Gemma3TextConfig,
        head_dim=8,
        query_pre_attn_scalar=24,
        sliding_window=WINDOW,
        layer_types=BOTH,
        rope_parameters=TWO_ROPES,
        final_logit_softcapping=3.0,
    ),
    "gemma4-small": _of(Gemma4TextConfig, GEMMA4, GEMMA4_SMALL),
    "gemma4-large": _of(Gemma4TextConfig, GEMMA4, GEMMA4_LARGE),
}
