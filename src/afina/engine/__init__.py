"""The heart: one frozen base model, any number of adapters, token ids in and token ids out.

It knows no text, no job, no HTTP. `types` and `losses` import no torch; `engine.Engine` does.
"""
