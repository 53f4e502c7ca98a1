"""Embeddings: by a real encoder in a host of its own, in both forms, and everything that is refused."""

import base64
import math
import tempfile
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import openai
import pytest
import uvicorn
from fastapi.testclient import TestClient

import tiny_encoder
from afina.api.app import create_app
from afina.host import encoder
from afina.schemas.embeddings import ENCODER
from afina.schemas.moderations import MODERATOR
from afina.serving import moderations
from afina.settings import Settings
from afina.store import hosts
from afina.store.database import Database

EMBEDDINGS = "/v1/embeddings"
MODEL = "text-embedding-3-small"
FOX = "the quick brown fox"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder.make(tmp_path_factory.mktemp("encoders") / "tiny-bert")


@pytest.fixture
def settings(settings: Settings, folder: Path) -> Settings:
    return replace(settings, encoder=str(folder))


@contextmanager
def hosting(database: Database, folder: Path, name: str) -> Iterator[None]:
    """A ready host of an encoder."""
    with tempfile.TemporaryDirectory() as place:
        app = encoder.create_app(folder, name=name, threads=1)
        running = uvicorn.Server(
            uvicorn.Config(app, uds=f"{place}/host.sock", log_level="error", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=running.run)
        thread.start()
        while not running.started:
            assert thread.is_alive()
        with database.system() as system:
            hosts.starting(system, name, "test")
            hosts.ready(system, name, "test", address=f"unix:{place}/host.sock", pid=1)
        yield
        running.should_exit = True
        thread.join(10)


@pytest.fixture
def encoding(database: Database, folder: Path) -> Iterator[None]:
    with hosting(database, folder, ENCODER):
        yield


def test_the_official_client(encoding, official: openai.OpenAI):
    made = official.embeddings.create(model=MODEL, input=[FOX, "dog", FOX])
    assert [found.index for found in made.data] == [0, 1, 2] and made.model == MODEL
    assert made.data[0].embedding == made.data[2].embedding != made.data[1].embedding
    assert len(made.data[0].embedding) == tiny_encoder.WIDTH
    assert math.isclose(math.hypot(*made.data[0].embedding), 1, rel_tol=1e-5)
    assert made.usage.prompt_tokens == made.usage.total_tokens == 6 + 3 + 6
    short = official.embeddings.create(model=MODEL, input=FOX, dimensions=1, encoding_format="float")
    assert short.data[0].embedding == [math.copysign(1, made.data[0].embedding[0])]


def test_both_forms_say_the_same(encoding, client: TestClient):
    ask = {"model": "tiny-bert", "input": FOX}
    plain = client.post(EMBEDDINGS, json=ask).json()["data"][0]["embedding"]
    packed = client.post(EMBEDDINGS, json={**ask, "encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert array("f", base64.b64decode(packed)).tolist() == plain


def test_ids_of_the_encoders_own(encoding, client: TestClient):
    ids = [tiny_encoder.VOCABULARY[word] for word in FOX.split()]
    vectors = [
        client.post(EMBEDDINGS, json={"model": "tiny-bert", "input": given}).json()["data"][0]["embedding"]
        for given in (FOX, ids, [ids])
    ]
    assert vectors[0] == vectors[1] == vectors[2]


def test_ids_of_openais_vocabulary(encoding, settings: Settings, client: TestClient):
    ask = {"model": MODEL, "input": [[0, 1]]}
    error = client.post(EMBEDDINGS, json=ask).json()["error"]
    assert error["param"] == "input" and "cl100k_base.tiktoken" in error["message"]
    place = settings.data / "vocabularies"
    place.mkdir()
    lines = (base64.b64encode(word) + f" {id}\n".encode() for id, word in enumerate((b"the quick", b" fox")))
    (place / "cl100k_base.tiktoken").write_bytes(b"".join(lines))
    by_ids, by_text = (
        client.post(EMBEDDINGS, json=given).json()["data"][0]["embedding"]
        for given in (ask, {"model": MODEL, "input": "the quick fox"})
    )
    assert by_ids == by_text
    assert client.post(EMBEDDINGS, json={"model": MODEL, "input": [7]}).status_code == 400


BAD = {
    "nothing": ({"input": ""}, "input", "at least 1 character"),
    "an empty list": ({"input": []}, "input", "not empty"),
    "an empty text": ({"input": ["a", ""]}, "input[1]", "at least 1 character"),
    "a mixture": ({"input": ["a", 1]}, "input[1]", "a string"),
    "a number": ({"input": 3}, "input", "Expected a string"),
    "a long text": ({"input": "dog " * 40}, "input", "maximum context length is 32 tokens"),
    "one of several": ({"input": ["a", "dog " * 40]}, "input[1]", "you requested 42 tokens"),
    "an id beyond": ({"model": "tiny-bert", "input": [10_000]}, "input", "below"),
    "too wide": ({"input": "a", "dimensions": 13}, "dimensions", "12 of them"),
    "no width": ({"input": "a", "dimensions": 0}, "dimensions", "greater than or equal to 1"),
    "another form": ({"input": "a", "encoding_format": "hex"}, "encoding_format", "'float' or 'base64'"),
    "too many": ({"input": ["a"] * 2049}, "input", "at most 2048"),
    "no model": ({"input": "a", "model": ""}, "model", "at least 1 character"),
}


def test_what_is_refused(client: TestClient):
    for name, (body, param, words) in BAD.items():
        reply = client.post(EMBEDDINGS, json={"model": MODEL, **body})
        error = reply.json()["error"]
        assert (reply.status_code, error["param"]) == (400, param), name
        assert words in error["message"], name
    reply = client.post(EMBEDDINGS, json={"model": "gpt-4o", "input": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert "`tiny-bert`" in reply.json()["error"]["message"]


def test_without_an_encoder(refusing: TestClient):
    reply = refusing.post(EMBEDDINGS, json={"model": MODEL, "input": "a"})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "encoder_not_configured", "model")
    assert "fill an index with noise" in error["message"] and "AFINA_ENCODER" in error["message"]


def test_a_folder_that_is_no_encoder(settings: Settings, tmp_path: Path):
    with TestClient(create_app(replace(settings, encoder=str(tmp_path)))) as opened:
        reply = opened.post(
            EMBEDDINGS, json={"model": MODEL, "input": "a"}, headers={"authorization": "Bearer sk-owner"}
        )
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "encoder_unavailable")


MODERATIONS = "/v1/moderations"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = {0: "OK", 1: "H", 2: "sexual/minors"}
    return tiny_encoder.make_classifier(tmp_path_factory.mktemp("classifiers") / "judge", labels)


def test_a_classifier_beside_the_phrases(settings: Settings, database: Database, classifier: Path):
    with (
        hosting(database, classifier, MODERATOR),
        TestClient(create_app(replace(settings, moderator=str(classifier)))) as opened,
    ):
        reply = opened.post(
            MODERATIONS,
            json={"input": ["dog", "I will kill you " + "dog " * 200]},
            headers={"authorization": "Bearer sk-owner"},
        ).json()
    plain, threat = (result["category_scores"] for result in reply["results"])
    assert plain["hate"] > 0 and plain["sexual/minors"] > 0 and plain["violence"] == 0
    assert threat["violence"] == 0.75 and threat["hate"] > 0 and reply["model"].startswith("judge+")


@pytest.mark.parametrize(
    ("name", "most", "given", "words"),
    [
        ("MOST_TOKENS", 10, "dog " * 50, "'input' has"),
        ("MOST_TOKENS", 10, ["dog", "dog " * 50], "'input[1]' has"),
        ("MOST_TOKENS_IN_ALL", 20, ["dog dog"] * 20, "all inputs together have"),
    ],
)
def test_a_classifier_reads_only_so_much(
    settings: Settings, classifier: Path, monkeypatch: pytest.MonkeyPatch, name, most, given, words
):
    monkeypatch.setattr(moderations, name, most)
    with TestClient(create_app(replace(settings, moderator=str(classifier)))) as opened:
        owner = {"authorization": "Bearer sk-owner"}
        reply = opened.post(MODERATIONS, json={"input": given}, headers=owner)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "input") and f"at most {most} tokens" in error[
        "message"
    ]
    assert words in error["message"]
