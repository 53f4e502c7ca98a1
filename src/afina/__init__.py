"""Afina: OpenAI's fine-tuning platform on your own hardware."""

__version__ = "0.1.0"
