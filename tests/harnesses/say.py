"""A task for inspect-ai, as people write them."""

from inspect_ai import Task, task  # type: ignore[import-not-found]
from inspect_ai.dataset import Sample  # type: ignore[import-not-found]
from inspect_ai.scorer import includes  # type: ignore[import-not-found]
from inspect_ai.solver import generate  # type: ignore[import-not-found]


@task
def say() -> Task:
    """Have a word said."""
    samples = [Sample(input=f"Say the word {word}.", target=word) for word in ("yes", "no")]
    return Task(dataset=samples, solver=generate(), scorer=includes())
