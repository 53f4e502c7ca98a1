"""A tuned model shared with other projects: there from the permission on, gone with it, and never theirs to delete."""

import openai
import pytest
from openai import NotFoundError, PermissionDeniedError

from afina.schemas.models import Model
from afina.store import models, projects

NAME = "ft:afina-tiny:personal:ward:abcdefgh"


@pytest.fixture
def tuned(database, project, new_job) -> str:
    """A tuned model of the first project, with the job that made it."""
    with database.scope(project) as scope:
        job = new_job(scope, afina={"adapter": {"rank": 5, "alpha": 7.0}})
        model = Model(id=NAME, created=1, owned_by="p", kind="tuned", base="afina-tiny", job_id=job.id)
        models.insert(scope, model)
    return NAME


@pytest.fixture
def stranger(official: openai.OpenAI, new_key, other_project) -> openai.OpenAI:
    return official.with_options(api_key=new_key(other_project))


def test_the_life_of_a_permission(official, stranger, tuned, other_project):
    permissions = official.fine_tuning.checkpoints.permissions
    with pytest.raises(NotFoundError):
        stranger.models.retrieve(tuned)
    [made] = list(permissions.create(tuned, project_ids=[other_project]))
    assert (made.project_id, made.object) == (other_project, "checkpoint.permission")
    assert made.id.startswith("cp_")
    assert stranger.models.retrieve(tuned).id == tuned
    assert tuned in [model.id for model in stranger.models.list()]
    assert list(permissions.create(tuned, project_ids=[other_project])) == [
        made
    ]  # a second time changes nothing
    assert [one.id for one in permissions.list(tuned)] == [made.id]
    with pytest.warns(DeprecationWarning):
        assert [one.id for one in permissions.retrieve(tuned, project_id=other_project).data] == [made.id]
    assert list(permissions.list(tuned, project_id="proj_none")) == []
    gone = permissions.delete(made.id, fine_tuned_model_checkpoint=tuned)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "checkpoint.permission")
    assert list(permissions.list(tuned)) == []
    with pytest.raises(NotFoundError):
        stranger.models.retrieve(tuned)
    with pytest.raises(NotFoundError):
        permissions.delete(made.id, fine_tuned_model_checkpoint=tuned)


def test_lists_are_paged_in_both_orders(official, database, tuned):
    with database.system() as system:
        organization = projects.every(system)[0].organization_id
        others = [projects.create(system, organization, f"p{n}").id for n in range(5)]
    permissions = official.fine_tuning.checkpoints.permissions
    assert len(list(permissions.create(tuned, project_ids=others))) == 5
    assert [one.project_id for one in permissions.list(tuned, limit=2)] == others[::-1]
    assert [one.project_id for one in permissions.list(tuned, limit=2, order="ascending")] == others


def test_a_shared_model_is_used_but_not_owned(official, stranger, tuned, other_project):
    official.fine_tuning.checkpoints.permissions.create(tuned, project_ids=[other_project])
    with pytest.raises(PermissionDeniedError):
        stranger.models.delete(tuned)
    with pytest.raises(NotFoundError):
        stranger.fine_tuning.checkpoints.permissions.create(tuned, project_ids=[other_project])
    with pytest.raises(NotFoundError):
        stranger.fine_tuning.checkpoints.permissions.list(tuned).has_next_page()
    row = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'
    file = stranger.files.create(file=("rows.jsonl", row * 10), purpose="fine-tune")
    job = stranger.fine_tuning.jobs.create(model=tuned, training_file=file.id)
    assert job.model == "afina-tiny"
    shape = job.to_dict()["afina"]["adapter"]
    assert (shape["rank"], shape["alpha"]) == (5, 7.0)  # the shape of what it goes on from


def test_what_cannot_be_shared_and_with_whom(client, tuned, project, other_project):
    def share(*ids: object, model: str = tuned):
        reply = client.post(
            f"/v1/fine_tuning/checkpoints/{model}/permissions", json={"project_ids": list(ids)}
        )
        return reply.status_code, reply.json().get("error", {}).get("param")

    assert share("proj_none") == (404, "project_ids")
    assert share(project) == (400, "project_ids")
    assert share(other_project, other_project) == (400, "project_ids")
    assert share() == (400, "project_ids")
    assert share(*(f"proj_{n}" for n in range(1000))) == (400, "project_ids")
    assert share(7) == (400, "project_ids[0]")
    assert share(other_project, model="afina-tiny") == (404, "fine_tuned_model_checkpoint")
    assert share(other_project, model="ft:none") == (404, "fine_tuned_model_checkpoint")
    assert share(other_project, model=tuned.replace(":", "%3A")) == (200, None)


def test_only_owners_share(client, new_key, tuned, project, other_project):
    member = {"authorization": f"Bearer {new_key(project, 'member')}"}
    path = f"/v1/fine_tuning/checkpoints/{tuned}/permissions"
    assert client.post(path, json={"project_ids": [other_project]}, headers=member).status_code == 403
    assert client.get(path, headers=member).status_code == 200
    assert client.delete(f"{path}/cp_x", headers=member).status_code == 403
