"""The process that owns one engine: runs methods, answers tokens. Knows no rows, no jobs' lives, no chat."""
