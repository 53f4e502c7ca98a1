"""From uploaded bytes to examples to tokens: strict JSONL, validation, rendering, the token file.

Knows no HTTP, no rows, no torch.
"""
