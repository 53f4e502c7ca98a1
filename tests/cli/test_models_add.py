import json
import shutil
from pathlib import Path

import pytest

import tiny_base
from afina.cli.serve import open_rows
from afina.schemas.models import Model
from afina.settings import Settings
from afina.store import audit, models, projects
from afina.store.database import Database


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return tiny_base.make(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory):
    return tiny_base.make_qwen3(tmp_path_factory.mktemp("qwen3"))


@pytest.fixture
def settings(tmp_path):
    """A data directory that has been served before."""
    made = Settings(data=tmp_path / "data")
    database = Database(made.database)
    open_rows(database, made)
    database.close()
    return made


@pytest.fixture
def add(command, settings):
    def run(name: str, source: Path | str, *words: str):
        return command("models-add", name, "--source", str(source), "--data", str(settings.data), *words)

    return run


def resolved(settings: Settings, name: str) -> Model:
    database = Database(settings.database)
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.read(project) as scope:
        return models.resolve(scope, name)


def test_a_folder_becomes_a_base_where_it_lies(add, settings, llama):
    ran = add("clinic-base", llama, "--alias", "gpt-4o-mini", "--alias", "our-model", "--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["aliases"] == {"gpt-4o-mini": "afina-tiny", "our-model": None}
    assert (said["family"], said["context"], said["thinking"]) == ("llama", tiny_base.CONTEXT, None)
    for name in ("clinic-base", "gpt-4o-mini", "our-model"):
        found = resolved(settings, name)
        assert (found.id, found.source, found.manifest_sha256) == ("clinic-base", str(llama), said["sha256"])
    assert resolved(settings, "gpt-4o").id == "afina-tiny"


def test_a_person_is_told_what_changes(add, llama):
    ran = add("clinic-base", llama, "--alias", "gpt-4o-mini")
    assert "no switch in its template" in ran.out
    assert "The folder names no licence" in ran.out
    assert "gpt-4o-mini means clinic-base from the next request on (it meant afina-tiny until now)" in ran.err


def test_each_project_finds_it_in_its_audit(add, settings, llama):
    add("clinic-base", llama, "--alias", "gpt-4o-mini")
    database = Database(settings.database)
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.read(project) as scope:
        (entry,) = audit.page(scope, subject="clinic-base").data
    assert (entry.action, entry.actor) == ("base.added", "operator")
    assert entry.detail["aliases"] == {"gpt-4o-mini": "afina-tiny"}
    assert str(llama) not in json.dumps(entry.detail)


def test_a_start_of_the_server_leaves_the_alias_alone(add, settings, llama):
    add("clinic-base", llama, "--alias", "gpt-4o-mini")
    open_rows(Database(settings.database), settings)
    assert resolved(settings, "gpt-4o-mini").id == "clinic-base"


def test_a_directory_that_was_never_served(command, tmp_path, llama):
    ran = command("models-add", "clinic-base", "--source", str(llama), "--data", str(tmp_path / "new"))
    assert ran.code == 0, ran.err
    settings = Settings(data=tmp_path / "new")
    open_rows(Database(settings.database), settings)
    assert resolved(settings, "clinic-base").kind == "base"


def test_again_with_the_same_files_is_no_change_but_for_the_place(add, settings, llama, tmp_path):
    add("clinic-base", llama)
    before = resolved(settings, "clinic-base")
    moved = Path(shutil.copytree(llama, tmp_path / "moved"))
    assert add("clinic-base", moved, "--alias", "gpt-4o").code == 0
    assert resolved(settings, "gpt-4o") == before.model_copy(update={"source": str(moved)})


def test_a_name_keeps_its_weights(add, settings, llama, qwen3):
    add("clinic-base", llama)
    ran = add("clinic-base", qwen3, "--alias", "gpt-4o-mini")
    assert ran.code == 1
    assert "The name clinic-base is taken: it is a base with other files" in ran.err
    assert resolved(settings, "clinic-base").source == str(llama)
    assert resolved(settings, "gpt-4o-mini").id == "afina-tiny"


def test_a_name_keeps_its_thinking_mode(add, settings, qwen3):
    assert add("thinker", qwen3).code == 0
    assert resolved(settings, "thinker").thinking == "off"
    assert "another thinking mode" in add("thinker", qwen3, "--thinking", "on").err


def test_names_that_mean_something_else(add, llama):
    assert "it is an alias of afina-tiny" in add("gpt-4o-mini", llama).err
    assert "afina-tiny is the name of a base" in add("clinic-base", llama, "--alias", "afina-tiny").err
    assert "The name afina-tiny is taken" in add("afina-tiny", llama).err


@pytest.mark.parametrize("name", ["", "ft:x", "a/b", "../x", "x" * 65, "-x", "ñ", "a b"])
def test_names_that_cannot_be_names(command, tmp_path, llama, name):
    words = ("--source", str(llama), "--data", str(tmp_path / "data"))
    assert command("models-add", *words, "--", name).code == 1
    ran = command("models-add", "fine", *words, f"--alias={name}")
    assert (ran.code, "is not of 1 to 64 letters" in ran.err) == (1, True)
    assert not (tmp_path / "data").exists()


def test_names_of_models_that_do_not_reason_never_lead_to_thinking(add, settings, qwen3):
    ran = add("thinker", qwen3, "--thinking", "on", "--alias", "gpt-4o-mini")
    assert "gpt-4o-mini does not think aloud at OpenAI" in ran.err
    assert resolved(settings, "gpt-4o-mini").id == "afina-tiny"
    assert add("thinker", qwen3, "--thinking", "on", "--alias", "o4-mini").code == 0


def test_a_copy_outlives_its_folder(add, settings, llama, tmp_path):
    source = Path(shutil.copytree(llama, tmp_path / "downloaded"))
    (source / "optimizer.pt").write_bytes(b"x")
    assert add("clinic-base", source, "--copy").code == 0
    shutil.rmtree(source)
    home = settings.data / "models" / "clinic-base"
    assert resolved(settings, "clinic-base").source == str(home.absolute())
    assert {path.name for path in home.iterdir()} == {path.name for path in llama.iterdir()}
    assert "is there already" in add("clinic-base", llama, "--copy").err
    assert add("clinic-base", home).code == 0


def test_what_is_unfit_leaves_no_trace(add, command, settings, llama, tmp_path):
    source = Path(shutil.copytree(llama, tmp_path / "damaged"))
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    ran = add("clinic-base", source, "--copy", "--alias", "gpt-4o-mini")
    assert ran.code == 1
    assert "model.safetensors: it is damaged" in ran.err
    assert ran.err.count("\n") == 1
    assert not (settings.data / "models").exists()
    assert resolved(settings, "gpt-4o-mini").id == "afina-tiny"


def test_too_large_for_this_machine_unless_forced(add, settings, llama, monkeypatch):
    monkeypatch.setattr("afina.intake.memory.here", lambda: 2**28)
    ran = add("large", llama)
    assert "too large to be tuned here" in ran.err
    assert "needs about 0.5 GiB" in ran.err and "this machine has 0.2" in ran.err
    assert add("large", llama, "--force").code == 0
    assert resolved(settings, "large").source == str(llama)


def test_wrong_usage(command, add, llama, tmp_path):
    assert command("models-add").code == 2
    assert command("models-add", "x").code == 2
    assert command("models-add", "x", "--source", str(llama), "--thinking", "perhaps").code == 2
    assert "a folder has no --revision" in add("x", llama, "--revision", "v1").err
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for source in (tmp_path / "model.gguf", tmp_path / "nowhere", "https://huggingface.co/lab/tiny"):
        assert "is neither a folder here nor a name on the hub" in add("x", source).err


def test_the_list(command):
    ran = command("models-add", "--list")
    assert "Qwen/Qwen3-8B" in ran.out
    assert "our estimate" in ran.out
    bases = [json.loads(line) for line in command("models-add", "--list", "--json").out.splitlines()]
    by_name = {base["hub_id"]: base for base in bases}
    assert by_name["Qwen/Qwen3-8B"]["trained_by_this_build"] is True
    assert by_name["google/gemma-4-E4B-it"]["trained_by_this_build"] is False
    assert by_name["google/gemma-4-E4B-it"]["estimated_memory_bytes"]["here"] is None
