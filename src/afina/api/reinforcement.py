"""What can be told of a reinforcement job before its files are read: whether its grader and its form fit."""

from afina.api.callers import Caller
from afina.api.rooms import Rooms
from afina.errors import InvalidRequest
from afina.graders.check import check, parts
from afina.graders.grade import require
from afina.schemas.fine_tuning import CreateJob, EchoedFormat, Reinforcement, ReinforcementMethod
from afina.schemas.graders import LabelModelGrader, ScoreModelGrader, TextSimilarityGrader
from afina.serving import json_schema

GRADER = "method.reinforcement.grader"
FORMAT = "method.reinforcement.response_format"


def admit(request: CreateJob, caller: Caller, rooms: Rooms) -> None:
    """Nothing, or a 400 that names the parameter; may take a second, once. Other methods are always admitted."""
    if not isinstance(request.method, ReinforcementMethod):
        return
    if request.validation_file is None:
        message = "A reinforcement job needs a validation file: its best checkpoint becomes the model."
        raise InvalidRequest(message, param="validation_file", code="missing_required_parameter")
    admit_grader(request.method.reinforcement, caller, rooms)
    admit_format(request.method.reinforcement)


def admit_grader(asked: Reinforcement, caller: Caller, rooms: Rooms) -> None:
    """A grader that is right, that can run here, and whose models are this project's."""
    check(asked.grader, GRADER)
    for part, where in parts(asked.grader, GRADER):
        if isinstance(part, TextSimilarityGrader) and part.evaluation_metric == "cosine":
            message = f"Invalid '{where}.evaluation_metric': 'cosine' is for evals, not for reinforcement."
            raise InvalidRequest(message, param=f"{where}.evaluation_metric", code="invalid_value")
        if isinstance(part, ScoreModelGrader | LabelModelGrader):
            rooms.router.find(caller.project_id, part.model)
    require(asked.grader, encoder=False)


def admit_format(asked: Reinforcement) -> None:
    """A schema that replies can be held to."""
    form = asked.response_format
    if not isinstance(form, EchoedFormat):
        return
    schema = form.json_schema
    if why := json_schema.fault(schema.body or {"type": "object"}, strict=schema.strict is True):
        message = f"Invalid schema for response_format '{schema.name}': {why}"
        raise InvalidRequest(message, param=FORMAT)
