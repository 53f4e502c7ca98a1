"""A run from its data to its results: what is asked, what passes, what is refused, and every way to end."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from afina import ids
from afina.errors import FenceLost, NotFound, Unavailable
from afina.graders import sandbox
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import AssistantReply, ChatChoice, ChatCompletion, ChatUsage
from afina.schemas.eval_runs import EvalRun, ModelUsage, OutputItem
from afina.schemas.evals import CreateEval, Eval, source_of
from afina.schemas.files import FileObject
from afina.schemas.response_items import InputText, MessageItem, OutputText
from afina.schemas.response_replies import Response, StoredResponse
from afina.schemas.responses import TextConfig
from afina.schemas.stored_chats import StoredChat
from afina.serving.names import Target
from afina.serving.router import Router
from afina.store import chats, clock, eval_items, eval_runs, evals, files, responses, work
from afina.worker import crew, eval_rows, eval_samples
from afina.worker import eval_items as item_work
from afina.worker import eval_runs as run_work
from afina.worker.context import Context, Hold

TEXT = {"type": "string"}
CUSTOM = {"type": "custom", "item_schema": {"type": "object", "properties": {"q": TEXT}, "required": ["q"]}}
LOGS = {"type": "logs"}
HAS = {
    "type": "string_check",
    "name": "has",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.a }}",
    "operation": "like",
}
SHORT = {**HAS, "name": "is", "operation": "eq"}
JUDGE = {
    "type": "score_model",
    "name": "judge",
    "model": "tiny",
    "input": [{"role": "user", "content": "Grade: {{ sample.output_text }}"}],
    "range": [1, 7],
}
ASKED = {"type": "template", "template": [{"role": "user", "content": "{{ item.q }}"}]}


def rows(*items: dict, **more: object) -> dict[str, object]:
    return {"type": "file_content", "content": [{"item": item, **more} for item in items]}


def asking(source: dict[str, object], **more: object) -> dict[str, object]:
    return {"type": "completions", "model": "tiny", "source": source, "input_messages": ASKED, **more}


@dataclass
class Speaker:
    """Says what was asked last; some questions are refused, and those from `closed_from` on wait."""

    asked: list[CreateChatCompletion] = field(default_factory=list)
    closed_from: int = 1 << 40
    open: threading.Event = field(default_factory=threading.Event)
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    grades: str = '{"steps": [], "result": 5}'
    at_once: int = 0
    most_at_once: int = 0

    async def complete(self, router: Router, target: Target, request: CreateChatCompletion) -> ChatCompletion:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        said = str(request.messages[-1].content)
        try:
            while len(self.asked) > self.closed_from and not self.open.is_set():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            if left := self.errors.get(said):
                raise left.pop()
        finally:
            self.at_once -= 1
        words = self.grades if said.startswith("Grade: ") else f"It is {said}"
        return reply(request.model, words)


def reply(model: str, words: str) -> ChatCompletion:
    message = AssistantReply(content=words)
    return ChatCompletion(
        id=ids.completion_id(),
        created=1,
        model=model,
        choices=[ChatChoice(index=0, message=message, finish_reason="stop")],
        usage=ChatUsage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
        system_fingerprint="fp_1",
    )


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> Speaker:
    made = Speaker()

    async def complete(router: Router, target: Target, request: CreateChatCompletion) -> ChatCompletion:
        return await made.complete(router, target, request)

    monkeypatch.setattr(Router, "complete", complete)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.02)
    return made


@pytest.fixture
def submit(rooms) -> Callable[..., EvalRun]:
    """A run of an eval of its own, as the API makes them."""

    def make(source: dict[str, object], *criteria: dict, config: dict = CUSTOM) -> EvalRun:
        body = {"data_source_config": config, "testing_criteria": list(criteria or (HAS,))}
        asked = CreateEval.model_validate(body)
        with rooms.database.scope(rooms.project) as scope:
            eval = Eval(
                id=ids.prefixed("eval_"),
                created_at=1,
                name="e",
                data_source_config=source_of(asked.data_source_config),
                testing_criteria=asked.testing_criteria,
            )
            evals.insert(scope, eval)
            given = {
                "id": ids.prefixed("evalrun_"),
                "eval_id": eval.id,
                "created_at": clock.seconds(scope),
                "name": "r",
                "model": source.get("model") or "",
                "data_source": source,
                "per_testing_criteria_results": [
                    {"testing_criteria": each.name} for each in asked.testing_criteria
                ],
            }
            return eval_runs.insert(scope, EvalRun.model_validate(given))

    return make


@pytest.fixture
def look(rooms) -> Callable[[EvalRun], EvalRun]:
    def get(run: EvalRun) -> EvalRun:
        with rooms.database.read(rooms.project) as scope:
            return eval_runs.get(scope, run.eval_id, run.id)

    return get


@pytest.fixture
def items(rooms) -> Callable[[EvalRun], list[OutputItem]]:
    """The items of a run that have results, in the order of the data."""

    def get(run: EvalRun) -> list[OutputItem]:
        with rooms.database.read(rooms.project) as scope:
            return eval_items.page(scope, run.id, limit=1000).data

    return get


@pytest.fixture
def work_on(rooms, context: Context) -> Callable[[EvalRun], Hold]:
    """Claim the run and work on it, here and now."""

    def do(run: EvalRun) -> Hold:
        claim = rooms.claim(eval_runs.KIND)
        assert claim is not None and claim.subject == run.id
        hold = Hold(claim)
        run_work.work_through(context, hold)
        return hold

    return do


@pytest.fixture
def upload(rooms) -> Callable[[bytes], dict[str, object]]:
    """A file of rows, as a source."""

    def make(content: bytes) -> dict[str, object]:
        id = ids.file_id()
        written = rooms.blobs.write(f"files/{id}", [content])
        with rooms.database.scope(rooms.project) as scope:
            about = {"filename": "rows.jsonl", "purpose": "evals", "sha256": written.sha256}
            files.insert(scope, FileObject(id=id, bytes=written.bytes, created_at=1, **about))
        return {"type": "file_id", "id": id}

    return make


def counts(run: EvalRun) -> tuple[int, int, int, int]:
    found = run.result_counts
    return found.total, found.passed, found.failed, found.errored


def test_items_are_answered_and_graded(speaker: Speaker, submit, look, items, work_on):
    params = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "max_completion_tokens": 11}
    source = asking(rows({"q": "Ana", "a": "Ana"}, {"q": "Bo", "a": "It is Bo"}), sampling_params=params)
    run = submit(source, HAS, SHORT)
    work_on(run)
    done = look(run)
    assert (done.status, counts(done)) == ("completed", (2, 1, 1, 0))
    figures = [
        (each.testing_criteria, each.passed, each.failed) for each in done.per_testing_criteria_results
    ]
    assert figures == [("has", 2, 0), ("is", 1, 1)]
    (usage,) = done.per_model_usage
    assert (usage.model_name, usage.invocation_count, usage.total_tokens) == ("tiny", 2, 10)
    first, second = items(run)
    assert (first.datasource_item_id, first.status, second.status) == (0, "fail", "pass")
    assert first.datasource_item == {"q": "Ana", "a": "Ana"}
    assert [(each.name, each.passed, each.score) for each in first.results] == [
        ("has", True, 1),
        ("is", False, 0),
    ]
    sample = first.sample
    assert [(each.role, each.content) for each in sample.input] == [("user", "Ana")]
    assert [(each.role, each.content) for each in sample.output] == [("assistant", "It is Ana")]
    assert (sample.model, sample.finish_reason, sample.usage.prompt_tokens) == ("tiny", "stop", 3)
    assert (sample.temperature, sample.top_p, sample.seed, sample.max_completion_tokens) == (0.5, 0.9, 7, 11)
    asked = speaker.asked[0]
    assert (asked.temperature, asked.top_p, asked.seed, asked.max_completion_tokens) == (0.5, 0.9, 7, 11)


def test_what_is_not_said_is_the_same_each_time(speaker: Speaker, submit, items, work_on):
    run = submit(asking(rows({"q": "x", "a": ""})))
    work_on(run)
    sample = items(run)[0].sample
    assert (sample.seed, sample.max_completion_tokens) == (eval_samples.SEED, eval_samples.MOST_TOKENS)
    assert (sample.temperature, sample.top_p) == (1.0, 1.0)


def test_a_form_and_tools_are_asked_for(speaker: Speaker, submit, work_on):
    function = {"name": "f", "parameters": {"type": "object"}}
    form = {"name": "n", "schema": {"type": "object"}}
    chat = {
        "response_format": {"type": "json_schema", "json_schema": form},
        "tools": [{"type": "function", "function": function}],
    }
    response = {
        "text": {"format": {"type": "json_schema", **form}},
        "tools": [{"type": "function", **function}],
        "seed": 5,
        "max_completion_tokens": 9,
    }
    for source in (
        asking(rows({"q": "x", "a": ""}), sampling_params=chat),
        asking(rows({"q": "x", "a": ""}), type="responses", sampling_params=response),
    ):
        work_on(submit(source))
    for asked in speaker.asked:
        assert asked.response_format is not None and asked.response_format.type == "json_schema"
        assert asked.response_format.json_schema.body == {"type": "object"}
        assert asked.tools is not None and asked.tools[0].type == "function"
        assert asked.tools[0].function.name == "f"
    assert (speaker.asked[1].seed, speaker.asked[1].max_completion_tokens) == (5, 9)


@pytest.mark.parametrize("kind", ["completions", "responses"])
def test_an_item_may_bring_its_messages_along(speaker: Speaker, submit, items, work_on, kind: str):
    talk = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    reference = {"type": "item_reference", "item_reference": "item.talk"}
    run = submit(
        asking(
            rows({"q": "", "a": "Hi", "talk": talk}, {"q": "", "a": "Ho", "talk": "Ho"}),
            type=kind,
            input_messages=reference,
        )
    )
    work_on(run)
    first, second = items(run)
    assert [(each.role, each.content) for each in first.sample.input] == [
        ("developer", "Be short."),
        ("user", "Hi"),
    ]
    assert [each.content for each in second.sample.input] == ["Ho"]
    assert first.status == second.status == "pass"


def test_rows_may_bring_their_samples_along(speaker: Speaker, submit, look, items, work_on):
    sample = {"output_text": "It is Ana", "model": "theirs"}
    by_choice = {"choices": [{"message": {"role": "assistant", "content": '{"n": 3}'}}]}
    json_check = {**HAS, "input": "{{ sample.output_json.n }}"}
    run = submit({"type": "jsonl", "source": rows({"q": "", "a": "Ana"}, sample=sample)})
    work_on(run)
    assert (look(run).status, counts(look(run))) == ("completed", (1, 1, 0, 0))
    shown = items(run)[0].sample
    assert (shown.model, shown.output[0].content, shown.usage.total_tokens) == ("theirs", "It is Ana", 0)
    other = submit({"type": "jsonl", "source": rows({"q": "", "a": "3"}, sample=by_choice)}, json_check)
    work_on(other)
    assert counts(look(other)) == (1, 1, 0, 0)
    without = submit({"type": "completions", "source": rows({"q": "", "a": "Ana"}, sample=sample)})
    work_on(without)
    assert counts(look(without)) == (1, 1, 0, 0) and speaker.asked == []


def test_items_alone_can_be_graded(submit, look, work_on):
    of_items = {**HAS, "input": "{{ item.q }}"}
    run = submit({"type": "jsonl", "source": rows({"q": "ab", "a": "b"}, {"q": "ab", "a": "c"})}, of_items)
    work_on(run)
    assert counts(look(run)) == (2, 1, 1, 0)


def test_a_model_grades_against_a_threshold(speaker: Speaker, submit, look, items, work_on):
    criteria = [JUDGE, {**JUDGE, "pass_threshold": 5.5}, {**JUDGE, "range": [1, 20]}]
    run = submit(asking(rows({"q": "x", "a": ""})), *criteria)
    work_on(run)
    (item,) = items(run)
    assert [(each.score, each.passed) for each in item.results] == [(5, True), (5, False), (5, False)]
    assert item.status == "fail" and item.results[0].sample is not None
    assert item.results[0].sample["output"] == [{"role": "assistant", "content": speaker.grades}]
    (usage,) = look(run).per_model_usage
    assert (usage.invocation_count, usage.completion_tokens) == (4, 8)


def test_a_grading_model_that_is_away_for_now_is_asked_again(speaker: Speaker, submit, items, work_on):
    speaker.errors = {"Grade: It is x": [Unavailable("loading", retry_after=0) for _ in range(2)]}
    run = submit(asking(rows({"q": "x", "a": ""})), JUDGE)
    work_on(run)
    assert items(run)[0].status == "pass" and not any(speaker.errors.values())


@pytest.mark.skipif(sandbox.missing() is not None, reason="no boundary here for python graders")
def test_python_grades_behind_its_boundary(speaker: Speaker, submit, look, items, work_on):
    counting = {
        "type": "python",
        "name": "length",
        "source": "def grade(sample, item):\n    return len(sample['output_text']) / item['most']",
        "pass_threshold": 0.7,
    }
    run = submit(asking(rows({"q": "abc", "most": 12}, {"q": "a", "most": 12}, {"q": "a"})), counting)
    work_on(run)
    assert counts(look(run)) == (3, 1, 1, 1)
    last = items(run)[-1].results[0]
    assert last.error is not None and last.error.code == "python_grader_runtime_error"


def test_what_goes_wrong_with_an_item_is_its_own(speaker: Speaker, submit, look, items, work_on):
    speaker.errors = {
        "gone": [NotFound("no such model", param="model", code="model_not_found")],
        "away": [Unavailable("loading", retry_after=0) for _ in range(3)],
        "back": [Unavailable("loading", retry_after=0) for _ in range(2)],
        "fault": [RuntimeError("of ours")],
    }
    names = ("good", "gone", "away", "back", "fault")
    run = submit(asking(rows(*({"q": name, "a": name} for name in names), {"q": "no reference"})))
    work_on(run)
    done = look(run)
    assert (done.status, counts(done)) == ("completed", (6, 2, 0, 4))
    good, gone, away, back, fault, bare = items(run)
    assert fault.sample.error.code == "server_error" and "of ours" not in fault.sample.error.message
    assert good.status == back.status == "pass"
    assert (gone.status, gone.results, gone.sample.error.code) == ("error", [], "model_not_found")
    assert gone.sample.input[0].content == "gone" and gone.sample.output == []
    assert away.sample.error.message == "loading"
    assert bare.results[0].error is not None and bare.results[0].error.code == "invalid_variable_error"
    assert bare.sample.output[0].content == "It is no reference"
    assert done.per_testing_criteria_results[0].passed == 2
    assert done.per_testing_criteria_results[0].failed == 0


def test_an_item_without_what_the_messages_are_made_of(speaker: Speaker, submit, items, work_on):
    wanting = {"type": "template", "template": [{"role": "user", "content": "{{ item.name }}"}]}
    run = submit(asking(rows({"q": ""}), input_messages=wanting))
    work_on(run)
    (item,) = items(run)
    assert item.sample.error.code == "invalid_variable"
    assert item.sample.error.message == "The item has no item.name." and speaker.asked == []


def line(**row: object) -> bytes:
    return json.dumps(row).encode() + b"\n"


def test_a_file_of_rows(speaker: Speaker, submit, look, work_on, upload, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_work, "WRITTEN_AT_ONCE", 3)
    monkeypatch.setattr(item_work, "READ_AT_ONCE", 4)
    run = submit(asking(upload(b"".join(line(item={"q": str(n), "a": "It"}) for n in range(10)))))
    work_on(run)
    assert counts(look(run)) == (10, 10, 0, 0)
    assert sorted(str(each.messages[-1].content) for each in speaker.asked) == [str(n) for n in range(10)]
    assert 1 < speaker.most_at_once <= item_work.AT_ONCE


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (line(item={"q": "a"}) + line(item={"q": 1}), "Line 2: item.q is not of type string"),
        (line(item={"q": "a"}) + line(item={"secret": "x"}), "Line 2: item.q is missing"),
        (line(q="a"), "Line 1: Missing required parameter: 'item'"),
        (line(item={"q": "a"}, more=1), "Line 1: Unknown parameter: 'more'"),
        (line(item={"q": "a"}, sample="x"), "Line 1: Invalid type for 'sample'"),
        (line(item={"q": "a"}) + b"{\n", "Line 2: incomplete JSON object"),
        (b"\n", "there are no items"),
    ],
)
def test_a_file_that_is_no_data_fails_the_run(
    speaker: Speaker, submit, look, items, work_on, upload, content: bytes, told: str
):
    run = submit(asking(upload(content)))
    work_on(run)
    done = look(run)
    assert (done.status, done.error.code) == ("failed", "invalid_data_source")
    assert told in done.error.message and "secret" not in done.error.message
    assert speaker.asked == [] and counts(done) == (0, 0, 0, 0) and items(run) == []


def test_a_row_needs_a_sample_where_nobody_is_asked(submit, look, work_on, upload):
    run = submit({"type": "completions", "source": upload(line(item={"q": "a"}))})
    work_on(run)
    assert "Line 1: there is no 'sample'" in look(run).error.message


def test_files_that_cannot_be_read(rooms, submit, look, work_on, upload, monkeypatch: pytest.MonkeyPatch):
    def fails(told: str, change: Callable[[dict], object]) -> None:
        source = upload(line(item={"q": "a"}) * 5)
        run = submit(asking(source))
        change(source)
        work_on(run)
        assert look(run).status == "failed" and told in look(run).error.message

    def delete(source: dict) -> None:
        with rooms.database.scope(rooms.project) as scope:
            files.delete(scope, source["id"])

    fails("is not there any more", delete)
    fails("", lambda source: rooms.blobs.path(f"files/{source['id']}").write_bytes(b"{}"))
    monkeypatch.setattr(eval_rows, "MOST_ITEMS", 4)
    fails("more than 4 items", lambda source: None)
    monkeypatch.setattr(eval_rows, "MOST_BYTES", 10)
    fails("larger than", lambda source: None)


def keep_chat(rooms, name: str, **fields: object) -> None:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": name}], **fields}
    answered = reply("tiny", f"It was {name}")
    with rooms.database.scope(rooms.project) as scope:
        chats.insert(scope, StoredChat.of(CreateChatCompletion.model_validate(asked), answered))


WAS = {**HAS, "reference": "It was {{ item.input[0].content }}"}


def test_kept_chats_are_graded_as_they_were(rooms, speaker: Speaker, submit, look, items, work_on):
    for name, use in (("Ana", "chat"), ("Bo", "chat"), ("Cy", "other")):
        keep_chat(rooms, name, metadata={"use": use, "night": name})
    source = {"type": "completions", "source": {"type": "stored_completions"}}
    run = submit(source, WAS, config={**LOGS, "metadata": {"use": "chat"}})
    work_on(run)
    assert counts(look(run)) == (2, 2, 0, 0) and speaker.asked == []
    first = items(run)[0]
    assert first.datasource_item["input"] == [{"role": "user", "content": "Ana"}]
    assert first.datasource_item["metadata"] == {"use": "chat", "night": "Ana"}
    narrow = {"type": "stored_completions", "metadata": {"night": "Bo"}, "model": "tiny", "limit": 5}
    one = submit({"type": "completions", "source": narrow}, WAS, config={**LOGS, "metadata": {"use": "chat"}})
    work_on(one)
    assert counts(look(one)) == (1, 1, 0, 0)
    for more in ({"limit": 2}, {"created_before": 0}, {"created_after": 2}, {"model": "nobody"}):
        some = submit(
            {"type": "completions", "source": {"type": "stored_completions", **more}}, WAS, config=LOGS
        )
        work_on(some)
        assert counts(look(some))[0] == more.get("limit", 0)


def test_kept_chats_are_asked_again(rooms, speaker: Speaker, submit, look, work_on):
    keep_chat(rooms, "Ana")
    source = {"type": "completions", "model": "tiny", "source": {"type": "stored_completions"}}
    run = submit(source, {**WAS, "reference": "It is Ana"}, config=LOGS)
    work_on(run)
    assert counts(look(run)) == (1, 1, 0, 0)
    assert [each.messages[-1].content for each in speaker.asked] == ["Ana"]


def keep_response(rooms, name: str, **fields: object) -> None:
    said = MessageItem(
        id="m", status="completed", role="assistant", content=[OutputText(text=f"It was {name}")]
    )
    asked = MessageItem(id="i", status="completed", role="user", content=[InputText(text=name)])
    given = {"id": f"resp_{name}", "created_at": 1, "status": "completed", "model": "tiny", "output": [said]}
    response = Response.model_validate({**given, "text": TextConfig(), **fields})
    with rooms.database.scope(rooms.project) as scope:
        responses.insert(scope, StoredResponse(response=response, input=[asked]))


def test_kept_responses_are_graded_and_asked_again(rooms, speaker: Speaker, submit, look, items, work_on):
    keep_response(rooms, "Ana", instructions="Be kind to all.", metadata={"a": "b"})
    keep_response(rooms, "Bo", temperature=0.5, user="me")
    keep_response(rooms, "Cy", status="failed")
    check = {**HAS, "reference": "It was"}

    def run_of(source: dict[str, object], **more: object) -> EvalRun:
        whole = {"type": "responses", "source": {"type": "responses", **source}, **more}
        run = submit(whole, check, config=LOGS)
        work_on(run)
        return look(run)

    assert counts(run_of({})) == (2, 2, 0, 0) and speaker.asked == []
    for source in (
        {"instructions_search": "kind"},
        {"metadata": {"a": "b"}},
        {"temperature": 0.5},
        {"users": ["me"]},
    ):
        assert counts(run_of(source)) == (1, 1, 0, 0), source
    for source in ({"tools": ["f"]}, {"model": "other"}, {"top_p": 0.1}, {"reasoning_effort": "low"}):
        assert run_of(source).error.code == "invalid_data_source", source
    again = run_of({"instructions_search": "kind"}, model="tiny")
    assert counts(again) == (1, 0, 1, 0)
    assert [each.role for each in speaker.asked[0].messages] == ["developer", "user"]
    shown = items(again)[0].sample.input
    assert [(each.role, each.content) for each in shown] == [
        ("developer", "Be kind to all."),
        ("user", "Ana"),
    ]


def test_many_kept_responses_are_written_down_in_groups(
    rooms, speaker: Speaker, submit, look, work_on, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is being read while a group is written, which a database without a write-ahead log would refuse."""
    monkeypatch.setattr(run_work, "WRITTEN_AT_ONCE", 1)
    for name in ("Ana", "Bo", "Cy"):
        keep_response(rooms, name)
    run = submit(
        {"type": "responses", "source": {"type": "responses"}}, {**HAS, "reference": "It was"}, config=LOGS
    )
    work_on(run)
    assert counts(look(run)) == (3, 3, 0, 0)


def test_a_worker_that_ends_puts_the_run_down_and_the_next_goes_on(
    rooms, speaker: Speaker, submit, look, items, new_worker, until
):
    speaker.closed_from = 10
    run = submit(asking(rows(*({"q": str(n), "a": "It"} for n in range(30)))))
    with new_worker("first"):
        until(lambda: look(run).result_counts.passed == 10)
    assert look(run).status == "in_progress"
    before = [str(each.messages[-1].content) for each in speaker.asked[:10]]
    first, begun = items(run), len(speaker.asked)
    speaker.open.set()
    with new_worker("second"):
        until(lambda: look(run).status == "completed")
    assert counts(look(run)) == (30, 30, 0, 0)
    after = [str(each.messages[-1].content) for each in speaker.asked[begun:]]
    assert set(before).isdisjoint(after) and len(after) == 20
    kept = {each.id for each in first}
    assert [each for each in items(run) if each.id in kept] == first


def test_a_beginning_that_broke_off_is_begun_anew(rooms, speaker: Speaker, submit, look, items, work_on):
    run = submit(asking(rows({"q": "x", "a": ""}, {"q": "y", "a": ""})))
    with rooms.database.scope(rooms.project) as scope:
        eval_items.add(scope, run.eval_id, run.id, [({"q": "half"}, None)], first=0)
    work_on(run)
    assert counts(look(run)) == (2, 2, 0, 0) and len(items(run)) == 2


@pytest.mark.parametrize("end", [eval_runs.cancel, eval_runs.delete])
def test_a_run_that_is_ended_is_left_at_once(
    rooms, speaker: Speaker, submit, look, items, new_worker, until, end
):
    speaker.closed_from = 5
    run = submit(asking(rows(*({"q": str(n), "a": "It"} for n in range(20)))))
    with new_worker() as worker:
        until(lambda: look(run).result_counts.passed == 5)
        with rooms.database.scope(rooms.project) as scope:
            end(scope, run.eval_id, run.id)
        until(lambda: not worker.loop.holds)
    assert speaker.at_once == 0 and rooms.attempts(run.id) is None
    if end is eval_runs.cancel:
        assert (look(run).status, counts(look(run))) == ("canceled", (20, 5, 0, 0))
        assert len(items(run)) == 5
    else:
        with pytest.raises(NotFound):
            look(run)


def test_a_claim_that_is_lost_writes_nothing_more(
    rooms, speaker: Speaker, submit, look, work_on, context: Context, until
):
    speaker.closed_from = 4
    run = submit(asking(rows(*({"q": str(n), "a": "It"} for n in range(8)))))
    claim = rooms.claim(eval_runs.KIND)
    refused: list[FenceLost] = []

    def work() -> None:
        try:
            run_work.work_through(context, Hold(claim))
        except FenceLost as error:
            refused.append(error)

    first = threading.Thread(target=work)
    first.start()
    until(lambda: look(run).result_counts.passed == 4)
    rooms.expire(run.id)
    speaker.open.set()
    work_on(run)
    first.join(60)
    assert len(refused) == 1
    assert (look(run).status, counts(look(run))) == ("completed", (8, 8, 0, 0))


def test_a_run_that_is_canceled_before_it_began_is_never_looked_at(rooms, speaker: Speaker, submit):
    run = submit(asking(rows({"q": "x"})))
    with rooms.database.scope(rooms.project) as scope:
        eval_runs.cancel(scope, run.eval_id, run.id)
    assert rooms.claim(eval_runs.KIND) is None


def test_usage_that_is_noted_behind_its_item_is_counted(rooms, submit, look, context: Context):
    run = submit(asking(rows({"q": "x", "a": ""})))
    usage = ModelUsage(model_name="tiny", invocation_count=1, total_tokens=5)
    item_work.keep(context, Hold(rooms.claim(eval_runs.KIND)), item_work.Found(usage=[usage]))
    assert look(run).per_model_usage == [usage]


def test_results_forgive_the_workers_that_died_before(
    rooms, speaker: Speaker, submit, look, items, context: Context, until
):
    speaker.closed_from = 2
    run = submit(asking(rows(*({"q": str(n), "a": "It"} for n in range(6)))))
    for number in range(2):
        with rooms.database.system() as system:
            owner = f"dead-{number}"
            assert work.claim(system, owner, [eval_runs.KIND], lease_seconds=600, spending=[eval_runs.KIND])
            work.release_owner(system, owner)
    with rooms.database.system() as system:
        claim = work.claim(system, "w", [eval_runs.KIND], lease_seconds=600, spending=[eval_runs.KIND])
    assert claim is not None and rooms.attempts(run.id) == 3
    working = threading.Thread(target=run_work.work_through, args=(context, Hold(claim)))
    working.start()
    until(lambda: look(run).result_counts.passed == 2)
    assert rooms.attempts(run.id) == 1
    speaker.open.set()
    working.join(60)
    assert look(run).status == "completed"


def test_work_that_breaks_again_and_again_fails_the_run(rooms, submit, look, context: Context):
    run = submit(asking(rows({"q": "x"})))
    run_work.give_up(context, Hold(rooms.claim(eval_runs.KIND)))
    assert (look(run).status, look(run).error.code) == ("failed", "server_error")
    assert rooms.attempts(run.id) is None


def test_its_end_is_told_to_webhooks(rooms, speaker: Speaker, submit, work_on):
    run = submit(asking(rows({"q": "x", "a": ""})))
    work_on(run)
    with rooms.database.system(read=True) as system:
        query = text("SELECT type FROM outbox WHERE subject = :id")
        assert list(system.connection.execute(query, {"id": run.id}).scalars()) == ["eval.run.succeeded"]


def test_a_real_model_is_asked_and_counted(rooms, fake_engine, submit, look, items, new_worker, until):
    run = submit(asking(rows({"q": "Hi", "a": ""}), sampling_params={"max_completion_tokens": 3}), HAS, JUDGE)
    with new_worker():
        until(lambda: look(run).status == "completed")
    (item,) = items(run)
    assert item.results[0].passed and 1 <= item.sample.usage.completion_tokens <= 3
    with rooms.database.system(read=True) as system:
        used = system.connection.execute(text("SELECT kind, project_id, batch FROM usage")).all()
    assert len(used) >= 1 and {tuple(row) for row in used} == {("completions", rooms.project, 0)}
