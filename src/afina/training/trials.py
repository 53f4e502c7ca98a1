"""What a job of the method reinforcement tries out, from its request. Pure.

- group size: 8 replies to each prompt, times compute_multiplier.
- replies end at 256 tokens, at half of it with low and four times of it with high reasoning effort.
"""

from afina.schemas.chat import JsonObjectFormat
from afina.schemas.fine_tuning import AnyMethod, EchoedFormat, ReinforcementMethod, ResponseFormat
from afina.schemas.runs import Trials
from afina.schemas.structure import JsonForm

GROUP = 8
MOST_GROUP = 64
REPLY_TOKENS = {"low": 128, "default": 256, "medium": 256, "high": 1024}


def trials(method: AnyMethod, *, max_tokens: int | None) -> Trials | None:
    """What a planned method tries out, with replies of at most `max_tokens`; None where it tries out nothing."""
    if not isinstance(method, ReinforcementMethod):
        return None
    asked, numbers = method.reinforcement, method.hyperparameters
    multiplier, interval, samples = numbers.compute_multiplier, numbers.eval_interval, numbers.eval_samples
    assert not isinstance(multiplier, str) and not isinstance(interval, str) and not isinstance(samples, str)
    return Trials(
        grader=asked.grader,
        form=form_of(asked.response_format),
        group_size=max(2, min(MOST_GROUP, round(GROUP * multiplier))),
        max_tokens=max_tokens or REPLY_TOKENS[numbers.reasoning_effort],
        eval_interval=interval,
        eval_samples=samples,
    )


def form_of(asked: ResponseFormat | None) -> JsonForm | None:
    """What replies are held to."""
    match asked:
        case EchoedFormat():
            return JsonForm(json_schema=asked.json_schema.body or {"type": "object"})
        case JsonObjectFormat():
            return JsonForm(json_schema={"type": "object"})
        case _:
            return None
