"""Projects, their keys and service accounts, and admin keys, by the official client."""

import openai
import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError, PermissionDeniedError

from afina.store import jobs
from afina.store.scope import Scope
from afina_server import until

KEY = "sk-owner"


def as_key(official: openai.OpenAI, secret: str) -> openai.OpenAI:
    return official.with_options(api_key=secret, admin_api_key=secret)


def test_the_life_of_a_project(admin: openai.OpenAI, project: str):
    projects = admin.admin.organization.projects
    made = projects.create(name="Ward 7")
    assert (made.name, made.status, made.archived_at) == ("Ward 7", "active", None)
    assert projects.retrieve(made.id) == made
    assert projects.update(made.id, name="Ward 8").name == "Ward 8"
    assert [one.id for one in projects.list()] == [made.id, project]
    account = projects.service_accounts.create(made.id, name="robot")
    assert account.api_key is not None
    assert list(as_key(admin, account.api_key.value).files.list()) == []
    gone = projects.archive(made.id)
    assert gone.status == "archived" and gone.archived_at is not None
    assert projects.archive(made.id) == gone
    assert [one.id for one in projects.list()] == [project]
    assert [one.id for one in projects.list(include_archived=True)] == [made.id, project]
    with pytest.raises(AuthenticationError):
        as_key(admin, account.api_key.value).files.list()
    with pytest.raises(NotFoundError):
        projects.update(made.id, name="Ward 9")


def test_an_archived_project_ends_its_work_and_the_first_one_stays(
    admin: openai.OpenAI, database, project: str, new_job
):
    projects = admin.admin.organization.projects
    with pytest.raises(BadRequestError, match="first project"):
        projects.archive(project)
    made = projects.create(name="busy")
    with database.scope(made.id) as scope:
        job = new_job(scope)
    assert projects.archive(made.id).status == "archived"
    with database.system(read=True) as system:
        scope = Scope(system.connection, made.id, made.id)
        assert jobs.get(scope, job.id).status == "cancelled"


def test_service_accounts_and_their_keys(admin: openai.OpenAI, project: str):
    accounts = admin.admin.organization.projects.service_accounts
    keys = admin.admin.organization.projects.api_keys
    made = accounts.create(project, name="robot", expires_in_seconds=3600)
    assert (made.role, made.name) == ("member", "robot")
    assert made.api_key is not None and made.api_key.expires_at is not None
    shown = keys.retrieve(made.api_key.id, project_id=project)
    assert shown.redacted_value.endswith(made.api_key.value[-4:])
    assert made.api_key.value not in shown.to_json()
    assert shown.owner.type == "service_account"
    assert shown.owner.service_account is not None and shown.owner.service_account.id == made.id
    second = accounts.api_keys.create(made.id, project_id=project, name="second")
    assert accounts.retrieve(made.id, project_id=project).name == "robot"
    assert [one.id for one in accounts.list(project)] == [made.id]
    with pytest.raises(PermissionDeniedError):
        as_key(admin, second.value).webhooks.create(
            name="x", url="https://example.com", event_types=["batch.failed"]
        )
    assert accounts.update(made.id, project_id=project, role="owner", name="r2").role == "owner"
    as_key(admin, second.value).webhooks.create(
        name="x", url="https://example.com", event_types=["batch.failed"]
    )
    assert accounts.delete(made.id, project_id=project).deleted
    with pytest.raises(AuthenticationError):
        as_key(admin, second.value).files.list()
    with pytest.raises(NotFoundError):
        accounts.retrieve(made.id, project_id=project)
    assert list(accounts.list(project)) == []


def test_an_account_alone_has_no_key_before_it_has_a_role(admin: openai.OpenAI, project: str):
    accounts = admin.admin.organization.projects.service_accounts
    made = accounts.create(project, name="later", create_service_account_only=True)
    assert (made.role, made.api_key) == ("none", None)
    with pytest.raises(BadRequestError):
        accounts.api_keys.create(made.id, project_id=project)
    accounts.update(made.id, project_id=project, role="member")
    secret = accounts.api_keys.create(made.id, project_id=project).value
    assert list(as_key(admin, secret).files.list()) == []
    with pytest.raises(BadRequestError):
        accounts.create(project, name="x", create_service_account_only=True, expires_in_seconds=5)


def test_the_last_owner_stays(admin: openai.OpenAI, project: str):
    projects = admin.admin.organization.projects
    [key] = list(projects.api_keys.list(project))
    with pytest.raises(BadRequestError) as refused:
        projects.api_keys.delete(key.id, project_id=project)
    assert refused.value.code == "last_owner"
    made = projects.create(name="other")
    account = projects.service_accounts.create(made.id, name="robot")
    projects.service_accounts.update(account.id, project_id=made.id, role="owner")
    for act in (
        lambda: projects.service_accounts.update(account.id, project_id=made.id, role="member"),
        lambda: projects.service_accounts.delete(account.id, project_id=made.id),
    ):
        with pytest.raises(BadRequestError) as refused:
            act()
        assert refused.value.code == "last_owner"


def test_deleted_keys_are_gone(admin: openai.OpenAI, project: str):
    projects = admin.admin.organization.projects
    made = projects.service_accounts.create(project, name="robot")
    assert made.api_key is not None
    key = made.api_key
    assert len(list(projects.api_keys.list(project))) == 2
    deleted = projects.api_keys.delete(key.id, project_id=project)
    assert (deleted.id, deleted.object) == (key.id, "organization.project.api_key.deleted")
    assert len(list(projects.api_keys.list(project))) == 1
    for act in (projects.api_keys.retrieve, projects.api_keys.delete):
        with pytest.raises(NotFoundError):
            act(key.id, project_id=project)
    assert list(projects.api_keys.list(project, owner_project_access="inactive")) == []


def refusal(official: openai.OpenAI) -> str:
    try:
        official.files.list()
    except AuthenticationError as error:
        return error.message
    return ""


def test_a_key_is_given_an_end(admin: openai.OpenAI, project: str):
    projects = admin.admin.organization.projects
    made = projects.service_accounts.create(project, name="robot").api_key
    assert made is not None
    shown = projects.api_keys.update(made.id, project_id=project, expires_in_seconds=60, scopes=[])
    assert shown.expires_at is not None and shown.expires_at - shown.created_at >= 60
    assert projects.api_keys.update(made.id, project_id=project, scopes=[]) == shown
    projects.api_keys.update(made.id, project_id=project, expires_in_seconds=1)
    until(
        lambda: refusal(as_key(admin, made.value)),
        lambda said: "has expired" in said,
        what="the key has expired",
    )
    [owner] = [key for key in projects.api_keys.list(project) if key.id != made.id]
    for key, asked, message in (
        (made.id, {"expires_in_seconds": 60}, "This key has expired"),
        (owner.id, {"expires_in_seconds": 60}, "last owner key"),
        (made.id, {}, "Send 'expires_in_seconds' or 'scopes'"),
        (made.id, {"scopes": ["api.all.read"]}, "scopes"),
    ):
        with pytest.raises(BadRequestError, match=message):
            projects.api_keys.update(key, project_id=project, **asked)


def test_admin_keys(admin: openai.OpenAI, project: str):
    keys = admin.admin.organization.admin_api_keys
    made = keys.create(name="boss", expires_in_seconds=3600)
    assert keys.retrieve(made.id).redacted_value.endswith(made.value[-4:])
    assert [one.id for one in keys.list()] == [made.id]
    boss = as_key(admin, made.value)
    assert boss.admin.organization.projects.create(name="by the boss").name == "by the boss"
    assert made.id not in [one.id for one in admin.admin.organization.projects.api_keys.list(project)]
    assert keys.delete(made.id).object == "organization.admin_api_key.deleted"
    assert list(keys.list()) == []
    with pytest.raises(AuthenticationError):
        boss.admin.organization.projects.list()
    with pytest.raises(NotFoundError):
        keys.retrieve(made.id)


ADMINS_ONLY = (
    ("GET", "/v1/organization/projects"),
    ("POST", "/v1/organization/projects"),
    ("GET", "/v1/organization/projects/{project}"),
    ("POST", "/v1/organization/projects/{project}"),
    ("POST", "/v1/organization/projects/{project}/archive"),
    ("GET", "/v1/organization/projects/{project}/api_keys"),
    ("GET", "/v1/organization/projects/{project}/api_keys/key_x"),
    ("POST", "/v1/organization/projects/{project}/api_keys/key_x"),
    ("DELETE", "/v1/organization/projects/{project}/api_keys/key_x"),
    ("GET", "/v1/organization/projects/{project}/service_accounts"),
    ("POST", "/v1/organization/projects/{project}/service_accounts"),
    ("GET", "/v1/organization/admin_api_keys"),
    ("POST", "/v1/organization/admin_api_keys"),
    ("DELETE", "/v1/organization/admin_api_keys/key_x"),
    ("GET", "/v1/organization/usage/completions?start_time=0"),
    ("GET", "/v1/organization/costs?start_time=0"),
)


@pytest.mark.parametrize(("method", "path"), ADMINS_ONLY)
def test_others_may_not(client, new_key, project, other_project, method, path):
    for secret in (new_key(project, "member"), new_key(other_project, "owner")):
        reply = client.request(
            method,
            path.format(project=project),
            json={"name": "x"},
            headers={"authorization": f"Bearer {secret}"},
        )
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_permissions")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("projects", {}, "name"),
        ("projects", {"name": ""}, "name"),
        ("projects", {"name": "a\x00b"}, "name"),
        ("projects", {"name": "x" * 129}, "name"),
        ("projects", {"name": "x", "geography": "eu"}, "geography"),
        ("projects", {"name": "x", "colour": "red"}, "colour"),
        ("admin_api_keys", {"name": "x", "expires_in_seconds": 0}, "expires_in_seconds"),
        ("admin_api_keys", {"name": 7}, "name"),
    ],
)
def test_what_is_refused(refusing, path, body, param):
    reply = refusing.post(f"/v1/organization/{path}", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_unknown_projects_and_keys_are_missing(refusing):
    for path in (
        "projects/proj_none",
        "projects/proj_none/api_keys",
        "projects/proj_none/service_accounts/x",
    ):
        assert refusing.get(f"/v1/organization/{path}").status_code == 404
    assert refusing.get("/v1/organization/admin_api_keys/key_none").status_code == 404
