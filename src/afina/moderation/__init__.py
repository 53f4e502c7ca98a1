"""The floor of moderation: a list of phrases, in English and Spanish. What it misses and why: docs/decisions/0015."""
