"""What was used: the sum of the rows is the sum of the replies, by bucket and by whose they are."""

import time

import openai
import pytest
from sqlalchemy import text

KEY = "sk-owner"
HI = [{"role": "user", "content": "Hi"}]


def results(admin: openai.OpenAI, service: str = "completions", **query):
    page = getattr(admin.admin.organization.usage, service)(start_time=0, end_time=7 * 86_400, **query)
    return [[one.to_dict() for one in bucket.results] for bucket in page.data]


def test_the_rows_are_the_replies(admin, played, database, project):
    sent = []
    for n in (1, 3):
        reply = admin.chat.completions.create(model="gpt-4o-mini", messages=HI, n=n)
        sent.append(reply.usage)
    nothing = admin.chat.completions.create(model="afina-tiny", messages=HI, max_tokens=0)
    sent.append(nothing.usage)
    for options in ({"include_usage": True}, {}):
        with admin.chat.completions.create(
            model="afina-tiny", messages=HI, stream=True, stream_options=options
        ) as stream:
            chunks = list(stream)
        if options:
            sent += [chunks[-1].usage, chunks[-1].usage]  # the other stream is as long
    page = admin.admin.organization.usage.completions(
        start_time=int(time.time()) - 86_400, group_by=["model", "api_key_id"]
    )
    found = [one for bucket in page.data for one in bucket.results]
    assert len(found) == 1
    assert (found[0].model, found[0].project_id) == ("afina-tiny", None)
    assert found[0].api_key_id.startswith("key_")
    assert found[0].num_model_requests == len(sent)
    assert found[0].input_tokens == sum(one.prompt_tokens for one in sent)
    assert found[0].output_tokens == sum(one.completion_tokens for one in sent)


@pytest.mark.parametrize("cached", [None, 2])
def test_what_a_host_has_cached_is_told_and_counted(admin, played, cached):
    played.cached = cached
    told = cached or 0
    chat = admin.chat.completions.create(model="afina-tiny", messages=HI)
    stream = admin.chat.completions.create(
        model="afina-tiny", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    usages = [chat.usage, list(stream)[-1].usage]
    assert [used.prompt_tokens_details.cached_tokens for used in usages] == [told, told]
    response = admin.responses.create(model="afina-tiny", input="Hi")
    assert response.usage.input_tokens_details.cached_tokens == told
    page = admin.admin.organization.usage.completions(start_time=int(time.time()) - 86_400)
    assert [one.input_cached_tokens for bucket in page.data for one in bucket.results] == [3 * told]


def test_a_prompt_that_begins_like_an_earlier_one_is_cached(random_weights, new_key, other_project):
    asked = [{"role": "user", "content": "Who is the patient? " * 20}]

    def told(client: openai.OpenAI) -> tuple[int, int]:
        used = client.chat.completions.create(model="afina-tiny", messages=asked, max_tokens=1).usage
        return used.prompt_tokens_details.cached_tokens, used.prompt_tokens

    (first, whole), (again, _) = told(random_weights), told(random_weights)
    assert first == 0 and whole - 32 <= again < whole
    response = random_weights.responses.create(model="afina-tiny", input=asked, max_output_tokens=16)
    assert response.usage.input_tokens_details.cached_tokens == again
    stranger = random_weights.with_options(api_key=new_key(project_id=other_project))
    assert told(stranger) == (0, whole)


def test_a_stream_that_is_left_is_counted(admin, played, database):
    played.endless = True
    stream = admin.chat.completions.create(model="afina-tiny", messages=HI, stream=True)
    next(iter(stream))
    stream.close()
    assert played.left.wait(10)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with database.system(read=True) as system:
            if row := system.connection.execute(
                text("SELECT input_tokens, requests FROM usage")
            ).one_or_none():
                break
    assert row is not None and row[0] > 0 and row[1] == 1


def test_what_is_refused_is_not_counted(admin, database):
    with pytest.raises(openai.NotFoundError):
        admin.chat.completions.create(model="no-such-model", messages=HI)
    with database.system(read=True) as system:
        assert system.connection.execute(text("SELECT count(*) FROM usage")).scalar_one() == 0


def test_buckets(admin, planted):
    days = results(admin, limit=7)
    assert [len(day) for day in days] == [1, 1, 0, 0, 0, 0, 0]
    assert (days[0][0]["input_tokens"], days[0][0]["output_tokens"]) == (55, 77)
    assert (days[0][0]["num_model_requests"], days[0][0]["input_cached_tokens"]) == (2, 2)
    assert days[1][0]["input_tokens"] == 1
    assert [len(day) for day in results(admin, "embeddings")] == [0, 0, 0, 1, 0, 0, 0]
    assert all(day == [] for day in results(admin, "images"))


def test_pages_follow_one_another(admin, planted):
    usage_of = admin.admin.organization.usage.completions
    first = usage_of(start_time=5, end_time=2 * 86_400 + 1, limit=2)
    assert [(b.start_time, b.end_time) for b in first.data] == [(5, 86_400), (86_400, 2 * 86_400)]
    assert first.has_more and first.next_page
    second = usage_of(start_time=5, end_time=2 * 86_400 + 1, limit=2, page=first.next_page)
    assert [(b.start_time, b.end_time) for b in second.data] == [(2 * 86_400, 2 * 86_400 + 1)]
    assert (second.has_more, second.next_page) == (False, None)
    assert usage_of(start_time=0, end_time=0, limit=0, page="page").data == []


def test_groups_and_filters(admin, planted, project, other_project):
    by_project = results(admin, group_by=["project_id", "batch"])[0]
    assert {(one["project_id"], one["batch"], one["input_tokens"]) for one in by_project} == {
        (project, False, 5),
        (other_project, True, 50),
    }
    assert results(admin, models=["n"])[0][0]["input_tokens"] == 50
    assert results(admin, project_ids=[project])[0][0]["input_tokens"] == 5
    assert results(admin, api_key_ids=["key_a"])[0][0]["input_tokens"] == 5
    assert results(admin, batch=True)[0][0]["input_tokens"] == 50
    assert results(admin, user_ids=["user-1"])[0] == []
    assert len(results(admin, bucket_width="1h", limit=48)) == 48


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=-1", "start_time"),
        ("start_time=x", "start_time"),
        ("start_time=0&limit=32", "limit"),
        ("start_time=0&bucket_width=2d", "bucket_width"),
        ("start_time=0&group_by=colour", "group_by"),
    ],
)
def test_what_is_refused(refusing, query, param):
    reply = refusing.get(f"/v1/organization/usage/completions?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
