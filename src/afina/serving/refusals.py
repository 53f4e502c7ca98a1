"""What a host's refusals mean to the caller: his to mend, ours, or nobody's at the moment."""

import json
import logging

import httpx

from afina.errors import AfinaError, FormTooComplex, InvalidRequest, NotFinite, Unavailable
from afina.schemas.completions import Completion
from afina.schemas.structure import StructuralTag, TagsForm, TriggeredForm

log = logging.getLogger(__name__)


async def check(response: httpx.Response, form: StructuralTag | None = None) -> None:
    """A host's refusal is ours to mend, not the caller's, unless it is about the form that was asked for."""
    if response.status_code == 200:
        return
    text = (await response.aread()).decode("utf-8", "replace")
    # Its words may repeat what a user sent: only their code is written down.
    log.error(
        "the host answered %d to %s code=%s", response.status_code, response.request.url.path, code_of(text)
    )
    ours = response.status_code == 400  # what serving asked is wrong, and would be again
    raise refusal(text, form) or Unavailable(
        "The model cannot answer at the moment.", code="model_unavailable", retry_after=None if ours else 5
    )


def chunk(data: str, form: StructuralTag | None) -> Completion:
    """One event of a stream; a host that fails in its middle says so in an event."""
    if data.startswith('{"error"'):
        raise refusal(data, form) or lost()
    return Completion.model_validate_json(data, extra="ignore")


def refusal(body: str, form: StructuralTag | None) -> AfinaError | None:
    """A host's error object in the caller's words, where asking again would end in it again."""
    match code_of(body):
        case FormTooComplex.code if form is not None:
            message = "The form that the reply is held to has grown too complex; simplify its schema."
            of_calls = isinstance(form.format, TagsForm | TriggeredForm)
            param = "tools" if of_calls else "response_format"
            return InvalidRequest(message, param=param, code="invalid_value")
        case NotFinite.code:
            message = "The model's outputs are not finite; it cannot answer. Train it again, more gently."
            return Unavailable(message, code="model_unavailable", retry_after=None)
        case _:
            return None


def code_of(body: str) -> str | None:
    """The code of an error object; None where there is none."""
    try:
        match json.loads(body):
            case {"error": {"code": str(code)}}:
                return code
            case _:
                return None
    except ValueError:
        return None


def lost() -> Unavailable:
    """The host went away before the reply was whole."""
    return Unavailable(
        "The model's host stopped before the reply was complete; try again.", code="model_unavailable"
    )
