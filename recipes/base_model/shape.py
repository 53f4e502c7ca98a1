"""What afina-tiny is: its sizes and its special tokens."""

from transformers import LlamaConfig

VOCABULARY, CONTEXT = 8192, 2048
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Tool markers are single tokens, yet not special: they stay in decoded text, where a server parses them.
TOOL_MARKERS = ("<tool_call>", "</tool_call>")
SPECIAL = (END_OF_TEXT, TURN_START, TURN_END)
END_OF_TEXT_ID, TURN_START_ID, TURN_END_ID = range(3)


def config() -> LlamaConfig:
    """Return the configuration: 6.8 million parameters, 13.6 MB in bf16."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=TURN_END_ID,
        pad_token_id=END_OF_TEXT_ID,
    )
