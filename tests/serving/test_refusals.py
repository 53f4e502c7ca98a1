"""What a host's errors become: a 400 about the form, a 503 that says whether to try again."""

import json

import httpx
import pytest

from afina.errors import AfinaError, FormTooComplex, InvalidRequest, NotFinite, RunFailed, Unavailable
from afina.schemas.structure import EitherForm, Form, JsonForm, StructuralTag, Tag, TagsForm, TriggeredForm
from afina.serving.refusals import check, chunk

JSON = JsonForm(json_schema={"type": "object"})
TAG = Tag(begin="<", content=JSON, end=">")
FORMS: list[tuple[Form, str]] = [
    (JSON, "response_format"),
    (EitherForm(elements=[TagsForm(tags=[TAG], separator=""), JSON]), "response_format"),
    (TagsForm(tags=[TAG], separator=""), "tools"),
    (TriggeredForm(triggers=["<"], tags=[TAG]), "tools"),
]


async def refused(error: AfinaError, form: Form | None) -> list[AfinaError]:
    """The error whole, and as an event of a stream."""
    tag = None if form is None else StructuralTag(format=form)
    request = httpx.Request("POST", "http://host/v1/completions")
    with pytest.raises(AfinaError) as whole:
        await check(httpx.Response(error.status, json=error.wire(), request=request), tag)
    with pytest.raises(AfinaError) as streamed:
        chunk(json.dumps(error.wire()), tag)
    return [whole.value, streamed.value]


@pytest.mark.parametrize(("form", "param"), FORMS)
async def test_a_form_that_grew_too_complex_is_the_callers_to_mend(form: Form, param: str):
    for found in await refused(FormTooComplex("The form has grown."), form):
        assert isinstance(found, InvalidRequest) and (found.param, found.status) == (param, 400)


async def test_asking_a_broken_model_again_does_not_help():
    for found in await refused(NotFinite("Not finite."), None):
        assert isinstance(found, Unavailable) and found.retry_after is None


async def test_other_failures_may_pass():
    for error in (RunFailed("Odd."), Unavailable("Not now.")):
        for found in await refused(error, JSON):
            assert isinstance(found, Unavailable) and found.retry_after is not None


async def test_what_serving_asked_wrongly_stays_wrong():
    whole, _ = await refused(InvalidRequest("No."), None)
    assert isinstance(whole, Unavailable) and whole.retry_after is None


async def test_a_reply_that_is_no_error_object():
    request = httpx.Request("POST", "http://host/v1/completions")
    with pytest.raises(Unavailable) as found:
        await check(httpx.Response(500, text="Internal Server Error", request=request))
    assert found.value.retry_after == 5


async def test_what_a_host_says_is_not_written_down(caplog: pytest.LogCaptureFixture):
    request = httpx.Request("POST", "http://host/v1/completions")
    body = {"error": {"message": "patient Ana Ruiz is no schema", "code": "odd"}}
    with pytest.raises(Unavailable):
        await check(httpx.Response(400, json=body, request=request))
    assert "Ana" not in caplog.text and "400" in caplog.text and "code=odd" in caplog.text
