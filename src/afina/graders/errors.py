"""How grading fails: one sample without a reward, or a grader that this server cannot run at all."""

from afina.errors import InvalidRequest
from afina.schemas.graders import GraderErrors


class GradingFailed(Exception):
    """There is no reward for this sample; `flags` are OpenAI's words for why, `reason` is ours."""

    def __init__(self, reason: str, flags: GraderErrors):
        super().__init__(reason)
        self.reason = reason
        self.flags = flags


def unavailable(reason: str) -> InvalidRequest:
    """A grader that is right, and that nothing on this server can compute."""
    message = f"This grader is not available on this server: {reason}."
    return InvalidRequest(message, param="grader", code="grader_unavailable")
