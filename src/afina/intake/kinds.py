"""How the files of each family are written: its class, its keys, its tensors. Another one is described here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What sets a family's files apart; `head_dim` is for configurations that do not say; 0: hidden size over heads."""

    architecture: str
    keys: frozenset[str] = frozenset()
    activation: str = "silu"
    tied: bool = False
    head_dim: int = 0
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    head_norms: bool = False
    query_biases: bool = False  # queries, keys and values have a bias whatever the configuration says
    fused: bool = False


SANDWICH = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
GEMMA = frozenset(
    (
        "attn_logit_softcapping",
        "cache_implementation",
        "final_logit_softcapping",
        "hidden_activation",
        "query_pre_attn_scalar",
    )
)
GEMMA3 = GEMMA | {"rope_local_base_freq", "sliding_window_pattern", "_sliding_window_pattern"}
GRANITE = frozenset(("attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"))
PHI = frozenset(("embd_pdrop", "original_max_position_embeddings", "partial_rotary_factor", "resid_pdrop"))
TANH = "gelu_pytorch_tanh"

KINDS = {
    "llama": Kind("LlamaForCausalLM"),
    "mistral": Kind("MistralForCausalLM"),
    "ministral3": Kind("Ministral3ForCausalLM", head_dim=128),
    "qwen2": Kind("Qwen2ForCausalLM", query_biases=True),
    "qwen3": Kind("Qwen3ForCausalLM", head_dim=128, head_norms=True),
    "granite": Kind("GraniteForCausalLM", GRANITE),
    "gemma2": Kind("Gemma2ForCausalLM", GEMMA, TANH, tied=True, head_dim=256, norms=SANDWICH),
    "gemma3_text": Kind(
        "Gemma3ForCausalLM", GEMMA3, TANH, tied=True, head_dim=256, norms=SANDWICH, head_norms=True
    ),
    "phi3": Kind("Phi3ForCausalLM", PHI, fused=True),
}
