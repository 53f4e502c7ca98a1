"""Models: list, retrieve and delete, with ids that hold colons and slashes."""

from collections.abc import Callable
from pathlib import Path

import httpx
import openai
import pytest
from fastapi.testclient import TestClient

from afina.schemas.models import Model
from afina.serving.registry import OPENAI_NAMES, register_bundled
from afina.store import models
from afina.store.database import Database

TUNED = "ft:afina-tiny:personal:my-suffix:abcd1234"


@pytest.fixture
def tuned(database: Database, project: str) -> None:
    model = Model(id=TUNED, created=1, owned_by="personal", kind="tuned", base="afina-tiny", key="k1")
    with database.scope(project) as scope:
        models.insert(scope, model)
    with database.system() as system:
        models.register(
            system, Model(id="org/name", created=2, owned_by="me", base="org/name", source="/models/x")
        )


@pytest.mark.usefixtures("tuned")
def test_the_official_client(official: openai.OpenAI):
    assert [model.id for model in official.models.list()] == ["org/name", TUNED, "afina-tiny"]
    for name in (TUNED, "org/name", "afina-tiny", "gpt-4o-mini"):
        assert official.models.retrieve(name).id == name
    assert official.models.delete(TUNED).deleted
    with pytest.raises(openai.NotFoundError) as refusal:
        official.models.retrieve(TUNED)
    assert refusal.value.code == "model_not_found"
    with pytest.raises(openai.PermissionDeniedError):
        official.models.delete("afina-tiny")


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("path", [TUNED.replace(":", "%3A"), "org%2Fname", "org/name", "org%2fname"])
def test_ids_may_be_escaped(server: str, path: str):
    reply = httpx.get(
        f"{server}/v1/models/{path}", headers={"authorization": "Bearer sk-owner"}, trust_env=False
    )
    assert reply.status_code == 200 and reply.json()["id"] in (TUNED, "org/name")
    assert set(reply.json()) == {"id", "object", "created", "owned_by", "shutdown_date"}


@pytest.mark.usefixtures("tuned")
def test_only_an_owner_of_its_project_deletes_a_model(
    client: TestClient, project: str, other_project: str, new_key: Callable[..., str]
):
    def delete(name: str, key: str | None = None) -> int:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return client.delete(f"/v1/models/{name}", headers=headers).status_code

    assert delete(TUNED, new_key(project, "member")) == 403
    assert delete(TUNED, new_key(other_project)) == 404
    assert delete("gpt-4o-mini") == 404, "an alias is no model"
    assert delete("org%2Fname") == delete("afina-tiny") == 403
    assert delete(TUNED.replace(":", "%3A")) == 200
    assert delete(TUNED) == 404
    assert TUNED not in [model["id"] for model in client.get("/v1/models").json()["data"]]


def test_a_checkpoint_is_a_model(client: TestClient, database: Database, project: str):
    name = f"{TUNED}:ckpt-step-10"
    with database.scope(project) as scope:
        models.insert(
            scope,
            Model(id=name, created=1, owned_by="personal", kind="checkpoint", base="afina-tiny", key="k2"),
        )
    assert client.get(f"/v1/models/{name}").json()["id"] == name
    assert name in [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert client.delete(f"/v1/models/{name}").json() == {"id": name, "object": "model", "deleted": True}


def test_in_production_an_openai_name_is_not_there(production: TestClient):
    reply = production.get("/v1/models/gpt-4o")
    assert reply.status_code == 404 and "demonstration model afina-tiny" in reply.json()["error"]["message"]


def test_registering_again_keeps_what_an_operator_chose(database: Database, project: str, client: TestClient):
    with database.system() as system:
        models.register(system, Model(id="own", created=1, owned_by="me", base="own", source="/models/own"))
        models.alias(system, "gpt-4o", "own")
        register_bundled(system)
    with database.read(project) as scope:
        assert models.resolve(scope, "gpt-4o").id == "own"
        others = {models.resolve(scope, name).id for name in OPENAI_NAMES if name != "gpt-4o"}
    assert others == {"afina-tiny"}
    assert client.get("/v1/models/gpt-4o").status_code == 200


def test_a_name_is_not_a_path(client: TestClient, tmp_path: Path):
    for name in (str(tmp_path), "..%2f..%2fetc", "http:%2f%2fhost%2fmodel", "%00"):
        reply = client.get(f"/v1/models/{name}")
        assert reply.status_code == 404 and reply.json()["error"]["code"] == "model_not_found"
