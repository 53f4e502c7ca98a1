"""Methods: each is a coroutine over the engine's verbs that reports what it did. Knows no job, no HTTP, no rows."""
