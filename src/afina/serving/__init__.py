"""Model name to base and adapter, to the host that has them; messages to tokens, text to tool calls. No torch."""
